/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers Err when a reload asks it for its state.
 * Host:   refuses the reload with the status; the old version goes on.
 * Where:  inline and process.
 */
#define ZOO_EXPORT hand_over
#include "zoo.h"

static NrStatus hand_over(void *plugin_ctx, NrOwnedBytes *out) {
    (void)plugin_ctx;
    (void)out;
    return NR_ERR;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("hands_nothing_over")
