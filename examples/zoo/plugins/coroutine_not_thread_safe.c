/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: wants its handlers on coroutines and does not say that it is thread-safe.
 * Host:   refuses the load, saying that handlers interleave at their waits.
 * Where:  inline and process; it never loads.
 */
#define ZOO_FLAGS BK_PLUGIN_WANTS_COROUTINE
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("coroutine_not_thread_safe")
