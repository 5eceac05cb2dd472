// SPDX-License-Identifier: BSD-3-Clause
// Channels from coroutines: run by hand, where every step is certain, and by a scheduler.

#include <string.h>

#include "expect.h"
#include "kc_cancel.h"
#include "kcoro.h"
#include "kcoro_core.h"
#include "kcoro_sched.h"
#include "kcoro_zcopy.h"

static int lost_count, lost_value;

static void on_lost(void *elem, size_t len, void *arg) {
    EXPECT_EQ(len, sizeof(int));
    memcpy(&lost_value, elem, sizeof lost_value);
    lost_count++;
    (void)arg;
}

static kc_chan_t *make(int kind, size_t capacity) {
    kc_chan_t *ch = NULL;
    lost_count = 0;
    EXPECT_EQ(kc_chan_make_ex(&ch, kind, sizeof(int), capacity, on_lost, NULL, NULL), 0);
    return ch;
}

typedef struct {
    kc_chan_t *ch;
    kc_cancel_t *token;
    int value;
    int answer;
} call_t;

static void recv_in(void *arg) {
    call_t *call = (call_t *)arg;
    call->answer = kc_chan_recv_c(call->ch, &call->value, -1, call->token);
}

static void send_in(void *arg) {
    call_t *call = (call_t *)arg;
    call->answer = kc_chan_send_c(call->ch, &call->value, -1, call->token);
}

// A coroutine that waits in its call.
static kcoro_t *waiting(kcoro_fn_t fn, call_t *call) {
    kcoro_t *co = kcoro_create(fn, call, 0);
    EXPECT(co != NULL);
    call->answer = 1;
    kcoro_resume(co);
    EXPECT(kcoro_is_parked(co));
    EXPECT_EQ(co->state, KCORO_PARKED);
    EXPECT_EQ(call->answer, 1);
    return co;
}

static void ends_with(kcoro_t *co, call_t *call, int answer) {
    EXPECT_EQ(co->state, KCORO_READY);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    EXPECT_EQ(call->answer, answer);
    kcoro_destroy(co);
}

static void hand_over(void) {
    static const int kinds[] = {KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED};
    for (int at = 0; at < 4; at++) {
        call_t call = {make(kinds[at], 1), NULL, 0, 1};
        int value = 42;
        kcoro_t *co = waiting(recv_in, &call);
        EXPECT_EQ(kc_chan_try_send(call.ch, &value), 0);
        EXPECT_EQ(kc_chan_len(call.ch), 0);
        ends_with(co, &call, 0);
        EXPECT_EQ(call.value, 42);
        kc_chan_destroy(call.ch);
        EXPECT_EQ(lost_count, 0);
    }
    // The other way round.
    call_t call = {make(KC_RENDEZVOUS, 0), NULL, 7, 1};
    int got = 0;
    kcoro_t *co = waiting(send_in, &call);
    EXPECT_EQ(kc_chan_try_recv(call.ch, &got), 0);
    EXPECT_EQ(got, 7);
    ends_with(co, &call, 0);
    kc_chan_destroy(call.ch);
    EXPECT_EQ(lost_count, 0);
}

static void first_come_first_served(void) {
    enum { COUNT = 5 };
    call_t calls[COUNT];
    kcoro_t *cos[COUNT];
    kc_chan_t *ch = make(KC_RENDEZVOUS, 0);
    for (int i = 0; i < COUNT; i++) {
        calls[i].ch = ch;
        calls[i].token = NULL;
        cos[i] = waiting(recv_in, &calls[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        EXPECT_EQ(kc_chan_try_send(ch, &i), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        ends_with(cos[i], &calls[i], 0);
        EXPECT_EQ(calls[i].value, i);
    }
    kc_chan_destroy(ch);
}

enum end { CLOSE, DESTROY, CANCEL, END_COUNT };

// The result of a wait, and the calls of the undelivered hook for a send.
static void a_wait_ends(void) {
    for (int end = 0; end < END_COUNT; end++) {
        for (int sends = 0; sends < 2; sends++) {
            call_t call = {make(KC_RENDEZVOUS, 0), NULL, 9, 1};
            EXPECT_EQ(kc_cancel_init(&call.token), 0);
            kcoro_t *co = waiting(sends ? send_in : recv_in, &call);
            switch (end) {
            case CLOSE: kc_chan_close(call.ch); break;
            case DESTROY: kc_chan_destroy(call.ch); break;
            default: kc_cancel_trigger(call.token); break;
            }
            ends_with(co, &call, end == CANCEL ? KC_ECANCELED : KC_EPIPE);
            EXPECT_EQ(lost_count, sends);
            if (sends) {
                EXPECT_EQ(lost_value, 9);
            }
            if (end != DESTROY) {
                struct kc_chan_snapshot snapshot;
                EXPECT_EQ(kc_chan_snapshot(call.ch, &snapshot), 0);
                EXPECT_EQ(sends ? snapshot.send_epipe : snapshot.recv_epipe, end == CLOSE);
                EXPECT_EQ(snapshot.rv_cancels, end == CANCEL);
                kc_chan_destroy(call.ch);
            }
            EXPECT_EQ(lost_count, sends);
            kc_cancel_destroy(call.token);
        }
    }
}

// The token may be destroyed while it is waited for, and close and token may come together.
static void a_token_that_is_gone(void) {
    call_t call = {make(KC_RENDEZVOUS, 0), NULL, 9, 1};
    kc_cancel_t *parent = NULL;
    EXPECT_EQ(kc_cancel_init(&parent), 0);
    EXPECT_EQ(kc_cancel_create(&call.token, parent), 0);
    kcoro_t *co = waiting(recv_in, &call);
    kc_chan_close(call.ch);
    kc_cancel_trigger(parent);
    ends_with(co, &call, KC_ECANCELED);
    kc_cancel_destroy(call.token);
    EXPECT_EQ(kc_cancel_create(&call.token, NULL), 0);
    kc_chan_destroy(call.ch);

    call.ch = make(KC_RENDEZVOUS, 0);
    co = waiting(recv_in, &call);
    kc_cancel_destroy(call.token);
    kc_chan_destroy(call.ch);
    ends_with(co, &call, KC_EPIPE);
    kc_cancel_destroy(parent);
}

// A coroutine that is destroyed where it waits leaves no trace; its send goes to the hook.
static void a_destroyed_coroutine_waits_no_more(void) {
    for (int sends = 0; sends < 2; sends++) {
        int value = 5;
        call_t call = {make(KC_RENDEZVOUS, 0), NULL, 8, 1};
        kcoro_t *co = waiting(sends ? send_in : recv_in, &call);
        kcoro_destroy(co);
        EXPECT_EQ(call.answer, 1);
        EXPECT_EQ(lost_count, sends);
        EXPECT_EQ(sends ? kc_chan_try_recv(call.ch, &value) : kc_chan_try_send(call.ch, &value),
                  KC_EAGAIN);
        kc_chan_destroy(call.ch);
        EXPECT_EQ(lost_count, sends);
    }
    EXPECT_EQ(kc_panics_contained(), 0);
}

static void send_zref_in(void *arg) {
    call_t *call = (call_t *)arg;
    call->answer = kc_chan_send_zref_c(call->ch, &call->value, sizeof(int), -1, call->token);
}

static void recv_zref_in(void *arg) {
    call_t *call = (call_t *)arg;
    void *ptr = NULL;
    size_t len = 0;
    call->answer = kc_chan_recv_zref_c(call->ch, &ptr, &len, -1, call->token);
    if (call->answer == 0) {
        EXPECT_EQ(len, sizeof(int));
        call->value = *(int *)ptr;
    }
}

// A zero-copy send that waits, ended in each way; the pointer is undelivered then.
static void a_zero_copy_wait_ends(void) {
    for (int end = 0; end < END_COUNT; end++) {
        for (int sends = 0; sends < 2; sends++) {
            struct kc_chan_zstats zstats;
            call_t call = {NULL, NULL, 9, 1};
            EXPECT_EQ(kc_chan_make(&call.ch, KC_RENDEZVOUS, sizeof(int), 0), 0);
            EXPECT_EQ(kc_chan_enable_zero_copy(call.ch), 0);
            EXPECT_EQ(kc_cancel_init(&call.token), 0);
            kcoro_t *co = waiting(sends ? send_zref_in : recv_zref_in, &call);
            switch (end) {
            case CLOSE: kc_chan_close(call.ch); break;
            case DESTROY: kc_chan_destroy(call.ch); break;
            default: kc_cancel_trigger(call.token); break;
            }
            ends_with(co, &call, end == CANCEL ? KC_ECANCELED : KC_EPIPE);
            if (end != DESTROY) {
                EXPECT_EQ(kc_chan_get_zstats(call.ch, &zstats), 0);
                EXPECT_EQ(zstats.zref_aborted_close, sends && end == CLOSE);
                EXPECT_EQ(zstats.zref_canceled, end == CANCEL);
                EXPECT_EQ(zstats.zref_sent, 0);
                kc_chan_destroy(call.ch);
            }
            kc_cancel_destroy(call.token);
        }
    }
}

static void zero_copy_hands_over(void) {
    int value = 77;
    call_t call = {NULL, NULL, 0, 1};
    EXPECT_EQ(kc_chan_make(&call.ch, KC_RENDEZVOUS, sizeof(int), 0), 0);
    EXPECT_EQ(kc_chan_enable_zero_copy(call.ch), 0);
    kcoro_t *co = waiting(recv_zref_in, &call);
    EXPECT_EQ(kc_chan_send_zref(call.ch, &value, sizeof value, 0), 0);
    ends_with(co, &call, 0);
    EXPECT_EQ(call.value, 77);
    kc_chan_destroy(call.ch);
}

// A wait for an element ends with an error when the channel switches to descriptors.
static void turning_ends_waits_for_elements(void) {
    for (int sends = 0; sends < 2; sends++) {
        call_t call = {make(KC_RENDEZVOUS, 0), NULL, 9, 1};
        int value = 1;
        EXPECT_EQ(kc_chan_enable_zero_copy(call.ch), 0);
        kcoro_t *co = waiting(sends ? send_in : recv_in, &call);
        EXPECT_EQ(kc_chan_send_zref(call.ch, &value, sizeof value, 0), KC_EAGAIN);
        ends_with(co, &call, -22);
        kc_chan_destroy(call.ch);
        EXPECT_EQ(lost_count, 0);
    }
}

typedef struct {
    kc_select_t *set;
    int index, result, answer;
} select_call_t;

static void select_in(void *arg) {
    select_call_t *call = (select_call_t *)arg;
    call->answer = kc_select_wait(call->set, -1, &call->index, &call->result);
}

static void a_select_waits(void) {
    for (int ends = 0; ends < 4; ends++) {
        int got = 0, value = 6;
        kc_chan_t *one = make(KC_RENDEZVOUS, 0), *two = make(KC_RENDEZVOUS, 0);
        kc_cancel_t *token = NULL;
        EXPECT_EQ(kc_cancel_init(&token), 0);
        select_call_t call = {NULL, 5, 5, 1};
        EXPECT_EQ(kc_select_create(&call.set, token), 0);
        EXPECT_EQ(kc_select_add_recv(call.set, one, &got), 0);
        EXPECT_EQ(kc_select_add_send(call.set, two, &value), 0);
        kcoro_t *co = kcoro_create(select_in, &call, 0);
        kcoro_resume(co);
        EXPECT(kcoro_is_parked(co));
        int other = 11;
        switch (ends) {
        case 0: EXPECT_EQ(kc_chan_try_send(one, &other), 0); break;
        case 1: EXPECT_EQ(kc_chan_try_recv(two, &other), 0); break;
        case 2: kc_cancel_trigger(token); break;
        default: break;
        }
        if (ends < 3) {
            kcoro_resume(co);
            EXPECT_EQ(co->state, KCORO_FINISHED);
        }
        kcoro_destroy(co);
        if (ends == 0) {
            EXPECT(call.answer == 0 && call.index == 0 && got == 11);
        } else if (ends == 1) {
            EXPECT(call.answer == 0 && call.index == 1 && other == 6);
        } else if (ends == 2) {
            EXPECT(call.answer == KC_ECANCELED && call.index == -1);
        } else {
            EXPECT_EQ(call.answer, 1);
        }
        // It stands in no line any more.
        EXPECT_EQ(kc_chan_try_send(one, &other), KC_EAGAIN);
        EXPECT_EQ(kc_chan_try_recv(two, &other), KC_EAGAIN);
        kc_select_destroy(call.set);
        kc_chan_destroy(one);
        kc_chan_destroy(two);
        kc_cancel_destroy(token);
        EXPECT_EQ(lost_count, 0);
    }
}

// A backend that knows no tokens, called with one; another coroutine of this thread has none.
static kc_chan_t *queue;

static int plain_recv(kc_chan_t *ch, kc_zdesc_t *d, long tmo_ms) {
    (void)ch;
    return kc_chan_recv(queue, d, tmo_ms);
}

static void recv_desc_in(void *arg) {
    call_t *call = (call_t *)arg;
    kc_zdesc_t got;
    call->answer = kc_chan_recv_desc_c(call->ch, &got, -1, call->token);
}

static void a_token_is_its_coroutine_s_alone(void) {
    kc_zcopy_backend_ops_t ops = {NULL, NULL, NULL, plain_recv, NULL, NULL};
    call_t with = {make(KC_RENDEZVOUS, 0), NULL, 0, 1}, without = {with.ch, NULL, 0, 1};
    int id = kc_zcopy_register("plain", &ops, 0);
    EXPECT_EQ(kc_chan_make(&queue, KC_RENDEZVOUS, sizeof(kc_zdesc_t), 0), 0);
    EXPECT_EQ(kc_chan_enable_zero_copy_backend(with.ch, id, NULL), 0);
    EXPECT_EQ(kc_cancel_init(&with.token), 0);
    kcoro_t *first = waiting(recv_desc_in, &with), *second = waiting(recv_desc_in, &without);
    kc_cancel_trigger(with.token);
    ends_with(first, &with, KC_ECANCELED);
    EXPECT(kcoro_is_parked(second));
    kc_chan_close(queue);
    ends_with(second, &without, KC_EPIPE);
    kc_chan_destroy(with.ch);
    kc_chan_destroy(queue);
    kc_cancel_destroy(with.token);
}

static char memory[64];

static void deregister_in(void *arg) {
    call_t *call = (call_t *)arg;
    call->answer = kc_region_deregister((kc_region_t *)(void *)call->token);
}

static void a_region_parks_who_deregisters_it(void) {
    kc_region_t *region = NULL;
    kc_chan_t *ch = NULL;
    void *ptr = NULL;
    size_t len = 0;
    EXPECT_EQ(kc_region_register(&region, memory, sizeof memory, 0), 0);
    EXPECT_EQ(kc_chan_make_ptr(&ch, KC_BUFFERED, 2), 0);
    EXPECT_EQ(kc_chan_send_ptr(ch, memory, 1, 0), 0);
    call_t call = {NULL, (kc_cancel_t *)(void *)region, 0, 1};
    kcoro_t *co = waiting(deregister_in, &call);
    EXPECT_EQ(kc_chan_send_ptr(ch, memory, 1, 0), -22);
    EXPECT_EQ(kc_chan_recv_ptr(ch, &ptr, &len, 0), 0);
    ends_with(co, &call, 0);
    kc_chan_destroy(ch);
}

static void wait_in(void *arg) {
    call_t *call = (call_t *)arg;
    call->answer = kc_cancel_wait(call->token, -1);
}

static void a_token_parks_who_waits_for_it(void) {
    call_t call = {NULL, NULL, 0, 1};
    EXPECT_EQ(kc_cancel_init(&call.token), 0);
    kcoro_t *co = waiting(wait_in, &call);
    kc_cancel_trigger(call.token);
    ends_with(co, &call, 0);
    kc_cancel_destroy(call.token);
}

// By a scheduler: many coroutines, few workers, one channel of each kind.
enum { PAIRS = 8, EACH = 2000 };
static counter_t sum = COUNTER_INIT;

static void send_many(void *arg) {
    for (int i = 1; i <= EACH; i++) {
        EXPECT_EQ(kc_chan_send((kc_chan_t *)arg, &i, i % 2 ? -1 : 1000000), 0);
    }
}

static void recv_many(void *arg) {
    long total = 0;
    for (int i = 0, value = 0; i < EACH; i++) {
        EXPECT_EQ(kc_chan_recv((kc_chan_t *)arg, &value, -1), 0);
        total += value;
    }
    counter_add(&sum, total);
}

static void scheduled(void) {
    static const int kinds[] = {KC_RENDEZVOUS, KC_BUFFERED, KC_UNLIMITED};
    kc_sched_opts_t options = {2, 0, 0};
    kc_sched_t *sched = kc_sched_init(&options);
    EXPECT(sched != NULL);
    for (int at = 0; at < 3; at++) {
        kc_chan_t *ch = make(kinds[at], 3);
        long before = counter_get(&sum);
        for (int i = 0; i < PAIRS; i++) {
            EXPECT_EQ(kc_spawn_co(sched, recv_many, ch, 0, NULL), 0);
            EXPECT_EQ(kc_spawn_co(sched, send_many, ch, 0, NULL), 0);
        }
        EXPECT_EQ(kc_sched_drain(sched, -1), 0);
        EXPECT_EQ(counter_get(&sum) - before, (long)PAIRS * EACH * (EACH + 1) / 2);
        kc_chan_destroy(ch);
        EXPECT_EQ(lost_count, 0);
    }
    kc_sched_shutdown(sched);
}

int main(void) {
    RUN(hand_over);
    RUN(first_come_first_served);
    RUN(a_wait_ends);
    RUN(a_token_that_is_gone);
    RUN(a_destroyed_coroutine_waits_no_more);
    RUN(zero_copy_hands_over);
    RUN(a_zero_copy_wait_ends);
    RUN(turning_ends_waits_for_elements);
    RUN(a_select_waits);
    RUN(a_token_is_its_coroutine_s_alone);
    RUN(a_region_parks_who_deregisters_it);
    RUN(a_token_parks_who_waits_for_it);
    RUN(scheduled);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
