/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The healthy part of a zoo plugin, so that each file shows its defect alone.
 *
 * Entry `ok` answers `ok`. Entry `hit` calls zoo_hit, which each file defines.
 * ZOO_PLUGIN("name") at the end makes the vtable and the info. Before the
 * include a file may define
 *
 *   ZOO_HIT_KIND      BK_ENTRY_*; unary
 *   ZOO_OK_KIND       the same of `ok`
 *   ZOO_FLAGS         BK_PLUGIN_*; thread-safe
 *   ZOO_STACK_BYTES   of a handler on a coroutine; 0
 *   ZOO_BEFORE_OK     a function called before each `ok`
 *   ZOO_START         a function called in init
 *   ZOO_VERSION       a function that gives the version it reports; "1.0.0"
 *   ZOO_OTHER         a function for entries of other names; NR_UNSUPPORTED
 *   ZOO_SHUTDOWN, ZOO_STREAM_DATA, ZOO_STREAM_CLOSE, ZOO_RESOLVE, ZOO_BY_ID,
 *   ZOO_DESCRIBE, ZOO_CANCEL, ZOO_EXPORT
 *                     functions for the vtable
 *
 * Written against nylon_ring.h and becket.h alone, as foreign plugins are.
 */
#ifndef ZOO_H
#define ZOO_H

#define _POSIX_C_SOURCE 200809L

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "becket.h"
#include "nylon_ring.h"

#ifndef ZOO_HIT_KIND
#define ZOO_HIT_KIND BK_ENTRY_UNARY
#endif
#ifndef ZOO_OK_KIND
#define ZOO_OK_KIND BK_ENTRY_UNARY
#endif
#ifndef ZOO_STACK_BYTES
#define ZOO_STACK_BYTES 0
#endif
#ifndef ZOO_FLAGS
#define ZOO_FLAGS BK_PLUGIN_THREAD_SAFE
#endif
#ifndef ZOO_SHUTDOWN
#define ZOO_SHUTDOWN zoo_shutdown
#endif
#ifndef ZOO_STREAM_DATA
#define ZOO_STREAM_DATA NULL
#endif
#ifndef ZOO_STREAM_CLOSE
#define ZOO_STREAM_CLOSE NULL
#endif
#ifndef ZOO_RESOLVE
#define ZOO_RESOLVE NULL
#endif
#ifndef ZOO_BY_ID
#define ZOO_BY_ID NULL
#endif
#ifndef ZOO_CANCEL
#define ZOO_CANCEL NULL
#endif
#ifndef ZOO_EXPORT
#define ZOO_EXPORT NULL
#endif
#ifndef ZOO_DESCRIBE
#define ZOO_DESCRIBE zoo_describe
#endif

/* One instance a file: the flags never say several. */
static void *zoo_host_ctx;
static const NrHostVTable *zoo_host;
static const BkHostApi *zoo_api; /* NULL: a host without */

/* The defect. */
static NrStatus zoo_hit(uint64_t sid, NrBytes payload);

static inline NrBytes zoo_text(const char *text) {
    NrBytes view = {(const uint8_t *)text, strlen(text)};
    return view;
}

static inline NrStr zoo_str(const char *text) {
    NrStr view = {(const uint8_t *)text, (uint32_t)strlen(text), 0};
    return view;
}

static inline void zoo_send_bytes(uint64_t sid, NrStatus status, NrBytes payload) {
    zoo_host->send_result(zoo_host_ctx, sid, status, payload);
}

static inline void zoo_send(uint64_t sid, NrStatus status, const char *text) {
    zoo_send_bytes(sid, status, zoo_text(text));
}

/* The decimal number at the start of the payload, or instead. */
static inline uint64_t zoo_number(NrBytes payload, uint64_t instead) {
    uint64_t value = 0;
    uint64_t i = 0;
    for (; i < payload.len && payload.ptr[i] >= '0' && payload.ptr[i] <= '9'; i++) {
        value = value * 10 + (uint64_t)(payload.ptr[i] - '0');
    }
    return i == 0 ? instead : value;
}

static inline int zoo_is(NrStr entry, const char *name) {
    return entry.len == strlen(name) && memcmp(entry.ptr, name, entry.len) == 0;
}

static inline void zoo_shutdown(void *plugin_ctx) { (void)plugin_ctx; }

static inline NrStatus zoo_attach(void *plugin_ctx, void *host_ctx, const BkHostApi *api) {
    (void)plugin_ctx;
    zoo_host_ctx = host_ctx;
    zoo_api = api;
    return NR_OK;
}

#ifdef ZOO_START
static NrStatus ZOO_START(void);
#endif

static inline NrStatus zoo_init(void *plugin_ctx, void *host_ctx, const NrHostVTable *host) {
    (void)plugin_ctx;
    zoo_host_ctx = host_ctx;
    zoo_host = host;
#ifdef ZOO_START
    return ZOO_START();
#else
    return NR_OK;
#endif
}

#ifdef ZOO_BEFORE_OK
static void ZOO_BEFORE_OK(void);
#endif

#ifdef ZOO_OTHER
static NrStatus ZOO_OTHER(uint64_t sid);
#endif

#ifndef ZOO_VERSION
#define ZOO_VERSION zoo_version
#endif
static inline NrStr zoo_version(void) { return zoo_str("1.0.0"); }

static inline NrStatus zoo_handle(void *plugin_ctx, NrStr entry, uint64_t sid,
                                  const NrRequest *request, NrBytes payload) {
    (void)plugin_ctx;
    (void)request;
    if (zoo_is(entry, "ok")) {
#ifdef ZOO_BEFORE_OK
        ZOO_BEFORE_OK();
#endif
        zoo_send(sid, NR_OK, "ok");
        return NR_OK;
    }
    if (zoo_is(entry, "hit")) {
        return zoo_hit(sid, payload);
    }
#ifdef ZOO_OTHER
    return ZOO_OTHER(sid);
#else
    return NR_UNSUPPORTED;
#endif
}

static inline NrStatus zoo_describe(void *plugin_ctx, uint32_t index, BkEntryInfo *out) {
    (void)plugin_ctx;
    switch (index) {
    case 0:
        out->kind = ZOO_OK_KIND;
        out->name = zoo_str("ok");
        out->help = zoo_str("answers ok");
        return NR_OK;
    case 1:
        out->kind = ZOO_HIT_KIND;
        out->name = zoo_str("hit");
        out->help = zoo_str("shows the defect");
        return NR_OK;
    default:
        return NR_INVALID;
    }
}

#define ZOO_PLUGIN(zoo_name)                                                       \
    static const NrPluginVTable zoo_vtable = {                                     \
        zoo_init, zoo_handle, ZOO_SHUTDOWN, ZOO_STREAM_DATA, ZOO_STREAM_CLOSE,     \
        NULL,     ZOO_RESOLVE, ZOO_BY_ID,   ZOO_DESCRIBE,    ZOO_CANCEL,           \
        ZOO_EXPORT, NULL,     NULL,                                                \
    };                                                                             \
    NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {                 \
        static NrPluginInfo info;                                                  \
        info.abi_version = NR_ABI_VERSION;                                         \
        info.struct_size = sizeof info;                                            \
        info.name = NR_STR(zoo_name);                                              \
        info.version = ZOO_VERSION();                                              \
        info.vtable = &zoo_vtable;                                                 \
        info.vtable_size = sizeof zoo_vtable;                                      \
        info.flags = ZOO_FLAGS;                                                    \
        info.attach = zoo_attach;                                                  \
        info.coroutine_stack_bytes = ZOO_STACK_BYTES;                              \
        return &info;                                                              \
    }

#endif /* ZOO_H */
