/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers each call twice, in handle.
 * Host:   takes the first, `first`; refuses and counts the second.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "first");
    zoo_send(sid, NR_OK, "second");
    return NR_OK;
}

ZOO_PLUGIN("answers_twice")
