/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: on its coroutine, calls itself until its stack is used up.
 * Host:   the process reports the plugin and the entry, and ends, before memory beside
 *         the stack is touched; the child's calls fail at once with a typed error.
 * Where:  process; inline it takes the host with it.
 */
#define ZOO_FLAGS (BK_PLUGIN_WANTS_COROUTINE | BK_PLUGIN_THREAD_SAFE)
#include "zoo.h"

static volatile unsigned char zoo_sink;

__attribute__((noinline)) static unsigned deeper(unsigned depth) {
    volatile unsigned char frame[512];
    memset((void *)frame, (int)depth, sizeof frame);
    unsigned below = depth < 1u << 30 ? deeper(depth + 1) : 0;
    zoo_sink = frame[depth % sizeof frame];
    return below + 1;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, deeper(0) > 0 ? "hit" : "");
    return NR_OK;
}

ZOO_PLUGIN("overflows_stack")
