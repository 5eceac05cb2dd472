// SPDX-License-Identifier: BSD-3-Clause
// Channels of elements: each kind, each answer, each size.

#include <string.h>

#include "expect.h"
#include "kcoro.h"

static const int KINDS[] = {KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED};
#define EACH_KIND(kind) for (int at = 0, kind = 0; at < 4 && (kind = KINDS[at], 1); at++)

static kc_chan_t *make(int kind, size_t elem_sz, size_t capacity) {
    kc_chan_t *ch = NULL;
    EXPECT_EQ(kc_chan_make(&ch, kind, elem_sz, capacity), 0);
    EXPECT(ch != NULL);
    return ch;
}

static void refuses_what_makes_no_sense(void) {
    kc_chan_t *ch = NULL;
    int value = 1;
    EXPECT_EQ(kc_chan_make(NULL, KC_BUFFERED, sizeof value, 1), -22);
    EXPECT_EQ(kc_chan_make(&ch, KC_BUFFERED, 0, 1), -22);
    EXPECT_EQ(kc_chan_make(&ch, -3, sizeof value, 1), -22);
    EXPECT_EQ(kc_chan_make(&ch, KC_BUFFERED, sizeof value, (size_t)-1 / 2), -12);
    EXPECT(ch == NULL);
    EXPECT_EQ(kc_chan_send(NULL, &value, 0), -22);
    EXPECT_EQ(kc_chan_recv(NULL, &value, 0), -22);
    EXPECT_EQ(kc_chan_len(NULL), 0);
    kc_chan_close(NULL);
    kc_chan_destroy(NULL);
    EACH_KIND(kind) {
        ch = make(kind, sizeof value, 2);
        EXPECT_EQ(kc_chan_send(ch, NULL, 0), -22);
        EXPECT_EQ(kc_chan_recv(ch, NULL, -1), -22);
        kc_chan_destroy(ch);
    }
    EXPECT_EQ(kc_chan_make_ptr(&ch, KC_BUFFERED, 2), 0);
    EXPECT_EQ(kc_chan_send(ch, &value, 0), -22);
    EXPECT_EQ(kc_chan_recv(ch, &value, 0), -22);
    kc_chan_destroy(ch);
}

static void numbers_are_the_system_s(void) {
    EXPECT_EQ(KC_EAGAIN, -11);
    EXPECT_EQ(KC_EPIPE, -32);
    EXPECT_EQ(KC_ETIME, -62);
    EXPECT_EQ(KC_ECANCELED, -125);
    EXPECT_EQ(KC_ENOTSUP, -95);
}

static void holds_exactly(int kind, size_t capacity, int expected) {
    kc_chan_t *ch = make(kind, sizeof(int), capacity);
    for (int i = 0; i < expected; i++) {
        EXPECT_EQ(kc_chan_try_send(ch, &i), 0);
        EXPECT_EQ(kc_chan_len(ch), i + 1);
    }
    EXPECT_EQ(kc_chan_try_send(ch, &expected), KC_EAGAIN);
    for (int i = 0, got = -1; i < expected; i++) {
        EXPECT_EQ(kc_chan_try_recv(ch, &got), 0);
        EXPECT_EQ(got, i);
    }
    EXPECT_EQ(kc_chan_len(ch), 0);
    kc_chan_destroy(ch);
}

static void capacity_is_what_was_asked_for(void) {
    holds_exactly(KC_BUFFERED, 1, 1);
    holds_exactly(KC_BUFFERED, 3, 3);
    holds_exactly(KC_BUFFERED, 64, 64);
    holds_exactly(KC_BUFFERED, 0, 1);
    holds_exactly(5, 0, 5);
    holds_exactly(5, 7, 7);
}

static void conflated_keeps_the_latest(void) {
    kc_chan_t *ch = make(KC_CONFLATED, sizeof(int), 0);
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(kc_chan_send(ch, &i, -1), 0);
        EXPECT_EQ(kc_chan_len(ch), 1);
    }
    int got = -1;
    EXPECT_EQ(kc_chan_try_recv(ch, &got), 0);
    EXPECT_EQ(got, 9);
    EXPECT_EQ(kc_chan_len(ch), 0);
    EXPECT_EQ(kc_chan_try_recv(ch, &got), KC_EAGAIN);
    kc_chan_destroy(ch);
}

static void unlimited_holds_what_comes(void) {
    kc_chan_t *ch = make(KC_UNLIMITED, sizeof(int), 0);
    for (int i = 0; i < 10000; i++) {
        EXPECT_EQ(kc_chan_send(ch, &i, 0), 0);
    }
    EXPECT_EQ(kc_chan_len(ch), 10000);
    for (int i = 0, got = -1; i < 10000; i++) {
        EXPECT_EQ(kc_chan_recv(ch, &got, -1), 0);
        EXPECT_EQ(got, i);
    }
    kc_chan_destroy(ch);
}

static void elements_of_every_size(void) {
    unsigned char sent[400], got[400];
    for (size_t size = 1; size < 400; size++) {
        kc_chan_t *ch = make(KC_BUFFERED, size, 2);
        for (int round = 0; round < 2; round++) {
            memset(sent, (int)size + round, sizeof sent);
            EXPECT_EQ(kc_chan_try_send(ch, sent), 0);
        }
        for (int round = 0; round < 2; round++) {
            memset(sent, (int)size + round, sizeof sent);
            memset(got, 0xEE, sizeof got);
            EXPECT_EQ(kc_chan_try_recv(ch, got), 0);
            EXPECT(memcmp(sent, got, size) == 0);
            EXPECT(got[size] == 0xEE);
        }
        EXPECT_EQ(kc_chan_try_send(ch, sent), 0);
        kc_chan_destroy(ch);
    }
}

static void empty_and_full_by_timeout(void) {
    EACH_KIND(kind) {
        int value = 7;
        kc_chan_t *ch = make(kind, sizeof value, 1);
        EXPECT_EQ(kc_chan_recv(ch, &value, 0), KC_EAGAIN);
        EXPECT_EQ(kc_chan_recv(ch, &value, 1), KC_ETIME);
        EXPECT_EQ(kc_chan_recv_c(ch, &value, 1, NULL), KC_ETIME);
        if (kind == KC_BUFFERED) {
            EXPECT_EQ(kc_chan_send(ch, &value, -1), 0);
        }
        if (kind == KC_BUFFERED || kind == KC_RENDEZVOUS) {
            EXPECT_EQ(kc_chan_send(ch, &value, 0), KC_EAGAIN);
            EXPECT_EQ(kc_chan_send(ch, &value, 1), KC_ETIME);
            EXPECT_EQ(kc_chan_send_c(ch, &value, 1, NULL), KC_ETIME);
        }
        EXPECT_EQ(value, 7);
        kc_chan_destroy(ch);
    }
}

static void closed_and_drained(void) {
    EACH_KIND(kind) {
        int value = 7, got = 0;
        kc_chan_t *ch = make(kind, sizeof value, 4);
        int held = kind == KC_RENDEZVOUS ? 0 : 1;
        EXPECT_EQ(kc_chan_try_send(ch, &value), held ? 0 : KC_EAGAIN);
        kc_chan_close(ch);
        kc_chan_close(ch);
        EXPECT_EQ(kc_chan_len(ch), held);
        EXPECT_EQ(kc_chan_send(ch, &value, 0), KC_EPIPE);
        EXPECT_EQ(kc_chan_send(ch, &value, -1), KC_EPIPE);
        EXPECT_EQ(kc_chan_send(ch, &value, 1000), KC_EPIPE);
        if (held) {
            EXPECT_EQ(kc_chan_recv(ch, &got, 0), 0);
            EXPECT_EQ(got, 7);
        }
        EXPECT_EQ(kc_chan_try_recv(ch, &got), KC_EPIPE);
        EXPECT_EQ(kc_chan_recv(ch, &got, -1), KC_EPIPE);
        EXPECT_EQ(kc_chan_recv(ch, &got, 1000), KC_EPIPE);
        kc_chan_destroy(ch);
    }
}

static void a_set_token_comes_first(void) {
    kc_cancel_t *token = NULL;
    int value = 1;
    EXPECT_EQ(kc_cancel_init(&token), 0);
    kc_cancel_trigger(token);
    EXPECT_EQ(kc_chan_send_c(NULL, NULL, 0, token), KC_ECANCELED);
    EXPECT_EQ(kc_chan_recv_c(NULL, NULL, 0, token), KC_ECANCELED);
    EACH_KIND(kind) {
        kc_chan_t *ch = make(kind, sizeof value, 2);
        (void)kc_chan_try_send(ch, &value);
        for (long timeout = -1; timeout <= 1; timeout++) {
            EXPECT_EQ(kc_chan_send_c(ch, &value, timeout, token), KC_ECANCELED);
            EXPECT_EQ(kc_chan_recv_c(ch, &value, timeout, token), KC_ECANCELED);
        }
        kc_chan_close(ch);
        EXPECT_EQ(kc_chan_send_c(ch, &value, -1, token), KC_ECANCELED);
        EXPECT_EQ(kc_chan_recv_c(ch, &value, -1, token), KC_ECANCELED);
        kc_chan_destroy(ch);
    }
    kc_cancel_destroy(token);
}

typedef struct {
    kc_chan_t *ch;
    kc_cancel_t *token;
    int sends;
    long timeout;
    int answer;
} waiter_t;

static void *wait_once(void *arg) {
    waiter_t *waiter = (waiter_t *)arg;
    int value = 3;
    waiter->answer = waiter->sends
                         ? kc_chan_send_c(waiter->ch, &value, waiter->timeout, waiter->token)
                         : kc_chan_recv_c(waiter->ch, &value, waiter->timeout, waiter->token);
    return NULL;
}

// Whether the wait has begun or not, it ends, and in the same way.
static void close_and_cancel_end_waits(void) {
    EACH_KIND(kind) {
        for (int sends = 0; sends < 2; sends++) {
            if (sends && kind != KC_BUFFERED && kind != KC_RENDEZVOUS) {
                continue;
            }
            for (int cancels = 0; cancels < 2; cancels++) {
                for (long timeout = -1; timeout < 100001; timeout += 100001) {
                    int value = 1;
                    kc_cancel_t *token = NULL;
                    kc_chan_t *ch = make(kind, sizeof value, 1);
                    EXPECT_EQ(kc_cancel_init(&token), 0);
                    if (sends) {
                        (void)kc_chan_try_send(ch, &value);
                    }
                    waiter_t waiter = {ch, token, sends, timeout, 1};
                    pthread_t thread;
                    EXPECT_EQ(pthread_create(&thread, NULL, wait_once, &waiter), 0);
                    if (cancels) {
                        kc_cancel_trigger(token);
                    } else {
                        kc_chan_close(ch);
                    }
                    pthread_join(thread, NULL);
                    EXPECT_EQ(waiter.answer, cancels ? KC_ECANCELED : KC_EPIPE);
                    kc_chan_destroy(ch);
                    kc_cancel_destroy(token);
                }
            }
        }
    }
}

enum { SENDERS = 3, RECEIVERS = 3, EACH = 5000 };

typedef struct {
    kc_chan_t *ch;
    long long sum;
    long count;
} worker_t;

static void *send_many(void *arg) {
    worker_t *worker = (worker_t *)arg;
    for (long long i = 1; i <= EACH; i++) {
        EXPECT_EQ(kc_chan_send(worker->ch, &i, -1), 0);
        worker->sum += i;
    }
    return NULL;
}

static void *recv_many(void *arg) {
    worker_t *worker = (worker_t *)arg;
    long long value;
    int answer;
    while ((answer = kc_chan_recv(worker->ch, &value, -1)) == 0) {
        worker->sum += value;
        worker->count++;
    }
    EXPECT_EQ(answer, KC_EPIPE);
    return NULL;
}

static void threads_lose_nothing(void) {
    static const int kinds[] = {KC_RENDEZVOUS, KC_BUFFERED, KC_UNLIMITED};
    for (int at = 0; at < 3; at++) {
        kc_chan_t *ch = make(kinds[at], sizeof(long long), 3);
        pthread_t threads[SENDERS + RECEIVERS];
        worker_t workers[SENDERS + RECEIVERS];
        for (int i = 0; i < SENDERS + RECEIVERS; i++) {
            workers[i].ch = ch;
            workers[i].sum = workers[i].count = 0;
            pthread_create(&threads[i], NULL, i < SENDERS ? send_many : recv_many, &workers[i]);
        }
        long long sent = 0, received = 0;
        long count = 0;
        for (int i = 0; i < SENDERS + RECEIVERS; i++) {
            if (i == SENDERS) {
                kc_chan_close(ch);
            }
            pthread_join(threads[i], NULL);
            *(i < SENDERS ? &sent : &received) += workers[i].sum;
            count += workers[i].count;
        }
        EXPECT_EQ(received, sent);
        EXPECT_EQ(count, SENDERS * EACH);
        kc_chan_destroy(ch);
    }
}

int main(void) {
    RUN(refuses_what_makes_no_sense);
    RUN(numbers_are_the_system_s);
    RUN(capacity_is_what_was_asked_for);
    RUN(conflated_keeps_the_latest);
    RUN(unlimited_holds_what_comes);
    RUN(elements_of_every_size);
    RUN(empty_and_full_by_timeout);
    RUN(closed_and_drained);
    RUN(a_set_token_comes_first);
    RUN(close_and_cancel_end_waits);
    RUN(threads_lose_nothing);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
