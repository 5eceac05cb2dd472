/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin ABI, version 1.
 *
 * A plugin is a shared library that exports nylon_ring_get_plugin_v1(). The
 * first 56 bytes of NrPluginInfo and the first five slots of NrPluginVTable
 * are the documented ABI; what follows them is read only if struct_size and
 * vtable_size cover it. Structures grow only at their end.
 *
 * Views (NrStr, NrBytes, NrRequest) are borrowed for the call: code that keeps the
 * data copies it. An empty view from the host has a NULL pointer.
 *
 * Same target triple on both sides. See becket.h for what a host offers
 * beyond send_result, and for macros.
 */
#ifndef NYLON_RING_H
#define NYLON_RING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NR_ABI_VERSION 1u

#if defined(_WIN32)
#define NR_EXPORT __declspec(dllexport)
#else
#define NR_EXPORT __attribute__((visibility("default")))
#endif

/* Any value; one without a name is carried as it is and counts as an error. */
typedef uint32_t NrStatus;

#define NR_OK ((NrStatus)0)           /* done; as a frame: more may follow */
#define NR_ERR ((NrStatus)1)          /* failed while running */
#define NR_INVALID ((NrStatus)2)      /* bad input, id or state */
#define NR_UNSUPPORTED ((NrStatus)3)  /* not offered */
#define NR_STREAM_END ((NrStatus)4)   /* the last frame of a good stream */
#define NR_PANIC ((NrStatus)5)        /* a panic or exception was caught */
#define NR_BACKPRESSURE ((NrStatus)6) /* full; nothing was taken */
#define NR_TIMEOUT ((NrStatus)7)      /* what was waited for did not come in time */
#define NR_CANCELLED ((NrStatus)8)    /* a wait ended: no caller, or the plugin ends */
#define NR_CLOSED ((NrStatus)9)       /* nothing more comes */
#define NR_TOO_LONG ((NrStatus)10)    /* longer than the host takes; nothing was taken */

/* UTF-8 text. */
typedef struct NrStr {
    const uint8_t *ptr;
    uint32_t len; /* bytes */
    uint32_t _reserved;
} NrStr;

typedef struct NrBytes {
    const uint8_t *ptr;
    uint64_t len; /* bytes */
} NrBytes;

/* Bytes that the sender owns and the receiver reads in place: release is
 * called exactly once, from any thread; NULL for static bytes. */
typedef struct NrOwnedBytes {
    const uint8_t *ptr;
    uint64_t len; /* bytes */
    void *owner_ctx;
    void (*release)(void *owner_ctx, const uint8_t *ptr, uint64_t len);
} NrOwnedBytes;

/* A buffer of the host that the plugin writes into. token 0: refused. */
typedef struct NrBufferLease {
    uint8_t *ptr;
    uint64_t cap; /* bytes */
    uint64_t token;
} NrBufferLease;

typedef struct NrHeader {
    NrStr key;
    NrStr value;
} NrHeader;

typedef struct NrRequest {
    NrStr path;   /* without the query */
    NrStr method; /* upper case for HTTP */
    NrStr query;  /* without its '?' */
    const NrHeader *headers;
    uint32_t headers_len;
    uint32_t _reserved0;
    uint64_t _reserved1;
} NrRequest;

/* The host's callbacks; any thread, any time, also after shutdown. Never from a
 * signal handler: see becket.h. */
typedef struct NrHostVTable {
    /* Answers call sid, or sends one frame of stream sid. The payload is
     * copied before this returns. On a plugin's own thread it waits for room
     * when the stream's queue is full; inside a vtable call a full queue ends
     * the stream. BkHostApi.send returns Backpressure instead. */
    void (*send_result)(void *host_ctx, uint64_t sid, NrStatus status, NrBytes payload);
} NrHostVTable;

/* State of a call, in its first shape; see also BkHostApi.state_get. It is at
 * BkHostApi.host_ext; plugins of the first builds find a pointer to it behind
 * host_ctx, at offset 0x30 or 0x50, where their compiler put it. The
 * bytes returned are the calling thread's until its next call into the host. */
typedef struct NrHostExt {
    NrBytes (*set_state)(void *host_ctx, uint64_t sid, NrStr key, NrBytes value);
    NrBytes (*get_state)(void *host_ctx, uint64_t sid, NrStr key);
} NrHostExt;

/* Entry kinds. */
#define BK_ENTRY_UNARY 0u
#define BK_ENTRY_STREAM 1u
#define BK_ENTRY_BIDIRECTIONAL 2u
/* Added to a kind, in a plugin that wants coroutines: this handler never
 * waits. It runs on its caller's thread and gets frames by stream_data. */
#define BK_ENTRY_NEVER_WAITS 0x100u

/* resolve_entry: no entry of that name. */
#define BK_ENTRY_UNKNOWN 0xFFFFFFFFu

/* One entry, as describe reports it; struct_size is set by the host. The
 * texts live as long as the plugin. */
typedef struct BkEntryInfo {
    uint32_t struct_size;
    uint32_t kind; /* BK_ENTRY_*, perhaps | BK_ENTRY_NEVER_WAITS */
    NrStr name;
    NrStr help;
} BkEntryInfo;

struct BkHostApi; /* becket.h */

/* The plugin's functions. NULL: not supported. init and one of handle and
 * handle_raw are required. None unwinds; all return at once, but a handler that
 * runs on a coroutine, which may wait (becket.h). */
typedef struct NrPluginVTable {
    NrStatus (*init)(void *plugin_ctx, void *host_ctx, const NrHostVTable *host_vtable);
    NrStatus (*handle)(void *plugin_ctx, NrStr entry, uint64_t sid, const NrRequest *request,
                       NrBytes payload); /* request may be NULL */
    void (*shutdown)(void *plugin_ctx);  /* not called if init failed */
    NrStatus (*stream_data)(void *plugin_ctx, uint64_t sid, NrBytes data);
    NrStatus (*stream_close)(void *plugin_ctx, uint64_t sid);
    /* Present only if NrPluginInfo.vtable_size covers them. */
    NrStatus (*handle_raw)(void *plugin_ctx, NrStr entry, uint64_t sid, NrBytes payload);
    uint32_t (*resolve_entry)(void *plugin_ctx, NrStr name);
    NrStatus (*handle_by_id)(void *plugin_ctx, uint32_t id, uint64_t sid,
                             const NrRequest *request, NrBytes payload);
    NrStatus (*describe)(void *plugin_ctx, uint32_t index, BkEntryInfo *out); /* also before init */
    NrStatus (*cancel)(void *plugin_ctx, uint64_t sid); /* sid has no caller any more */
    NrStatus (*reload_export)(void *plugin_ctx, NrOwnedBytes *out);
    NrStatus (*reload_import)(void *plugin_ctx, NrBytes state);
    /* A frame of stream sid was answered Backpressure; now there is room. */
    NrStatus (*stream_room)(void *plugin_ctx, uint64_t sid);
} NrPluginVTable;

/* Flags of a plugin. */
#define BK_PLUGIN_THREAD_SAFE 1u     /* without it the host serialises its calls */
#define BK_PLUGIN_MULTI_INSTANCE 2u  /* several instances of one file may live */
#define BK_PLUGIN_WANTS_COROUTINE 4u /* handlers run on coroutines; wants THREAD_SAFE too */
#define BK_PLUGIN_MAY_UNLOAD 8u      /* after shutdown the image may be unmapped */
#define BK_PLUGIN_NEVER_BLOCKS 16u   /* no function blocks: it may run on callers' threads */

#define NR_PLUGIN_INFO_SIZE_DOCUMENTED 56u

typedef struct NrPluginInfo {
    uint32_t abi_version; /* NR_ABI_VERSION */
    uint32_t struct_size; /* sizeof(NrPluginInfo) */
    NrStr name;
    NrStr version;
    void *plugin_ctx; /* first argument of every vtable function */
    const NrPluginVTable *vtable;
    /* Present only if struct_size covers them. */
    uint32_t vtable_size;  /* sizeof(NrPluginVTable); 0: the first five slots */
    uint32_t flags;        /* BK_PLUGIN_* */
    NrStr config_default;  /* a JSON object, or empty */
    /* Called once, before init; the table lives for the rest of the process. */
    NrStatus (*attach)(void *plugin_ctx, void *host_ctx, const struct BkHostApi *api);
    uint64_t coroutine_stack_bytes; /* of a handler on a coroutine; 0: 64 KiB */
} NrPluginInfo;

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void);

/* A view of a text literal. */
#ifdef __cplusplus
#define NR_STR(literal) \
    NrStr { reinterpret_cast<const uint8_t *>(literal), static_cast<uint32_t>(sizeof(literal) - 1), 0 }
#else
#define NR_STR(literal) \
    ((NrStr){(const uint8_t *)(literal), (uint32_t)(sizeof(literal) - 1), 0})
#endif

#ifdef __cplusplus
}
#endif

#endif /* NYLON_RING_H */
