/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: commits a token that was never given, one twice, and one for a sid
 *         without an open call.
 * Host:   answers Invalid to each; the answer is the first commit alone, `leased`.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    if (!BK_HAS(zoo_api, lease_release)) {
        return NR_UNSUPPORTED;
    }
    NrBufferLease lost = zoo_api->lease_acquire(zoo_host_ctx, sid, 6);
    NrBufferLease lease = zoo_api->lease_acquire(zoo_host_ctx, sid, 6);
    if (lost.token == 0 || lease.token == 0) {
        return NR_ERR;
    }
    memcpy(lease.ptr, "leased", 6);
    zoo_api->lease_commit(zoo_host_ctx, sid, NR_OK, UINT64_C(0xDEADBEEF), 4);
    zoo_api->lease_commit(zoo_host_ctx, sid ^ UINT64_C(0xFFFF0000), NR_OK, lost.token, 6);
    zoo_api->lease_commit(zoo_host_ctx, sid, NR_OK, lease.token, 6);
    zoo_api->lease_commit(zoo_host_ctx, sid, NR_OK, lease.token, 6);
    zoo_api->lease_release(zoo_host_ctx, lease.token);
    zoo_api->lease_release(zoo_host_ctx, lost.token);
    return NR_OK;
}

ZOO_PLUGIN("lease_bad_token")
