/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers {NULL, 8}.
 * Host:   refuses the answer, counts it, and fails the call at once as badly answered
 *         or at its deadline; reads nothing.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    NrBytes nothing = {NULL, 8};
    (void)payload;
    zoo_send_bytes(sid, NR_OK, nothing);
    return NR_OK;
}

ZOO_PLUGIN("null_with_length")
