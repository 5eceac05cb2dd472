/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin of version 2 of the ABI that does what its payload says, and answers what came of it.
 *
 * Entry `hold` keeps its call under the number in its payload and does not answer it, `refuse` takes a
 * lease and refuses its call. Entry `run` takes operations, one a line, on call K, its own if K is 9:
 *
 *   vec K STATUS LEN CAP OWNED DROP   a vector of LEN bytes; DROP 0: NULL, 1: counts, other: that address
 *   null K LEN CAP OWNED              the same of NULL, with a drop_fn that counts
 *   bytes K STATUS LEN RELEASE        owned bytes; RELEASE as DROP
 *   lease K CAP                       takes and fills one: its capacity, or `none`
 *   commit K J DELTA STATUS LEN       commits the lease that was taken for call J, its token off by DELTA
 *   touch K                           writes the whole lease again
 *   state K VALUE                     sets and gets
 *   clear K, held K                   forgets the call; whether there is one
 *   given                             how often vectors and bytes were given back, and how often wrongly
 *
 * Each adds a word to the answer.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nylon_ring_v2.h"

#ifndef VERSION
#define VERSION NR_V2_ABI_VERSION
#endif
#ifndef SIZE
#define SIZE sizeof(NrV2PluginInfo)
#endif
#ifndef INIT
#define INIT NR_OK
#endif
#ifndef NAMES
#define NAMES "run", "hold", "refuse", "how", "stream", "one", "two"
#endif

#define CALLS 10
#define GIVEN_MAX 4096

static void *host_ctx;
static const NrV2HostVTable *host;
static uint64_t sids[CALLS];
static NrBufferLease leases[CALLS];

/* What was handed over, and how often it was given back. Nothing is freed: each address comes once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const void *ptr;
    uint64_t len, third;
    int back;
} given[GIVEN_MAX];
static int given_count, back_count, wrong_count;

static void give(const void *ptr, uint64_t len, uint64_t third) {
    pthread_mutex_lock(&lock);
    given[given_count % GIVEN_MAX].ptr = ptr;
    given[given_count % GIVEN_MAX].len = len;
    given[given_count % GIVEN_MAX].third = third;
    given_count++;
    pthread_mutex_unlock(&lock);
}

static void take_back(const void *ptr, uint64_t len, uint64_t third) {
    pthread_mutex_lock(&lock);
    int found = 0;
    for (int at = 0; at < given_count && at < GIVEN_MAX && !found; at++) {
        found = given[at].back == 0 && given[at].ptr == ptr && given[at].len == len && given[at].third == third;
        given[at].back += found;
    }
    back_count += found;
    wrong_count += !found;
    pthread_mutex_unlock(&lock);
}

static void dropped(uint8_t *ptr, uint64_t len, uint64_t cap) { take_back(ptr, len, cap); }
static void released(void *owner, const uint8_t *ptr, uint64_t len) { take_back(ptr, len, (uint64_t)(uintptr_t)owner); }

static uint8_t *filled(uint64_t len, int with) {
    const size_t size = len < (1 << 20) ? (size_t)len + 1 : 64;
    uint8_t *bytes = malloc(size);
    memset(bytes, with, size);
    return bytes;
}

static NrStatus borrowed(uint64_t sid, NrStatus status, const char *text) {
    NrVec vec = {(uint8_t *)text, strlen(text), 0, 0, {0}, NULL};
    return host->send_result(host_ctx, sid, status, vec);
}

static NrStatus send_vec(uint64_t sid, unsigned status, uint8_t *ptr, uint64_t len, uint64_t cap, int owned,
                         uint64_t drop) {
    NrVec vec = {ptr, len, cap, (uint8_t)owned, {0}, NULL};
    const uintptr_t wild = (uintptr_t)drop;
    if (drop == 1) {
        vec.drop_fn = dropped;
        give(ptr, len, cap);
    } else {
        memcpy(&vec.drop_fn, &wild, sizeof wild);
    }
    return host->send_result(host_ctx, sid, status, vec);
}

static void operate(uint64_t own, const char *line, char *out, size_t size) {
    unsigned k = 0, j = 0, status = 0;
    unsigned long long len = 0, cap = 0, drop = 0, delta = 0;
    int owned = 0;
    char text[64] = {0};
    sids[9] = own;
    const uint64_t *sid = sids;
    if (sscanf(line, "vec %1u %u %llu %llu %d %llu", &k, &status, &len, &cap, &owned, &drop) == 6) {
        snprintf(out, size, "%u", send_vec(sid[k], status, filled(len, 'v'), len, cap, owned, drop));
    } else if (sscanf(line, "null %1u %llu %llu %d", &k, &len, &cap, &owned) == 4) {
        snprintf(out, size, "%u", send_vec(sid[k], NR_OK, NULL, len, cap, owned, 1));
    } else if (sscanf(line, "bytes %1u %u %llu %llu", &k, &status, &len, &drop) == 4) {
        NrOwnedBytes bytes = {filled(len, 'b'), len, (void *)(uintptr_t)7, NULL};
        const uintptr_t wild = (uintptr_t)drop;
        if (drop == 1) {
            bytes.release = released;
            give(bytes.ptr, len, 7);
        } else {
            memcpy(&bytes.release, &wild, sizeof wild);
        }
        snprintf(out, size, "%u", host->send_result_owned(host_ctx, sid[k], status, bytes));
    } else if (sscanf(line, "lease %1u %llu", &k, &cap) == 2) {
        NrBufferLease lease = host->acquire_result_buffer(host_ctx, sid[k], cap);
        if (lease.ptr == NULL) {
            snprintf(out, size, lease.cap == 0 && lease.token == 0 ? "none" : "half");
        } else {
            leases[k] = lease;
            memset(lease.ptr, 'l', lease.cap);
            snprintf(out, size, lease.cap >= cap ? "leased" : "short");
        }
    } else if (sscanf(line, "commit %1u %1u %llu %u %llu", &k, &j, &delta, &status, &len) == 5) {
        snprintf(out, size, "%u", host->commit_result_buffer(host_ctx, sid[k], status, leases[j].token ^ delta, len));
    } else if (sscanf(line, "touch %1u", &k) == 1) {
        memset(leases[k].ptr, 't', leases[k].cap);
        snprintf(out, size, "touched");
    } else if (sscanf(line, "state %1u %63s", &k, text) == 2) {
        NrStatus (*set_state)(void *, uint64_t, NrStr, NrBytes);
        NrVec (*get_state)(void *, uint64_t, NrStr);
        memcpy(&set_state, (const char *)host_ctx + 0x18, sizeof set_state);
        memcpy(&get_state, (const char *)host_ctx + 0x20, sizeof get_state);
        NrBytes value = {(const uint8_t *)text, strlen(text)};
        NrVec none = get_state(host_ctx, sid[k], NR_STR("absent"));
        const unsigned set = set_state(host_ctx, sid[k], NR_STR("key"), value);
        NrVec got = get_state(host_ctx, sid[k], NR_STR("key"));
        snprintf(out, size, "%u:%.*s:%d", set, (int)got.len, got.ptr == NULL ? "" : (char *)got.ptr, none.owned);
        if (got.owned == 1 && got.drop_fn != NULL) {
            got.drop_fn(got.ptr, got.len, got.cap);
        }
    } else if (sscanf(line, "clear %1u", &k) == 1) {
        sids[k] = 0;
        snprintf(out, size, "cleared");
    } else if (sscanf(line, "held %1u", &k) == 1) {
        snprintf(out, size, "%d", sids[k] != 0);
    } else if (strcmp(line, "given") == 0) {
        pthread_mutex_lock(&lock);
        snprintf(out, size, "%d:%d", back_count, wrong_count);
        pthread_mutex_unlock(&lock);
    } else {
        snprintf(out, size, "unknown-operation");
    }
}

static NrStatus run(uint64_t sid, NrBytes payload) {
    char script[1024] = {0}, answer[1024] = {0};
    memcpy(script, payload.ptr, payload.len < sizeof script - 1 ? payload.len : sizeof script - 1);
    char *rest = NULL;
    for (char *line = strtok_r(script, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        size_t at = strlen(answer);
        if (at > 0) {
            answer[at++] = ' ';
        }
        operate(sid, line, answer + at, sizeof answer - at);
    }
    /* Refused, if the script has answered this call. */
    borrowed(sid, NR_OK, answer);
    return NR_OK;
}

static NrStatus do_entry(const char *name, const char *how, uint64_t sid, NrBytes payload) {
    if (strcmp(name, "run") == 0) {
        return run(sid, payload);
    } else if (strcmp(name, "hold") == 0) {
        sids[payload.ptr[0] - '0'] = sid;
        return NR_OK;
    } else if (strcmp(name, "refuse") == 0) {
        host->acquire_result_buffer(host_ctx, sid, 16);
        return NR_ERR;
    } else if (strcmp(name, "how") == 0) {
        return borrowed(sid, NR_OK, how);
    } else if (strcmp(name, "stream") == 0) {
        sids[0] = sid;
        borrowed(sid, NR_OK, "first");
        return send_vec(sid, NR_OK, filled(100, 'f'), 100, 128, 1, 1);
    }
    return borrowed(sid, NR_OK, name);
}

static const char *const names[] = {NAMES};
#define NAMES_COUNT (sizeof names / sizeof names[0])

static uint32_t resolve_entry(NrStr name) {
    for (uint32_t at = 0; at < NAMES_COUNT; at++) {
        if (strlen(names[at]) == name.len && memcmp(names[at], name.ptr, name.len) == 0) {
            return at + 100;
        }
    }
    return NR_V2_ENTRY_UNKNOWN;
}

static NrStatus handle_by_id(uint32_t id, uint64_t sid, NrBytes payload) {
    return id - 100 < NAMES_COUNT ? do_entry(names[id - 100], "id", sid, payload) : NR_INVALID;
}

static NrStatus handle(NrStr entry, uint64_t sid, NrBytes payload) {
    const uint32_t id = resolve_entry(entry);
    return id == NR_V2_ENTRY_UNKNOWN ? NR_INVALID : do_entry(names[id - 100], "name", sid, payload);
}

static NrStatus stream_data(uint64_t sid, NrBytes data) {
    uint8_t *copy = filled(data.len, 0);
    memcpy(copy, data.ptr, data.len);
    return send_vec(sid, NR_OK, copy, data.len, data.len, 1, 1);
}

static NrStatus stream_close(uint64_t sid) { return borrowed(sid, NR_STREAM_END, "last"); }

static NrStatus init(void *ctx, const NrV2HostVTable *table) {
    host_ctx = ctx;
    host = table;
    return INIT;
}

static void shutdown(void) { host = NULL; }

#ifndef VTABLE
#define VTABLE init, handle, shutdown, stream_data, stream_close, resolve_entry, handle_by_id
#endif
static const NrV2PluginVTable vtable = {VTABLE};
static void *const used[] __attribute__((used)) = {(void *)shutdown, (void *)stream_data, (void *)stream_close,
                                                   (void *)resolve_entry, (void *)handle_by_id};

NR_EXPORT const NrV2PluginInfo *nylon_ring_get_plugin(void) {
    static NrV2PluginInfo info;
    info.abi_version = VERSION;
    info.struct_size = SIZE;
    info.name = NR_STR("second");
    info.version = NR_STR("2");
    info.vtable = &vtable;
    return &info;
}

#ifdef BOTH
static NrStatus v1_init(void *ctx, void *context, const NrHostVTable *table) {
    (void)ctx, (void)context, (void)table;
    return NR_OK;
}
static NrStatus v1_handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx, (void)entry, (void)sid, (void)request, (void)payload;
    return NR_UNSUPPORTED;
}
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static const NrPluginVTable first = {.init = v1_init, .handle = v1_handle};
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("first");
    info.version = NR_STR("1");
    info.vtable = &first;
    info.vtable_size = sizeof first;
    return &info;
}
#endif
