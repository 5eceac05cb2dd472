// SPDX-License-Identifier: BSD-3-Clause
// The undelivered hook: once for each undelivered element, never for a received one.

#include <string.h>

#include "expect.h"
#include "kcoro.h"
#include "kcoro_ext.h"

typedef struct {
    pthread_mutex_t lock;
    int seen[64];
    int copies;
    int pointers;
    size_t len;
} lost_t;

static void reset(lost_t *lost) {
    memset(lost, 0, sizeof *lost);
    pthread_mutex_init(&lost->lock, NULL);
}

static void on_copy(void *elem, size_t len, void *arg) {
    lost_t *lost = (lost_t *)arg;
    int value;
    memcpy(&value, elem, sizeof value);
    pthread_mutex_lock(&lost->lock);
    EXPECT(value >= 0 && value < 64);
    lost->seen[value]++;
    lost->copies++;
    lost->len = len;
    pthread_mutex_unlock(&lost->lock);
}

static void on_ptr(void *ptr, size_t len, void *arg) {
    lost_t *lost = (lost_t *)arg;
    pthread_mutex_lock(&lost->lock);
    lost->seen[*(int *)ptr]++;
    lost->pointers++;
    lost->len = len;
    pthread_mutex_unlock(&lost->lock);
}

static kc_chan_t *make(int kind, size_t elem_sz, size_t capacity, lost_t *lost) {
    kc_chan_t *ch = NULL;
    reset(lost);
    EXPECT_EQ(kc_chan_make_ex(&ch, kind, elem_sz, capacity, on_copy, on_ptr, lost), 0);
    return ch;
}

static void what_is_left_at_the_end(size_t elem_sz) {
    static const int kinds[] = {KC_BUFFERED, KC_UNLIMITED};
    for (int at = 0; at < 2; at++) {
        lost_t lost;
        unsigned char element[200];
        int got = -1;
        kc_chan_t *ch = make(kinds[at], elem_sz, 8, &lost);
        memset(element, 0, sizeof element);
        for (int i = 0; i < 5; i++) {
            memcpy(element, &i, sizeof i);
            EXPECT_EQ(kc_chan_try_send(ch, element), 0);
        }
        EXPECT_EQ(kc_chan_try_recv(ch, element), 0);
        memcpy(&got, element, sizeof got);
        EXPECT_EQ(got, 0);
        kc_chan_close(ch);
        // What is closed can still be drained.
        EXPECT_EQ(kc_chan_try_recv(ch, element), 0);
        EXPECT_EQ(lost.copies, 0);
        kc_chan_destroy(ch);
        EXPECT_EQ(lost.copies, 3);
        EXPECT_EQ(lost.len, elem_sz);
        for (int i = 0; i < 5; i++) {
            EXPECT_EQ(lost.seen[i], i >= 2);
        }
    }
}

static void what_remains(void) {
    what_is_left_at_the_end(sizeof(int));
    what_is_left_at_the_end(24);
    what_is_left_at_the_end(64);
    what_is_left_at_the_end(200);
}

static void what_is_replaced(void) {
    lost_t lost;
    int got = -1;
    kc_chan_t *ch = make(KC_CONFLATED, sizeof(int), 0, &lost);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(kc_chan_try_send(ch, &i), 0);
    }
    EXPECT_EQ(lost.copies, 3);
    EXPECT_EQ(kc_chan_try_recv(ch, &got), 0);
    EXPECT_EQ(got, 3);
    int last = 9;
    EXPECT_EQ(kc_chan_try_send(ch, &last), 0);
    kc_chan_destroy(ch);
    EXPECT_EQ(lost.copies, 4);
    EXPECT_EQ(lost.seen[3], 0);
    EXPECT_EQ(lost.seen[9], 1);
}

static void a_send_that_fails_at_once_or_by_time_is_the_sender_s(void) {
    lost_t lost;
    int value = 1;
    kc_chan_t *ch = make(KC_RENDEZVOUS, sizeof(int), 0, &lost);
    EXPECT_EQ(kc_chan_send(ch, &value, 0), KC_EAGAIN);
    EXPECT_EQ(kc_chan_send(ch, &value, 1), KC_ETIME);
    kc_chan_close(ch);
    EXPECT_EQ(kc_chan_send(ch, &value, -1), KC_EPIPE);
    kc_chan_destroy(ch);
    EXPECT_EQ(lost.copies, 0);
}

typedef struct {
    kc_chan_t *ch;
    kc_cancel_t *token;
    int value;
    int answer;
} sender_t;

static void *send_one(void *arg) {
    sender_t *sender = (sender_t *)arg;
    sender->answer = kc_chan_send_c(sender->ch, &sender->value, -1, sender->token);
    return NULL;
}

// From outside it is unknown whether the send waits by then: if it does, the hook is called once, if
// it has not started, never. (chan_coroutine.c distinguishes the two.)
static void a_send_that_waits_goes_to_the_hook_at_most_once(int cancels) {
    for (int round = 0; round < 50; round++) {
        lost_t lost;
        kc_chan_t *ch = make(KC_RENDEZVOUS, sizeof(int), 0, &lost);
        kc_cancel_t *token = NULL;
        EXPECT_EQ(kc_cancel_init(&token), 0);
        sender_t sender = {ch, token, 5, 1};
        pthread_t thread;
        pthread_create(&thread, NULL, send_one, &sender);
        if (cancels) {
            kc_cancel_trigger(token);
        } else {
            kc_chan_close(ch);
        }
        pthread_join(thread, NULL);
        EXPECT_EQ(sender.answer, cancels ? KC_ECANCELED : KC_EPIPE);
        EXPECT(lost.copies <= 1);
        EXPECT_EQ(lost.seen[5], lost.copies);
        kc_chan_destroy(ch);
        EXPECT_EQ(lost.copies + lost.pointers, lost.seen[5]);
        kc_cancel_destroy(token);
    }
}

static void a_send_that_waits(void) {
    a_send_that_waits_goes_to_the_hook_at_most_once(0);
    a_send_that_waits_goes_to_the_hook_at_most_once(1);
}

static void pointers_go_to_the_pointer_hook(void) {
    lost_t lost;
    int values[] = {0, 1, 2, 3};
    void *ptr = NULL;
    size_t len = 0;
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(struct kc_chan_ptrmsg), 8, &lost);
    EXPECT_EQ(kc_chan_enable_zero_copy(ch), 0);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(kc_chan_send_zref(ch, &values[i], sizeof values[i], 0), 0);
    }
    EXPECT_EQ(kc_chan_recv_zref(ch, &ptr, &len, 0), 0);
    EXPECT(ptr == &values[0] && len == sizeof(int));
    kc_chan_destroy(ch);
    EXPECT_EQ(lost.pointers, 3);
    EXPECT_EQ(lost.copies, 0);
    EXPECT_EQ(lost.len, sizeof(int));
    EXPECT(!lost.seen[0] && lost.seen[1] && lost.seen[2] && lost.seen[3]);
}

// The sends of a select that did not happen were never offered.
static void a_select_s_other_sends_stay_its_own(void) {
    lost_t lost;
    int value = 1, got = 0, index = -1, result = -1;
    kc_chan_t *full = make(KC_RENDEZVOUS, sizeof(int), 0, &lost);
    kc_select_t *set = NULL;
    EXPECT_EQ(kc_select_create(&set, NULL), 0);
    EXPECT_EQ(kc_select_add_send(set, full, &value), 0);
    EXPECT_EQ(kc_select_wait(set, 1, &index, &result), KC_ETIME);
    EXPECT_EQ(kc_select_add_recv(set, full, &got), 0);
    kc_chan_close(full);
    EXPECT_EQ(kc_select_wait(set, 1, &index, &result), KC_EPIPE);
    kc_select_destroy(set);
    kc_chan_destroy(full);
    EXPECT_EQ(lost.copies, 0);
}

static int calls;

// The element that a send displaces ends the channel.
static void destroys(void *elem, size_t len, void *arg) {
    (void)elem;
    (void)len;
    if (calls++ == 0) {
        kc_chan_destroy(*(kc_chan_t **)arg);
    }
}

static void a_hook_destroys_its_channel_in_a_send_of(int kind, kc_chan_policy_t policy) {
    kc_chan_t *ch = NULL;
    long value = 1;
    calls = 0;
    EXPECT_EQ(kc_chan_make(&ch, kind, sizeof value, 1), 0);
    EXPECT_EQ(kc_chan_set_on_drop(ch, destroys, &ch), 0);
    if (kind == KC_BUFFERED) {
        EXPECT_EQ(kc_chan_set_policy(ch, policy), 0);
    }
    EXPECT_EQ(kc_chan_send(ch, &value, -1), 0);
    // Displaced, and then what the channel still held.
    EXPECT_EQ(kc_chan_send(ch, &value, -1), 0);
    EXPECT_EQ(calls, 2);
}

static void a_hook_destroys_its_channel(void) {
    a_hook_destroys_its_channel_in_a_send_of(KC_CONFLATED, KC_CHAN_SUSPEND);
    a_hook_destroys_its_channel_in_a_send_of(KC_BUFFERED, KC_CHAN_DROP_OLDEST);
    a_hook_destroys_its_channel_in_a_send_of(KC_BUFFERED, KC_CHAN_DROP_LATEST);
}

int main(void) {
    RUN(what_remains);
    RUN(what_is_replaced);
    RUN(a_send_that_fails_at_once_or_by_time_is_the_sender_s);
    RUN(a_send_that_waits);
    RUN(pointers_go_to_the_pointer_hook);
    RUN(a_select_s_other_sends_stay_its_own);
    RUN(a_hook_destroys_its_channel);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
