/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: takes a lease for its answer, and does not answer when the host
 *         refuses it.
 * Host:   fails the call at its deadline, if it has no leases to grant; else
 *         the answer is `hit`.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    if (!BK_HAS(zoo_api, lease_release)) {
        return NR_UNSUPPORTED;
    }
    NrBufferLease lease = zoo_api->lease_acquire(zoo_host_ctx, sid, 3);
    if (lease.token != 0) {
        memcpy(lease.ptr, "hit", 3);
        zoo_api->lease_commit(zoo_host_ctx, sid, NR_OK, lease.token, 3);
    }
    return NR_OK;
}

ZOO_PLUGIN("forgets_who_was_refused")
