// SPDX-License-Identifier: BSD-3-Clause
// The undelivered promise under load: threads send, receive, select, give up, cancel and close at
// once, and each element is accounted for.

#include <string.h>

#include "expect.h"
#include "kcoro.h"

enum { SENDERS = 3, RECEIVERS = 3, EACH = 400, ROUNDS = 12, ALL = SENDERS * EACH };

typedef struct {
    int id;
    char ballast[100]; // a size that does not travel inline in every second round
} element_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char delivered[ALL], hooked[ALL];
static int answers[ALL];

typedef struct {
    kc_chan_t *ch, *never;
    kc_cancel_t *token;
    size_t elem_sz;
    int first;
    unsigned seed;
} worker_t;

static unsigned next(unsigned *seed) {
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

static void note(unsigned char *counts, const void *elem) {
    int id;
    memcpy(&id, elem, sizeof id);
    EXPECT(id >= 0 && id < ALL);
    pthread_mutex_lock(&lock);
    counts[id]++;
    pthread_mutex_unlock(&lock);
}

static void on_lost(void *elem, size_t len, void *arg) {
    EXPECT_EQ(len, *(size_t *)arg);
    note(hooked, elem);
}

static void *send_all(void *arg) {
    worker_t *worker = (worker_t *)arg;
    element_t element;
    memset(&element, 0, sizeof element);
    for (int i = 0; i < EACH; i++) {
        element.id = worker->first + i;
        long timeout = (long)(next(&worker->seed) % 3) - 1;
        answers[element.id] =
            next(&worker->seed) % 2
                ? kc_chan_send_c(worker->ch, &element, timeout, worker->token)
                : kc_chan_send(worker->ch, &element, timeout < 0 ? 20 : timeout);
    }
    return NULL;
}

static void *recv_all(void *arg) {
    worker_t *worker = (worker_t *)arg;
    element_t element;
    kc_select_t *set = NULL;
    EXPECT_EQ(kc_select_create(&set, worker->token), 0);
    EXPECT_EQ(kc_select_add_recv(set, worker->never, &element), 0);
    EXPECT_EQ(kc_select_add_recv(set, worker->ch, &element), 0);
    for (;;) {
        int answer, index = 1;
        switch (next(&worker->seed) % 4) {
        case 0: answer = kc_select_wait(set, -1, &index, NULL); break;
        case 1: answer = kc_chan_recv_c(worker->ch, &element, -1, worker->token); break;
        case 2: answer = kc_chan_recv(worker->ch, &element, 1); break;
        default: answer = kc_chan_try_recv(worker->ch, &element); break;
        }
        if (answer == 0) {
            EXPECT_EQ(index, 1);
            note(delivered, &element);
        } else if (answer == KC_EPIPE) {
            break;
        } else {
            EXPECT(answer == KC_ETIME || answer == KC_EAGAIN || answer == KC_ECANCELED);
        }
    }
    kc_select_destroy(set);
    return NULL;
}

static void round_of(int kind, int round) {
    size_t elem_sz = round % 2 ? sizeof(element_t) : sizeof(int);
    kc_chan_t *ch = NULL, *never = NULL;
    kc_cancel_t *token = NULL;
    pthread_t threads[SENDERS + RECEIVERS];
    worker_t workers[SENDERS + RECEIVERS];
    memset(delivered, 0, sizeof delivered);
    memset(hooked, 0, sizeof hooked);
    EXPECT_EQ(kc_chan_make_ex(&ch, kind, elem_sz, 3, on_lost, NULL, &elem_sz), 0);
    EXPECT_EQ(kc_chan_make(&never, KC_RENDEZVOUS, sizeof(element_t), 0), 0);
    EXPECT_EQ(kc_cancel_init(&token), 0);
    for (int i = 0; i < SENDERS + RECEIVERS; i++) {
        worker_t worker = {ch, never, token, elem_sz, i * EACH, (unsigned)(round * 100 + i)};
        workers[i] = worker;
        pthread_create(&threads[i], NULL, i < SENDERS ? send_all : recv_all, &workers[i]);
    }
    // In the midst of it, or at the end.
    if (round % 3 == 0) {
        kc_cancel_trigger(token);
    }
    if (round % 3 == 1) {
        kc_chan_close(ch);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    kc_chan_close(ch);
    for (int i = SENDERS; i < SENDERS + RECEIVERS; i++) {
        pthread_join(threads[i], NULL);
    }
    struct kc_chan_snapshot snapshot;
    EXPECT_EQ(kc_chan_snapshot(ch, &snapshot), 0);
    kc_chan_destroy(ch);
    kc_chan_destroy(never);
    kc_cancel_destroy(token);

    unsigned long sent = 0, received = 0;
    for (int id = 0; id < ALL; id++) {
        switch (answers[id]) {
        case 0: EXPECT_EQ(delivered[id] + hooked[id], 1); break;
        case KC_EPIPE:
        case KC_ECANCELED: EXPECT(delivered[id] == 0 && hooked[id] <= 1); break;
        default:
            EXPECT(answers[id] == KC_ETIME || answers[id] == KC_EAGAIN);
            EXPECT_EQ(delivered[id] + hooked[id], 0);
            break;
        }
        sent += answers[id] == 0;
        received += delivered[id];
    }
    EXPECT_EQ(snapshot.total_sends, sent);
    EXPECT_EQ(snapshot.total_recvs, received);
    EXPECT_EQ(snapshot.total_bytes_sent, sent * elem_sz);
}

int main(void) {
    static const int kinds[] = {KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED};
    for (int at = 0; at < 4; at++) {
        for (int round = 0; round < ROUNDS; round++) {
            round_of(kinds[at], round);
        }
    }
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
