/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: asks for a lease of 2^63 bytes.
 * Host:   refuses it (token 0); the answer is `refused`.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    if (!BK_HAS(zoo_api, lease_release)) {
        return NR_UNSUPPORTED;
    }
    NrBufferLease lease = zoo_api->lease_acquire(zoo_host_ctx, sid, UINT64_C(1) << 63);
    zoo_send(sid, NR_OK, lease.token == 0 && lease.ptr == NULL ? "refused" : "granted");
    return NR_OK;
}

ZOO_PLUGIN("lease_2_63")
