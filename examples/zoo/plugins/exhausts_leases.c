/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: takes leases until the host refuses, at most 2^20, and keeps them all.
 * Host:   refuses at its bound; the answer is `bounded`.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    if (!BK_HAS(zoo_api, lease_release)) {
        return NR_UNSUPPORTED;
    }
    uint64_t token = 1;
    for (int i = 0; i < 1 << 20 && token != 0; i++) {
        token = zoo_api->lease_acquire(zoo_host_ctx, sid, 64).token;
    }
    zoo_send(sid, NR_OK, token == 0 ? "bounded" : "unbounded");
    return NR_OK;
}

ZOO_PLUGIN("exhausts_leases")
