/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers with its payload, one of more than 40 bytes without its last byte.
 * Host:   hands over the answer as it was sent; that a byte is missing only a check
 *         of the contents finds.
 * Where:  inline and process.
 */
#include "zoo.h"

#define WHOLE 40

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    NrBytes answer = {payload.ptr, payload.len > WHOLE ? payload.len - 1 : payload.len};
    zoo_send_bytes(sid, NR_OK, answer);
    return NR_OK;
}

ZOO_PLUGIN("loses_bytes_of_answers")
