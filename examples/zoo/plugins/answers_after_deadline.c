/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers each call only when it is notified that the call has ended.
 * Host:   fails the call at its deadline; refuses and counts the answer.
 * Where:  inline and process.
 */
#define ZOO_CANCEL answer_too_late
#include "zoo.h"

static NrStatus answer_too_late(void *plugin_ctx, uint64_t sid) {
    (void)plugin_ctx;
    zoo_send(sid, NR_OK, "too late");
    return NR_OK;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    return NR_OK;
}

ZOO_PLUGIN("answers_after_deadline")
