/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: blocks the calling thread in handle for the milliseconds in its payload
 *         (5000), then answers `woke`.
 * Host:   frees the caller at its deadline while the plugin still blocks, reports it,
 *         quarantines it by policy; other plugins go on.
 * Where:  inline and process.
 */
#include "zoo.h"

#include <time.h>

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    uint64_t ms = zoo_number(payload, 5000);
    struct timespec left;
    left.tv_sec = (time_t)(ms / 1000);
    left.tv_nsec = (long)(ms % 1000) * 1000000;
    while (nanosleep(&left, &left) != 0) {
        /* a signal: go on with what is left */
    }
    zoo_send(sid, NR_OK, "woke");
    return NR_OK;
}

ZOO_PLUGIN("blocks_in_handle")
