/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: asks for a stack of 2^40 bytes for each handler.
 * Host:   refuses the load, with the size asked for and the limit.
 * Where:  inline and process; it never loads.
 */
#define ZOO_FLAGS (BK_PLUGIN_WANTS_COROUTINE | BK_PLUGIN_THREAD_SAFE)
#define ZOO_STACK_BYTES (UINT64_C(1) << 40)
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("coroutine_stack_too_large")
