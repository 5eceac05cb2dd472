/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that calls its host from a signal handler, which no plugin may. Its
 * entry is sent the signal some hundred times while it calls the host itself, so
 * that the handler interrupts the host as often as not, and answers how many
 * of the handler's calls were refused.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "becket.h"
#include "nylon_ring.h"

#define INTERRUPTIONS 300

static void *host_ctx;
static const BkHostApi *api;
static _Atomic uint64_t current;
static atomic_int refused, made;

static NrStatus attach(void *ctx, void *context, const BkHostApi *offered) {
    (void)ctx;
    host_ctx = context;
    api = offered;
    return NR_OK;
}

static NrStatus init(void *ctx, void *context, const NrHostVTable *vtable) {
    (void)ctx, (void)context, (void)vtable;
    return NR_OK;
}

static void on_signal(int number) {
    (void)number;
    uint64_t sid = atomic_load(&current);
    uint8_t buffer[8];
    uint64_t len;
    if (api->state_get(host_ctx, sid, NR_STR("key"), buffer, sizeof buffer, &len) == NR_INVALID) {
        atomic_fetch_add(&refused, 1);
    }
    api->lease_release(host_ctx, 1);
    api->timer_cancel(host_ctx, 1);
    atomic_fetch_add(&made, 1);
}

/* Interrupts the thread that is given. */
static void *interrupt(void *thread) {
    for (int at = 0; at < INTERRUPTIONS; at++) {
        int before = atomic_load(&made);
        pthread_kill(*(pthread_t *)thread, SIGUSR2);
        while (atomic_load(&made) == before) {
        }
    }
    return NULL;
}

static void never(void *user_data) { (void)user_data; }

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx, (void)entry, (void)request;
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t this = pthread_self(), other;
    atomic_store(&current, sid);
    sigaction(SIGUSR2, &action, NULL);
    if (pthread_create(&other, NULL, interrupt, &this) != 0) {
        return NR_ERR;
    }
    /* Whatever takes a lock of the host's. */
    while (atomic_load(&made) < INTERRUPTIONS) {
        uint8_t buffer[8];
        uint64_t len;
        api->state_set(host_ctx, sid, NR_STR("key"), payload);
        api->state_get(host_ctx, sid, NR_STR("key"), buffer, sizeof buffer, &len);
        NrBufferLease lease = api->lease_acquire(host_ctx, sid, 8);
        api->lease_release(host_ctx, lease.token);
        api->timer_cancel(host_ctx, api->timer_start(host_ctx, 3600000, never, NULL));
    }
    pthread_join(other, NULL);
    char text[32];
    snprintf(text, sizeof text, "%d", atomic_load(&refused));
    NrBytes answer = {(const uint8_t *)text, strlen(text)};
    return api->send(host_ctx, sid, NR_OK, answer);
}

static const NrPluginVTable vtable = {.init = init, .handle = handle};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("signals");
    info.version = NR_STR("1");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_THREAD_SAFE;
    info.attach = attach;
    return &info;
}
