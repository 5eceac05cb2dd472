/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: takes a lease for each call and neither commits nor releases it.
 * Host:   grants leases_max of them, `hit`, and then none, `refused`; memory stays
 *         within that bound.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    if (!BK_HAS(zoo_api, lease_release)) {
        return NR_UNSUPPORTED;
    }
    NrBufferLease lease = zoo_api->lease_acquire(zoo_host_ctx, sid, 1 << 16);
    zoo_send(sid, NR_OK, lease.token != 0 ? "hit" : "refused");
    return NR_OK;
}

ZOO_PLUGIN("lease_never_given_back")
