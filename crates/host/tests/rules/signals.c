/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that calls its host from a signal handler, which no plugin may. Its
 * entry is sent the signal some hundred times while it calls the host itself, so
 * that the handler interrupts the host as often as not, and answers how many
 * of the handler's calls were refused. Stands behind frame.c.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define INTERRUPTIONS 300

static _Atomic uint64_t current;
static atomic_int refused, made;

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
