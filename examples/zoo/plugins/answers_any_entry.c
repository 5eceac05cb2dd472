/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers Ok to a call of an entry that it does not have.
 * Host:   hands the answer over: a name that is wrong goes unnoticed.
 * Where:  inline and process.
 */
#define ZOO_OTHER any
#include "zoo.h"

static NrStatus any(uint64_t sid) {
    zoo_send(sid, NR_OK, "any");
    return NR_OK;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("answers_any_entry")
