// SPDX-License-Identifier: BSD-3-Clause
// The requirements on a backend, tested on the memory ring: ownership, order, time, cancellation,
// close, counters, regions, many threads.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_ring.h"

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { WINDOW = 4, EACH = 2000, THREADS = 3 };

static char memory[EACH * THREADS + 1];

static kc_chan_t *make(size_t grant) {
    struct memory_ring_opts opts = {WINDOW, grant, 1000};
    kc_chan_t *ch = NULL;
    EXPECT(kc_chan_make_ptr(&ch, KC_BUFFERED, WINDOW) == 0);
    EXPECT(kc_chan_enable_zero_copy_backend(ch, memory_ring_register(), &opts) == 0);
    EXPECT(kc_chan_enable_zero_copy_backend(ch, memory_ring_register(), &opts) == 0);
    return ch;
}

static kc_zdesc_t desc(int number) {
    kc_zdesc_t d = {memory + number, (size_t)(number % 100 + 1), 0, 0, 7};
    return d;
}

static int send(kc_chan_t *ch, int number, long tmo_ms) {
    kc_zdesc_t d = desc(number), before = d;
    int answer = kc_chan_send_desc(ch, &d, tmo_ms);
    EXPECT(d.addr == before.addr && d.len == before.len && d.flags == before.flags);
    return answer;
}

// The number that was received, or the failure.
static int recv(kc_chan_t *ch, long tmo_ms) {
    kc_zdesc_t d;
    int answer = kc_chan_recv_desc(ch, &d, tmo_ms);
    if (answer != 0) {
        return answer;
    }
    int number = (int)((char *)d.addr - memory);
    EXPECT(d.len == (size_t)(number % 100 + 1) && d.flags == 7);
    return number;
}

static void order_and_window(void) {
    kc_chan_t *ch = make(2);
    for (int number = 0; number < WINDOW; number++) {
        EXPECT(send(ch, number, 0) == 0);
    }
    EXPECT(send(ch, WINDOW, 0) == KC_EAGAIN);
    EXPECT(send(ch, WINDOW, 1) == KC_ETIME);
    EXPECT(recv(ch, 0) == 0);
    EXPECT(send(ch, 9, 0) == KC_EAGAIN); // one credit is owed
    EXPECT(recv(ch, 0) == 1);
    EXPECT(send(ch, 4, 0) == 0); // two are granted
    EXPECT(recv(ch, -1) == 2 && recv(ch, -1) == 3 && recv(ch, -1) == 4);
    EXPECT(recv(ch, 0) == KC_EAGAIN);
    EXPECT(recv(ch, 1) == KC_ETIME);
    for (int number = 0; number < WINDOW; number++) {
        EXPECT(send(ch, number, 0) == 0); // an empty ring owes nothing
    }
    kc_zdesc_t wrong = desc(0);
    wrong.len = 0;
    EXPECT(kc_chan_send_desc(ch, &wrong, 0) == -22);
    wrong.len = 1001;
    EXPECT(kc_chan_send_desc(ch, &wrong, 0) == -22);
    kc_chan_destroy(ch);
}

typedef struct {
    kc_chan_t *ch;
    kc_cancel_t *token;
    int first; // of the numbers that it sends
    int answer;
} waiter_t;

static void *wait_recv(void *arg) {
    waiter_t *waiter = (waiter_t *)arg;
    kc_zdesc_t d;
    waiter->answer = kc_chan_recv_desc_c(waiter->ch, &d, -1, waiter->token);
    return NULL;
}

static void *wait_send(void *arg) {
    waiter_t *waiter = (waiter_t *)arg;
    kc_zdesc_t d = desc(1);
    waiter->answer = kc_chan_send_desc_c(waiter->ch, &d, -1, waiter->token);
    return NULL;
}

// Starts both waits, does it, and both end with `answer`.
static void ends_waits(void (*act)(kc_chan_t *, kc_chan_t *, kc_cancel_t *), int answer) {
    kc_chan_t *empty = make(1), *full = make(1);
    kc_cancel_t *token = NULL;
    EXPECT(kc_cancel_init(&token) == 0);
    for (int number = 0; number < WINDOW; number++) {
        EXPECT(send(full, number, 0) == 0);
    }
    waiter_t waiters[2] = {{empty, token, 0, 1}, {full, token, 0, 1}};
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, wait_recv, &waiters[0]);
    pthread_create(&threads[1], NULL, wait_send, &waiters[1]);
    act(empty, full, token);
    for (int at = 0; at < 2; at++) {
        pthread_join(threads[at], NULL);
        EXPECT(waiters[at].answer == answer);
    }
    // What was there is received, in either case.
    for (int number = 0; number < WINDOW; number++) {
        EXPECT(recv(full, 0) == number);
    }
    EXPECT(recv(full, 0) == (answer == KC_EPIPE ? KC_EPIPE : KC_EAGAIN));
    EXPECT(send(full, 1, 0) == (answer == KC_EPIPE ? KC_EPIPE : 0));
    kc_cancel_destroy(token);
    kc_chan_destroy(empty);
    kc_chan_destroy(full);
}

static void cancel(kc_chan_t *empty, kc_chan_t *full, kc_cancel_t *token) {
    kc_zdesc_t d = desc(1);
    kc_cancel_trigger(token);
    // Set beforehand it wins over a ring that is ready.
    EXPECT(kc_chan_send_desc_c(empty, &d, -1, token) == KC_ECANCELED);
    EXPECT(kc_chan_recv_desc_c(full, &d, -1, token) == KC_ECANCELED);
}

static void close_both(kc_chan_t *empty, kc_chan_t *full, kc_cancel_t *token) {
    (void)token;
    EXPECT(memory_ring_close(empty) == 0);
    EXPECT(memory_ring_close(full) == 0);
    EXPECT(memory_ring_close(full) == 0);
}

static void *deregister(void *region) {
    EXPECT(kc_region_deregister((kc_region_t *)region) == 0);
    return NULL;
}

static void regions_wait(void) {
    kc_region_t *region = NULL;
    kc_chan_t *ch = make(1);
    pthread_t thread;
    EXPECT(kc_region_register(&region, memory, sizeof memory, KC_REGION_F_NONE) == 0);
    EXPECT(send(ch, 1, 0) == 0 && send(ch, 2, 0) == 0);
    pthread_create(&thread, NULL, deregister, region);
    EXPECT(recv(ch, 0) == 1);
    kc_chan_destroy(ch); // the other one is lost: nothing is in flight any more
    pthread_join(thread, NULL);
}

static void *producer(void *arg) {
    waiter_t *waiter = (waiter_t *)arg;
    for (int at = 0; at < EACH; at++) {
        EXPECT(send(waiter->ch, waiter->first + at, -1) == 0);
    }
    return NULL;
}

static void *consumer(void *arg) {
    waiter_t *waiter = (waiter_t *)arg;
    int last[THREADS] = {-1, -1, -1}, number;
    while ((number = recv(waiter->ch, -1)) >= 0) {
        EXPECT(number > last[number / EACH]); // a producer's are in order
        last[number / EACH] = number;
        memory[number]++;
        waiter->answer++;
    }
    EXPECT(number == KC_EPIPE);
    return NULL;
}

static void threads_and_counters(void) {
    kc_chan_t *ch = make(3);
    pthread_t producers[THREADS], consumers[THREADS];
    waiter_t sends[THREADS], receives[THREADS];
    memset(memory, 0, sizeof memory);
    for (int at = 0; at < THREADS; at++) {
        waiter_t of = {ch, NULL, at * EACH, 0};
        sends[at] = receives[at] = of;
        pthread_create(&consumers[at], NULL, consumer, &receives[at]);
        pthread_create(&producers[at], NULL, producer, &sends[at]);
    }
    for (int at = 0; at < THREADS; at++) {
        pthread_join(producers[at], NULL);
    }
    EXPECT(memory_ring_close(ch) == 0);
    for (int at = 0; at < THREADS; at++) {
        pthread_join(consumers[at], NULL);
    }
    for (int number = 0; number < EACH * THREADS; number++) {
        EXPECT(memory[number] == 1); // each once
    }
    struct kc_chan_zstats zstats;
    struct kc_chan_stats stats;
    EXPECT(kc_chan_get_zstats(ch, &zstats) == 0 && kc_chan_get_stats(ch, &stats) == 0);
    EXPECT(zstats.zref_sent == EACH * THREADS && zstats.zref_received == EACH * THREADS);
    EXPECT(stats.total_sends == stats.total_recvs);
    EXPECT(stats.total_bytes_sent == stats.total_bytes_recv);
    kc_chan_destroy(ch);
}

int main(void) {
    kc_zcopy_backend_id id = memory_ring_register();
    EXPECT(id >= 0 && kc_zcopy_resolve(MEMORY_RING_NAME) == id);
    order_and_window();
    ends_waits(cancel, KC_ECANCELED);
    ends_waits(close_both, KC_EPIPE);
    regions_wait();
    threads_and_counters();
    puts("order, window, time: ok\ncancel: ok\nclose: ok\nregions: ok\nthreads, counters: ok");
    return 0;
}
