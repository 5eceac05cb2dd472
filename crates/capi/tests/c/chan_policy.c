// SPDX-License-Identifier: BSD-3-Clause
// Overflow policies, the hook that comes later, reasons of a close, the description of a channel.

#include <string.h>

#include "expect.h"
#include "kcoro.h"
#include "kcoro_ext.h"
#include "kcoro_sched.h"

typedef struct {
    pthread_mutex_t lock;
    int values[64];
    int count;
    size_t len;
} dropped_t;

#define DROPPED_INIT {PTHREAD_MUTEX_INITIALIZER, {0}, 0, 0}

static void on_drop(void *elem, size_t len, void *arg) {
    dropped_t *dropped = (dropped_t *)arg;
    pthread_mutex_lock(&dropped->lock);
    EXPECT(dropped->count < 64);
    memcpy(&dropped->values[dropped->count++], elem, sizeof(int));
    dropped->len = len;
    pthread_mutex_unlock(&dropped->lock);
}

static kc_chan_t *make(int kind, size_t elem_sz, size_t capacity) {
    kc_chan_t *ch = NULL;
    EXPECT_EQ(kc_chan_make(&ch, kind, elem_sz, capacity), 0);
    return ch;
}

static void fill(kc_chan_t *ch, int first, int last) {
    for (int value = first; value <= last; value++) {
        EXPECT_EQ(kc_chan_send(ch, &value, 0), 0);
    }
}

static void expect_values(kc_chan_t *ch, int first, int last) {
    int value = 0;
    for (int expected = first; expected <= last; expected++) {
        EXPECT_EQ(kc_chan_recv(ch, &value, 0), 0);
        EXPECT_EQ(value, expected);
    }
    EXPECT_EQ(kc_chan_recv(ch, &value, 0), KC_EAGAIN);
}

static void refuses_what_makes_no_sense(void) {
    static const int kinds[] = {KC_RENDEZVOUS, KC_CONFLATED, KC_UNLIMITED};
    for (int at = 0; at < 3; at++) {
        kc_chan_t *other = make(kinds[at], sizeof(int), 0);
        EXPECT_EQ(kc_chan_set_policy(other, KC_CHAN_DROP_OLDEST), KC_ENOTSUP);
        EXPECT_EQ(kc_chan_set_policy(other, KC_CHAN_SUSPEND), KC_ENOTSUP);
        kc_chan_destroy(other);
    }
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 1);
    int reason;
    EXPECT_EQ(kc_chan_set_policy(NULL, KC_CHAN_DROP_OLDEST), -22);
    EXPECT_EQ(kc_chan_set_policy(ch, (kc_chan_policy_t)3), -22);
    EXPECT_EQ(kc_chan_set_on_drop(NULL, on_drop, NULL), -22);
    EXPECT_EQ(kc_chan_set_on_drop(ch, NULL, NULL), -22);
    EXPECT_EQ(kc_chan_close_ex(NULL, 1), -22);
    EXPECT_EQ(kc_chan_close_reason(NULL, &reason), -22);
    EXPECT_EQ(kc_chan_close_reason(ch, NULL), -22);
    EXPECT_EQ(kc_chan_dump(NULL, 2), -22);
    EXPECT_EQ(kc_chan_dump(ch, -1), -EBADF);
    kc_chan_destroy(ch);
    EXPECT_EQ(KC_CHAN_DROP_NEWEST, KC_CHAN_DROP_LATEST);
}

static void each_policy(void) {
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 3);
    int value = 4;
    fill(ch, 1, 3);
    EXPECT_EQ(kc_chan_send(ch, &value, 0), KC_EAGAIN);
    EXPECT_EQ(kc_chan_send(ch, &value, 1), KC_ETIME);
    EXPECT_EQ(kc_chan_set_policy(ch, KC_CHAN_DROP_OLDEST), 0);
    EXPECT_EQ(kc_chan_len(ch), 3);
    fill(ch, 4, 5);
    expect_values(ch, 3, 5);
    fill(ch, 1, 3);
    EXPECT_EQ(kc_chan_set_policy(ch, KC_CHAN_DROP_LATEST), 0);
    fill(ch, 4, 5);
    expect_values(ch, 1, 3);
    fill(ch, 1, 3);
    EXPECT_EQ(kc_chan_set_policy(ch, KC_CHAN_SUSPEND), 0);
    EXPECT_EQ(kc_chan_send(ch, &value, 0), KC_EAGAIN);
    expect_values(ch, 1, 3);
    // A dropped element was sent, and never received.
    struct kc_chan_snapshot snapshot;
    EXPECT_EQ(kc_chan_snapshot(ch, &snapshot), 0);
    EXPECT_EQ(snapshot.total_sends, 13);
    EXPECT_EQ(snapshot.total_recvs, 9);
    EXPECT_EQ(snapshot.send_eagain, 2);
    EXPECT_EQ(snapshot.send_etime, 1);
    kc_chan_close(ch);
    EXPECT_EQ(kc_chan_set_policy(ch, KC_CHAN_DROP_OLDEST), 0);
    EXPECT_EQ(kc_chan_send(ch, &value, -1), KC_EPIPE);
    kc_chan_destroy(ch);
}

// Elements of every size pass through, with the bytes that they had.
static void the_hook_gets_what_is_dropped(size_t elem_sz) {
    dropped_t dropped = DROPPED_INIT;
    unsigned char element[200];
    memset(element, 0, sizeof element);
    kc_chan_t *ch = make(KC_BUFFERED, elem_sz, 2);
    EXPECT_EQ(kc_chan_set_on_drop(ch, on_drop, &dropped), 0);
    EXPECT_EQ(kc_chan_set_on_drop(ch, on_drop, NULL), -EALREADY);
    EXPECT_EQ(kc_chan_set_policy(ch, KC_CHAN_DROP_OLDEST), 0);
    for (int i = 0; i < 5; i++) {
        memcpy(element, &i, sizeof i);
        EXPECT_EQ(kc_chan_send(ch, element, -1), 0);
    }
    EXPECT_EQ(dropped.count, 3);
    EXPECT(dropped.values[0] == 0 && dropped.values[1] == 1 && dropped.values[2] == 2);
    EXPECT_EQ(kc_chan_set_policy(ch, KC_CHAN_DROP_LATEST), 0);
    EXPECT_EQ(kc_chan_send(ch, element, -1), 0);
    EXPECT_EQ(dropped.count, 4);
    EXPECT_EQ(dropped.values[3], 4);
    EXPECT_EQ(dropped.len, elem_sz);
    // What is left at the end is undelivered too.
    kc_chan_destroy(ch);
    EXPECT_EQ(dropped.count, 6);
    EXPECT(dropped.values[4] == 3 && dropped.values[5] == 4);
}

static void a_hook_that_comes_later(void) {
    the_hook_gets_what_is_dropped(sizeof(int));
    the_hook_gets_what_is_dropped(24);
    the_hook_gets_what_is_dropped(64);
    the_hook_gets_what_is_dropped(200);
    // The other kinds have the hook too.
    dropped_t dropped = DROPPED_INIT;
    kc_chan_t *ch = make(KC_CONFLATED, sizeof(int), 0);
    fill(ch, 1, 2);
    EXPECT_EQ(kc_chan_set_on_drop(ch, on_drop, &dropped), 0);
    fill(ch, 3, 4);
    EXPECT_EQ(dropped.count, 2);
    EXPECT(dropped.values[0] == 2 && dropped.values[1] == 3);
    kc_chan_destroy(ch);
    EXPECT_EQ(dropped.count, 3);
    // One that was made with a hook keeps it.
    EXPECT_EQ(kc_chan_make_ex(&ch, KC_BUFFERED, sizeof(int), 1, NULL, on_drop, &dropped), 0);
    EXPECT_EQ(kc_chan_set_on_drop(ch, on_drop, &dropped), -EALREADY);
    kc_chan_destroy(ch);
}

static void pointers(void) {
    dropped_t dropped = DROPPED_INIT;
    int values[] = {0, 1, 2, 3};
    kc_chan_t *ch = NULL;
    EXPECT_EQ(kc_chan_make_ptr(&ch, KC_BUFFERED, 2), 0);
    EXPECT_EQ(kc_chan_set_policy(ch, KC_CHAN_DROP_OLDEST), 0);
    EXPECT_EQ(kc_chan_set_on_drop(ch, on_drop, &dropped), 0);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(kc_chan_send_ptr(ch, &values[i], sizeof values[i], 0), 0);
    }
    EXPECT(dropped.count == 2 && dropped.values[0] == 0 && dropped.values[1] == 1);
    void *ptr = NULL;
    size_t len = 0;
    EXPECT_EQ(kc_chan_recv_ptr(ch, &ptr, &len, 0), 0);
    EXPECT(ptr == &values[2]);
    kc_chan_destroy(ch);
    EXPECT(dropped.count == 3 && dropped.values[2] == 3);
    // A region's bytes that are dropped are in flight no more.
    kc_region_t *region = NULL;
    EXPECT_EQ(kc_region_register(&region, values, sizeof values, KC_REGION_F_NONE), 0);
    EXPECT_EQ(kc_chan_make_ptr(&ch, KC_BUFFERED, 1), 0);
    EXPECT_EQ(kc_chan_set_policy(ch, KC_CHAN_DROP_LATEST), 0);
    EXPECT_EQ(kc_chan_send_ptr(ch, &values[0], sizeof values[0], 0), 0);
    EXPECT_EQ(kc_chan_send_ptr(ch, &values[1], sizeof values[1], 0), 0);
    EXPECT_EQ(kc_chan_recv_ptr(ch, &ptr, &len, 0), 0);
    EXPECT_EQ(kc_region_deregister(region), 0);
    kc_chan_destroy(ch);
}

typedef struct {
    kc_chan_t *ch;
    int value;
    int answer;
} sender_t;

static void sends(void *arg) {
    sender_t *sender = (sender_t *)arg;
    sender->answer = kc_chan_send(sender->ch, &sender->value, -1);
}

static void until_waiting(kcoro_t *co) {
    while (*(volatile kcoro_state_t *)&co->state != KCORO_PARKED) {
        sched_yield();
    }
}

static void sends_that_wait_complete(void) {
    for (int policy = KC_CHAN_DROP_OLDEST; policy <= KC_CHAN_DROP_LATEST; policy++) {
        enum { SENDERS = 3 };
        kc_sched_t *sched = kc_sched_default();
        dropped_t dropped = DROPPED_INIT;
        kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 2);
        EXPECT_EQ(kc_chan_set_on_drop(ch, on_drop, &dropped), 0);
        fill(ch, 1, 2);
        sender_t senders[SENDERS];
        for (int i = 0; i < SENDERS; i++) {
            kcoro_t *co = NULL;
            senders[i].ch = ch;
            senders[i].value = 3 + i;
            senders[i].answer = 1;
            EXPECT_EQ(kc_spawn_co(sched, sends, &senders[i], 0, &co), 0);
            until_waiting(co);
            kcoro_release(co);
        }
        EXPECT_EQ(kc_chan_set_policy(ch, (kc_chan_policy_t)policy), 0);
        EXPECT_EQ(kc_sched_drain(sched, -1), 0);
        for (int i = 0; i < SENDERS; i++) {
            EXPECT_EQ(senders[i].answer, 0);
            EXPECT_EQ(dropped.values[i], (policy == KC_CHAN_DROP_OLDEST ? 1 : 3) + i);
        }
        EXPECT_EQ(dropped.count, SENDERS);
        if (policy == KC_CHAN_DROP_OLDEST) {
            expect_values(ch, 4, 5);
        } else {
            expect_values(ch, 1, 2);
        }
        kc_chan_destroy(ch);
    }
}

static int reason_of(kc_chan_t *ch) {
    int reason = 77;
    EXPECT_EQ(kc_chan_close_reason(ch, &reason), 0);
    return reason;
}

static void *recv_end(void *arg) {
    kc_chan_t *ch = (kc_chan_t *)arg;
    int value;
    EXPECT_EQ(kc_chan_recv(ch, &value, -1), KC_EPIPE);
    EXPECT_EQ(reason_of(ch), -5);
    return NULL;
}

static void the_first_reason_stays(void) {
    int reason = 77, value = 1;
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 1);
    EXPECT_EQ(kc_chan_close_reason(ch, &reason), KC_EAGAIN);
    EXPECT_EQ(reason, 77);
    EXPECT_EQ(kc_chan_send(ch, &value, 0), 0);
    EXPECT_EQ(kc_chan_close_ex(ch, 8), 0);
    EXPECT_EQ(kc_chan_close_ex(ch, 9), -EALREADY);
    kc_chan_close(ch);
    EXPECT_EQ(reason_of(ch), 8);
    // It is closed as by kc_chan_close.
    EXPECT_EQ(kc_chan_send(ch, &value, -1), KC_EPIPE);
    EXPECT_EQ(kc_chan_recv(ch, &value, -1), 0);
    EXPECT_EQ(kc_chan_recv(ch, &value, -1), KC_EPIPE);
    kc_chan_destroy(ch);
    ch = make(KC_UNLIMITED, sizeof(int), 0);
    kc_chan_close(ch);
    EXPECT_EQ(reason_of(ch), 0);
    EXPECT_EQ(kc_chan_close_ex(ch, 9), -EALREADY);
    EXPECT_EQ(reason_of(ch), 0);
    kc_chan_destroy(ch);
    // A waiting call that the close ended reads the reason.
    for (int round = 0; round < 50; round++) {
        ch = make(KC_RENDEZVOUS, sizeof(int), 0);
        pthread_t thread;
        pthread_create(&thread, NULL, recv_end, ch);
        EXPECT_EQ(kc_chan_close_ex(ch, -5), 0);
        pthread_join(thread, NULL);
        kc_chan_destroy(ch);
    }
}

static char text[4096];

static const char *dump_of(kc_chan_t *ch) {
    FILE *file = tmpfile();
    EXPECT(file != NULL);
    EXPECT_EQ(kc_chan_dump(ch, fileno(file)), 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static void says(kc_chan_t *ch, const char *words) {
    if (strstr(dump_of(ch), words) == NULL) {
        fprintf(stderr, "no \"%s\" in:\n%s", words, text);
        abort();
    }
}

static void a_description(void) {
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 3);
    int value = 0;
    EXPECT_EQ(kc_chan_recv(ch, &value, 0), KC_EAGAIN);
    says(ch, "buffered elem_size=4 capacity=3 len=0 policy=suspend open\n");
    EXPECT_EQ(kc_chan_set_policy(ch, KC_CHAN_DROP_OLDEST), 0);
    fill(ch, 1, 5);
    EXPECT_EQ(kc_chan_recv(ch, &value, 0), 0);
    says(ch, "len=2 policy=drop_oldest open\n");
    says(ch, "send ok=5 bytes=20 eagain=0 etime=0 epipe=0 ecanceled=0 waiting=0\n");
    says(ch, "recv ok=1 bytes=4 eagain=1 etime=0 epipe=0 ecanceled=0 waiting=0\n");
    says(ch, "conflated=0 dropped=2\n");
    EXPECT_EQ(kc_chan_close_ex(ch, -7), 0);
    EXPECT_EQ(kc_chan_send(ch, &value, 0), KC_EPIPE);
    says(ch, "closed reason=-7\n");
    says(ch, "epipe=1");
    char name[64];
    snprintf(name, sizeof name, "chan %p: ", (void *)ch);
    says(ch, name);
    kc_chan_destroy(ch);
    ch = make(KC_CONFLATED, sizeof(int), 0);
    fill(ch, 1, 3);
    says(ch, "conflated elem_size=4 capacity=1 len=1 policy=suspend open\n");
    says(ch, "conflated=2 dropped=0\n");
    kc_chan_destroy(ch);
    EXPECT_EQ(kc_chan_make_ptr(&ch, KC_UNLIMITED, 0), 0);
    says(ch, "unlimited pointers capacity=none len=0");
    kc_chan_destroy(ch);
    ch = make(KC_RENDEZVOUS, 8, 0);
    kcoro_t *co = NULL;
    sender_t sender = {ch, 1, 1};
    EXPECT_EQ(kc_spawn_co(kc_sched_default(), sends, &sender, 0, &co), 0);
    until_waiting(co);
    kcoro_release(co);
    says(ch, "rendezvous elem_size=8 capacity=0");
    says(ch, "send ok=0 bytes=0 eagain=0 etime=0 epipe=0 ecanceled=0 waiting=1\n");
    kc_chan_destroy(ch);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    EXPECT_EQ(sender.answer, KC_EPIPE);
}

int main(void) {
    RUN(refuses_what_makes_no_sense);
    RUN(each_policy);
    RUN(a_hook_that_comes_later);
    RUN(pointers);
    RUN(sends_that_wait_complete);
    RUN(the_first_reason_stays);
    RUN(a_description);
    EXPECT_EQ(kc_panics_contained(), 0);
    kc_sched_shutdown(kc_sched_default());
    return 0;
}
