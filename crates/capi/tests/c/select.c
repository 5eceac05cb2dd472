// SPDX-License-Identifier: BSD-3-Clause
// Select: of several sends and receives, one.

#include <string.h>

#include "expect.h"
#include "kcoro.h"
#include "kcoro_ext.h"

typedef struct {
    char bytes[200];
} large_t;

static kc_chan_t *make(int kind, size_t elem_sz, size_t capacity) {
    kc_chan_t *ch = NULL;
    EXPECT_EQ(kc_chan_make(&ch, kind, elem_sz, capacity), 0);
    return ch;
}

static kc_select_t *set_of(const kc_cancel_t *token) {
    kc_select_t *set = NULL;
    EXPECT_EQ(kc_select_create(&set, token), 0);
    return set;
}

static void refuses_what_makes_no_sense(void) {
    int value = 0, index = 5, result = 5;
    kc_select_t *set = set_of(NULL);
    kc_chan_t *ch = make(KC_BUFFERED, sizeof value, 1), *pointers = NULL;
    EXPECT_EQ(kc_select_create(NULL, NULL), -22);
    EXPECT_EQ(kc_select_add_recv(NULL, ch, &value), -22);
    EXPECT_EQ(kc_select_add_recv(set, NULL, &value), -22);
    EXPECT_EQ(kc_select_add_recv(set, ch, NULL), -22);
    EXPECT_EQ(kc_select_add_send(NULL, ch, &value), -22);
    EXPECT_EQ(kc_select_add_send(set, NULL, &value), -22);
    EXPECT_EQ(kc_select_add_send(set, ch, NULL), -22);
    EXPECT_EQ(kc_select_wait(NULL, 0, &index, &result), -22);
    EXPECT_EQ(kc_select_wait(set, 0, &index, &result), -22);
    EXPECT_EQ(index, -1);
    EXPECT_EQ(kc_chan_make_ptr(&pointers, KC_BUFFERED, 1), 0);
    EXPECT_EQ(kc_select_add_recv(set, pointers, &value), KC_ENOTSUP);
    EXPECT_EQ(kc_select_add_send(set, pointers, &value), KC_ENOTSUP);
    kc_select_destroy(set);
    kc_select_destroy(NULL);
    kc_select_reset(NULL);
    kc_chan_destroy(pointers);
    kc_chan_destroy(ch);
    EXPECT_EQ(KC_SELECT_CLAUSE_RECV, 0);
    EXPECT_EQ(KC_SELECT_CLAUSE_SEND, 1);
}

static void the_first_that_is_ready(void) {
    int a = 0, b = 0, index = -1, result = -1, value = 7;
    kc_select_t *set = set_of(NULL);
    kc_chan_t *one = make(KC_BUFFERED, sizeof(int), 2), *two = make(KC_BUFFERED, sizeof(int), 2);
    EXPECT_EQ(kc_select_add_recv(set, one, &a), 0);
    EXPECT_EQ(kc_select_add_recv(set, two, &b), 0);
    EXPECT_EQ(kc_select_wait(set, 0, &index, &result), KC_EAGAIN);
    EXPECT_EQ(index, -1);
    EXPECT_EQ(kc_select_wait(set, 1, &index, &result), KC_ETIME);
    EXPECT_EQ(index, -1);
    (void)kc_chan_try_send(two, &value);
    EXPECT_EQ(kc_select_wait(set, 0, &index, &result), 0);
    EXPECT_EQ(index, 1);
    EXPECT_EQ(result, 0);
    EXPECT_EQ(b, 7);
    (void)kc_chan_try_send(one, &value);
    (void)kc_chan_try_send(two, &value);
    EXPECT_EQ(kc_select_wait(set, -1, NULL, NULL), 0);
    EXPECT_EQ(a, 7);
    EXPECT_EQ(kc_chan_len(two), 1);
    kc_chan_close(one);
    EXPECT_EQ(kc_select_wait(set, -1, &index, &result), KC_EPIPE);
    EXPECT_EQ(index, 0);
    EXPECT_EQ(result, KC_EPIPE);
    kc_select_reset(set);
    EXPECT_EQ(kc_select_add_send(set, two, &value), 0);
    EXPECT_EQ(kc_select_wait(set, -1, &index, &result), 0);
    EXPECT_EQ(index, 0);
    EXPECT_EQ(kc_chan_len(two), 2);
    kc_select_destroy(set);
    kc_chan_destroy(one);
    kc_chan_destroy(two);
}

static void a_fair_set_begins_behind_the_last(void) {
    enum { CLAUSES = 3 };
    kc_chan_t *chans[CLAUSES];
    kc_select_t *set = set_of(NULL);
    int value = 0, index = -1, seen[CLAUSES];
    EXPECT_EQ(kc_select_set_fair(NULL, 1), -22);
    EXPECT_EQ(kc_select_set_fair(set, 1), 0);
    EXPECT_EQ(kc_select_wait(set, 0, &index, NULL), -22);
    for (int i = 0; i < CLAUSES; i++) {
        chans[i] = make(KC_UNLIMITED, sizeof(int), 0);
        EXPECT_EQ(kc_select_add_recv(set, chans[i], &value), 0);
        for (int sent = 0; sent < 100; sent++) {
            EXPECT_EQ(kc_chan_try_send(chans[i], &i), 0);
        }
    }
    for (int round = 0; round < 30; round++) {
        EXPECT_EQ(kc_select_wait(set, -1, &index, NULL), 0);
        EXPECT_EQ(index, round % CLAUSES);
        EXPECT_EQ(value, index);
    }
    // Of those that can complete, in turn; one that is closed can.
    kc_chan_t *empty = make(KC_BUFFERED, sizeof(int), 1);
    kc_chan_t *closed = make(KC_BUFFERED, sizeof(int), 1);
    EXPECT_EQ(kc_select_add_recv(set, empty, &value), 0);
    EXPECT_EQ(kc_select_add_recv(set, closed, &value), 0);
    kc_chan_close(closed);
    static const int in_turn[] = {4, 0, 1, 2};
    for (int round = 0; round < 20; round++) {
        EXPECT_EQ(kc_select_wait(set, 0, &index, NULL), round % 4 == 0 ? KC_EPIPE : 0);
        EXPECT_EQ(index, in_turn[round % 4]);
    }
    // With fewer clauses it begins within them.
    kc_select_reset(set);
    EXPECT_EQ(kc_select_add_recv(set, chans[1], &value), 0);
    EXPECT_EQ(kc_select_wait(set, 0, &index, NULL), 0);
    EXPECT(index == 0 && value == 1);
    // Not fair again: the first.
    kc_select_reset(set);
    EXPECT_EQ(kc_select_set_fair(set, 0), 0);
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < CLAUSES; i++) {
        EXPECT_EQ(kc_select_add_recv(set, chans[i], &value), 0);
    }
    for (int round = 0; round < 30; round++) {
        EXPECT_EQ(kc_select_wait(set, -1, &index, NULL), 0);
        seen[index]++;
    }
    EXPECT_EQ(seen[0], 30);
    kc_select_destroy(set);
    for (int i = 0; i < CLAUSES; i++) {
        kc_chan_destroy(chans[i]);
    }
    kc_chan_destroy(empty);
    kc_chan_destroy(closed);
}

static void a_set_token_comes_first(void) {
    int value = 1, index = 5, result = 5;
    kc_cancel_t *token = NULL;
    EXPECT_EQ(kc_cancel_init(&token), 0);
    kc_select_t *set = set_of(token);
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 1);
    (void)kc_chan_try_send(ch, &value);
    EXPECT_EQ(kc_select_add_recv(set, ch, &value), 0);
    kc_cancel_trigger(token);
    kc_cancel_destroy(token);
    for (long timeout = -1; timeout <= 1; timeout++) {
        EXPECT_EQ(kc_select_wait(set, timeout, &index, &result), KC_ECANCELED);
        EXPECT_EQ(index, -1);
    }
    kc_select_destroy(set);
    EXPECT_EQ(kc_chan_len(ch), 1);
    kc_chan_destroy(ch);
}

typedef struct {
    kc_chan_t *ch;
    const void *element;
    void *out;
} partner_t;

static void *send_to(void *arg) {
    partner_t *partner = (partner_t *)arg;
    EXPECT_EQ(kc_chan_send(partner->ch, partner->element, -1), 0);
    return NULL;
}

static void *recv_from(void *arg) {
    partner_t *partner = (partner_t *)arg;
    EXPECT_EQ(kc_chan_recv(partner->ch, partner->out, -1), 0);
    return NULL;
}

// Channels of all sizes of elements at once; each partner is served by the right clause.
static void waits_for_a_partner_or_fair(int fair) {
    char small = 0;
    int middle = 0;
    char forty[40], sixty[60];
    large_t large, sent;
    memset(&sent, 'x', sizeof sent);
    kc_chan_t *chans[] = {
        make(KC_RENDEZVOUS, sizeof small, 0),  make(KC_RENDEZVOUS, sizeof middle, 0),
        make(KC_RENDEZVOUS, sizeof forty, 0),  make(KC_RENDEZVOUS, sizeof sixty, 0),
        make(KC_RENDEZVOUS, sizeof large, 0),
    };
    void *outs[] = {&small, &middle, forty, sixty, &large};
    size_t sizes[] = {sizeof small, sizeof middle, sizeof forty, sizeof sixty, sizeof large};
    for (int round = 0; round < 100; round++) {
        int at = round % 5, sends = round / 5 % 2, index = -1, result = -1;
        kc_select_t *set = set_of(NULL);
        EXPECT_EQ(kc_select_set_fair(set, fair), 0);
        for (int i = 0; i < 5; i++) {
            memset(outs[i], 0, sizes[i]);
            EXPECT_EQ(sends ? kc_select_add_send(set, chans[i], &sent)
                            : kc_select_add_recv(set, chans[i], outs[i]),
                      0);
        }
        partner_t partner = {chans[at], &sent, outs[at]};
        pthread_t thread;
        pthread_create(&thread, NULL, sends ? recv_from : send_to, &partner);
        EXPECT_EQ(kc_select_wait(set, -1, &index, &result), 0);
        pthread_join(thread, NULL);
        EXPECT_EQ(index, at);
        for (int i = 0; i < 5; i++) {
            EXPECT((memcmp(outs[i], &sent, sizes[i]) == 0) == (i == at));
        }
        kc_select_destroy(set);
    }
    for (int i = 0; i < 5; i++) {
        struct kc_chan_snapshot snapshot;
        EXPECT_EQ(kc_chan_snapshot(chans[i], &snapshot), 0);
        EXPECT_EQ(snapshot.total_sends, 20);
        EXPECT_EQ(snapshot.total_recvs, 20);
        EXPECT_EQ(snapshot.total_bytes_sent, 20 * sizes[i]);
        EXPECT_EQ(snapshot.rv_matches, 20);
        kc_chan_destroy(chans[i]);
    }
}

static void waits_for_a_partner(void) {
    waits_for_a_partner_or_fair(0);
    waits_for_a_partner_or_fair(1);
}

// The wait itself is fair too: a set that waits each time begins somewhere else.
static void a_fair_set_waits_at_each(void) {
    enum { CLAUSES = 3 };
    kc_chan_t *chans[CLAUSES];
    kc_select_t *set = set_of(NULL);
    int value = 0, index = -1;
    EXPECT_EQ(kc_select_set_fair(set, 1), 0);
    for (int i = 0; i < CLAUSES; i++) {
        chans[i] = make(KC_RENDEZVOUS, sizeof(int), 0);
        EXPECT_EQ(kc_select_add_recv(set, chans[i], &value), 0);
    }
    for (int round = 0; round < 60; round++) {
        int at = round * 2 % CLAUSES;
        partner_t partner = {chans[at], &round, NULL};
        pthread_t thread;
        pthread_create(&thread, NULL, send_to, &partner);
        EXPECT_EQ(kc_select_wait(set, -1, &index, NULL), 0);
        EXPECT(index == at && value == round);
        pthread_join(thread, NULL);
    }
    kc_select_destroy(set);
    for (int i = 0; i < CLAUSES; i++) {
        kc_chan_destroy(chans[i]);
    }
}

typedef struct {
    kc_select_t *set;
    int answer, index, result;
} waiter_t;

static void *wait_long(void *arg) {
    waiter_t *waiter = (waiter_t *)arg;
    waiter->answer = kc_select_wait(waiter->set, -1, &waiter->index, &waiter->result);
    return NULL;
}

static void close_and_cancel_end_a_wait(void) {
    for (int cancels = 0; cancels < 2; cancels++) {
        int value = 0;
        kc_cancel_t *token = NULL;
        EXPECT_EQ(kc_cancel_init(&token), 0);
        kc_chan_t *one = make(KC_RENDEZVOUS, sizeof(int), 0);
        kc_chan_t *two = make(KC_RENDEZVOUS, sizeof(int), 0);
        waiter_t waiter = {set_of(token), 1, 5, 1};
        EXPECT_EQ(kc_select_add_recv(waiter.set, one, &value), 0);
        EXPECT_EQ(kc_select_add_send(waiter.set, two, &value), 0);
        pthread_t thread;
        pthread_create(&thread, NULL, wait_long, &waiter);
        if (cancels) {
            kc_cancel_trigger(token);
        } else {
            kc_chan_close(two);
        }
        pthread_join(thread, NULL);
        EXPECT_EQ(waiter.answer, cancels ? KC_ECANCELED : KC_EPIPE);
        EXPECT_EQ(waiter.index, cancels ? -1 : 1);
        // A set keeps its channels: they may go first.
        kc_chan_destroy(one);
        kc_chan_destroy(two);
        kc_select_destroy(waiter.set);
        kc_cancel_destroy(token);
    }
}

int main(void) {
    RUN(refuses_what_makes_no_sense);
    RUN(the_first_that_is_ready);
    RUN(a_fair_set_begins_behind_the_last);
    RUN(a_set_token_comes_first);
    RUN(waits_for_a_partner);
    RUN(a_fair_set_waits_at_each);
    RUN(close_and_cancel_end_a_wait);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
