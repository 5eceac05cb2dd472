/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: does not answer a call with a payload of more than 64 KiB.
 * Host:   fails such a call at its deadline; else the answer is `hit`.
 * Where:  inline and process.
 */
#include "zoo.h"

#define PAYLOAD_BYTES_MAX (64 << 10)

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    if (payload.len <= PAYLOAD_BYTES_MAX) {
        zoo_send(sid, NR_OK, "hit");
    }
    return NR_OK;
}

ZOO_PLUGIN("forgets_long_payloads")
