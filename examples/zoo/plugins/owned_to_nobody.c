/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: sends owned answers that must be refused: after the first, to a made-up
 *         sid, and {NULL, 8}.
 * Host:   takes the first, `owned`; refuses and counts the others; releases each
 *         exactly once, or the heap is corrupt or grows.
 * Where:  inline and process.
 */
#include "zoo.h"

static void release(void *owner_ctx, const uint8_t *ptr, uint64_t len) {
    (void)ptr;
    (void)len;
    free(owner_ctx);
}

static NrOwnedBytes owned(void) {
    void *bytes = malloc(5);
    NrOwnedBytes answer = {(const uint8_t *)bytes, bytes == NULL ? 0 : 5, bytes, release};
    if (bytes != NULL) {
        memcpy(bytes, "owned", 5);
    }
    return answer;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    if (!BK_HAS(zoo_api, send_owned)) {
        return NR_UNSUPPORTED;
    }
    zoo_api->send_owned(zoo_host_ctx, sid, NR_OK, owned());
    zoo_api->send_owned(zoo_host_ctx, sid, NR_OK, owned());
    zoo_api->send_owned(zoo_host_ctx, sid ^ UINT64_C(0xFFFF0000), NR_OK, owned());
    NrOwnedBytes nothing = owned();
    nothing.ptr = NULL;
    nothing.len = 8;
    zoo_api->send_owned(zoo_host_ctx, sid, NR_OK, nothing);
    return NR_OK;
}

ZOO_PLUGIN("owned_to_nobody")
