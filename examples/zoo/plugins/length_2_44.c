/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers with a length of 2^44 at a real address.
 * Host:   refuses the answer, counts it, and fails the call at once as badly answered
 *         or at its deadline; reads nothing.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    static const uint8_t byte = 'x';
    NrBytes huge = {&byte, UINT64_C(1) << 44};
    (void)payload;
    zoo_send_bytes(sid, NR_OK, huge);
    return NR_OK;
}

ZOO_PLUGIN("length_2_44")
