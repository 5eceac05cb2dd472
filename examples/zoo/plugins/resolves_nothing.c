/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: describes `hit`, and says that it has no such entry when it is
 *         asked for its id.
 * Host:   does not resolve `hit`; a call by its name is answered.
 * Where:  inline and process.
 */
#define ZOO_RESOLVE resolve
#define ZOO_BY_ID by_id
#include "zoo.h"

static uint32_t resolve(void *plugin_ctx, NrStr name) {
    (void)plugin_ctx;
    return zoo_is(name, "ok") ? 0 : BK_ENTRY_UNKNOWN;
}

static NrStatus by_id(void *plugin_ctx, uint32_t id, uint64_t sid, const NrRequest *request,
                      NrBytes payload) {
    (void)id;
    return zoo_handle(plugin_ctx, zoo_str("ok"), sid, request, payload);
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("resolves_nothing")
