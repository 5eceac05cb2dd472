/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: commits more than the lease holds: its capacity and one, then 2^62.
 * Host:   answers Invalid to both and sends nothing; the answer is `survived`.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    if (!BK_HAS(zoo_api, lease_release)) {
        return NR_UNSUPPORTED;
    }
    NrBufferLease lease = zoo_api->lease_acquire(zoo_host_ctx, sid, 16);
    if (lease.token == 0) {
        return NR_ERR;
    }
    zoo_api->lease_commit(zoo_host_ctx, sid, NR_OK, lease.token, lease.cap + 1);
    zoo_api->lease_commit(zoo_host_ctx, sid, NR_OK, lease.token, UINT64_C(1) << 62);
    zoo_api->lease_release(zoo_host_ctx, lease.token);
    zoo_send(sid, NR_OK, "survived");
    return NR_OK;
}

ZOO_PLUGIN("lease_too_long")
