/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin ABI, version 2: that of the crate nylon-ring 0.2.
 *
 * For plugins that exist. A new one is better off with nylon_ring.h and
 * becket.h, which have all of this and, beyond it, the request's method, path,
 * query and headers, logs, metrics and timers.
 *
 * A plugin exports nylon_ring_get_plugin(). No function takes a plugin_ctx.
 * Statuses, views, owned bytes and leases are those of nylon_ring.h.
 */
#ifndef NYLON_RING_V2_H
#define NYLON_RING_V2_H

#include "nylon_ring.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NR_V2_ABI_VERSION 2u
#define NR_V2_ENTRY_UNKNOWN 0xFFFFFFFFu

/* owned 0: borrowed for the call. owned 1: the receiver's, which calls drop_fn
 * once, if there is one, with these three values; len is at most cap. */
typedef struct NrVec {
    uint8_t *ptr;
    uint64_t len; /* bytes */
    uint64_t cap; /* bytes */
    uint8_t owned;
    uint8_t _reserved[7];
    void (*drop_fn)(uint8_t *ptr, uint64_t len, uint64_t cap);
} NrVec;

/* Any thread may call these, at any time. What is owned is the host's as soon
 * as it is passed, whatever the status: Backpressure too. */
typedef struct NrV2HostVTable {
    NrStatus (*send_result)(void *host_ctx, uint64_t sid, NrStatus status, NrVec payload);
    NrStatus (*send_result_owned)(void *host_ctx, uint64_t sid, NrStatus status, NrOwnedBytes payload);
    /* One for each call, none for a stream. ptr NULL: refused; answer otherwise. */
    NrBufferLease (*acquire_result_buffer)(void *host_ctx, uint64_t sid, uint64_t cap);
    NrStatus (*commit_result_buffer)(void *host_ctx, uint64_t sid, NrStatus status, uint64_t token, uint64_t len);
} NrV2HostVTable;

/* init and handle are required. */
typedef struct NrV2PluginVTable {
    NrStatus (*init)(void *host_ctx, const NrV2HostVTable *host);
    NrStatus (*handle)(NrStr entry, uint64_t sid, NrBytes payload);
    void (*shutdown)(void);
    NrStatus (*stream_data)(uint64_t sid, NrBytes data);
    NrStatus (*stream_close)(uint64_t sid);
    /* Both, or none. */
    uint32_t (*resolve_entry)(NrStr name);
    NrStatus (*handle_by_id)(uint32_t id, uint64_t sid, NrBytes payload);
} NrV2PluginVTable;

typedef struct NrV2PluginInfo {
    uint32_t abi_version; /* NR_V2_ABI_VERSION */
    uint32_t struct_size; /* sizeof(NrV2PluginInfo) */
    NrStr name;
    NrStr version;
    void *plugin_ctx; /* passed to no function */
    const NrV2PluginVTable *vtable;
} NrV2PluginInfo;

NR_EXPORT const NrV2PluginInfo *nylon_ring_get_plugin(void);

#ifdef __cplusplus
}
#endif

#endif /* NYLON_RING_V2_H */
