// SPDX-License-Identifier: BSD-3-Clause
// A client of kcoro_session.h.
//
//   session                    checks its functions against a server in this process
//   session client SOCKET      against the server there (session_serve.c, or one in Rust)
//   session dies SOCKET        says "ready", waits, and expects the server's death
//   session waits SOCKET       says "ready", receives a message of "jobs", says "ready", and stays
//   session reconnects SOCKET  says "ready"; sends a line of standard input to "jobs" and receives
//                              it from there, for each line

#include <sys/wait.h>

#include "kc_cancel.h"
#include "kcoro_sched.h"
#include "session.h"

static char folder[FOLDER_BYTES];
static char path[80];
static kc_session_t *session;

enum { BOTH = KC_OPEN_SEND | KC_OPEN_RECV, LARGE = 1 << 20 };

static kc_session_t *connected(unsigned flags, size_t message_bytes_max) {
    kc_session_opts_t opts = {sizeof opts, flags, 0, 1, 10, 0, message_bytes_max};
    kc_session_t *made = NULL;
    EXPECT_EQ(kc_session_connect(&made, path, &opts), 0);
    return made;
}

static void only_what_is_offered_opens(void) {
    kc_chan_t *chan = NULL;
    kc_open_opts_t opts = {sizeof opts, KC_OPEN_RECV, 0, 0, 0, 0};
    EXPECT_EQ(kc_session_wait(session, 0), 0);
    EXPECT_EQ(kc_session_open(session, "nothing", NULL, &chan), -ENOENT);
    EXPECT_EQ(kc_session_open(session, NULL, NULL, &chan), -EINVAL);
    EXPECT_EQ(kc_session_open(NULL, "jobs", NULL, &chan), -EINVAL);
    EXPECT_EQ(kc_session_open(session, "jobs", NULL, NULL), -EINVAL);
    EXPECT_EQ(kc_session_open(session, "ask", &opts, &chan), KC_ENOTSUP);
    opts.flags = 0;
    EXPECT_EQ(kc_session_open(session, "jobs", &opts, &chan), -EINVAL);
    opts.flags = 1u << 9;
    EXPECT_EQ(kc_session_open(session, "jobs", &opts, &chan), -EINVAL);
    opts.flags = KC_OPEN_RECV;
    opts.size = sizeof opts + 8;
    EXPECT_EQ(kc_session_open(session, "jobs", &opts, &chan), -EINVAL);
    // A handle has the directions that it was opened in.
    chan = open_as(session, "news", KC_OPEN_RECV, 0);
    EXPECT_EQ(send_text(chan, "x", 0), KC_ENOTSUP);
    EXPECT_EQ(kc_session_flush(chan, NULL, NULL, NULL), -EINVAL);
    kc_chan_destroy(chan);
}

static void messages_there_and_back(void) {
    kc_chan_t *jobs = NULL;
    kc_msg_t *msg = NULL, *none = NULL;
    EXPECT_EQ(kc_session_open(session, "jobs", NULL, &jobs), 0);
    EXPECT_EQ(send_text(jobs, "one", -1), 0);
    EXPECT_EQ(send_text(jobs, "", 1000), 0);
    EXPECT_EQ(send_text(jobs, "three", 0), KC_EAGAIN);
    EXPECT_EQ(send_text(jobs, "three", 20), KC_ETIME);
    EXPECT_EQ(kc_chan_send(jobs, &none, -1), -EINVAL);
    expect_text(jobs, "one", -1);
    expect_text(jobs, "", 1000);
    EXPECT_EQ(kc_chan_recv(jobs, &msg, 20), KC_ETIME);
    EXPECT_EQ(kc_chan_recv(jobs, &msg, 0), KC_EAGAIN);
    struct kc_chan_stats stats;
    EXPECT_EQ(kc_chan_get_stats(jobs, &stats), 0);
    EXPECT(stats.total_sends == 2 && stats.total_bytes_sent == 3);
    EXPECT(stats.total_recvs == 2 && stats.total_bytes_recv == 3);
    EXPECT_EQ(kc_session_flush(jobs, NULL, NULL, NULL), 0);
    kc_chan_destroy(jobs);
}

static void fill(unsigned char *bytes, size_t len, unsigned seed) {
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (unsigned char)(i * 7 + seed + (i >> 8));
    }
}

static void a_megabyte_is_one_message(void) {
    kc_chan_t *jobs = open_as(session, "jobs", BOTH, 0);
    unsigned char *bytes = (unsigned char *)malloc(LARGE);
    EXPECT(bytes != NULL);
    fill(bytes, LARGE, 3);
    kc_msg_t *msg = NULL;
    EXPECT_EQ(kc_chan_send_bytes(jobs, bytes, LARGE, -1), 0);
    EXPECT_EQ(kc_chan_recv(jobs, &msg, -1), 0);
    EXPECT_EQ(kc_msg_len(msg), LARGE);
    EXPECT_EQ(memcmp(kc_msg_data(msg), bytes, LARGE), 0);
    kc_msg_release(msg);
    free(bytes);
    // Above both sides' maximum it is refused, and nothing ends.
    bytes = (unsigned char *)calloc(1, (16 << 20) + 1);
    EXPECT(bytes != NULL);
    EXPECT_EQ(kc_chan_send_bytes(jobs, bytes, (16 << 20) + 1, -1), -EMSGSIZE);
    free(bytes);
    EXPECT_EQ(send_text(jobs, "on", -1), 0);
    expect_text(jobs, "on", -1);
    kc_chan_destroy(jobs);
}

static answer_t asked(kc_chan_t *ask, kc_chan_t *answers, kc_msg_t **msg) {
    answer_t answer;
    kc_msg_t *answered = NULL;
    EXPECT_EQ(kc_chan_send(ask, msg, -1), 0);
    EXPECT_EQ(kc_chan_recv(answers, &answered, -1), 0);
    EXPECT_EQ(kc_msg_copy(answered, 0, &answer, sizeof answer), sizeof answer);
    kc_msg_release(answered);
    return answer;
}

static void a_block_crosses_as_a_descriptor(void) {
    kc_pool_t *pool = NULL;
    kc_chan_t *ask = open_as(session, "ask", KC_OPEN_SEND, 0);
    kc_chan_t *answers = open_as(session, "answers", KC_OPEN_RECV, 0);
    EXPECT_EQ(kc_pool_make(&pool, LARGE, 2), 0);
    // The first are copied, until the server has mapped the pool.
    answer_t answer = {0, 0, 0};
    for (unsigned seed = 0; answer.block != 2; seed++) {
        kc_msg_t *msg = NULL;
        void *bytes = NULL;
        EXPECT_EQ(kc_pool_lease(pool, LARGE, -1, &msg, &bytes), 0);
        fill((unsigned char *)bytes, LARGE, seed);
        unsigned sum = sum_of(bytes, LARGE);
        answer = asked(ask, answers, &msg);
        EXPECT(answer.len == LARGE && answer.sum == sum);
    }
    kc_pool_release(pool);
    kc_chan_destroy(ask);
    kc_chan_destroy(answers);
}

typedef struct {
    kc_chan_t *chan;
    int error;
} waiter_t;

static void *receives(void *arg) {
    waiter_t *waiter = (waiter_t *)arg;
    kc_msg_t *msg = NULL;
    waiter->error = kc_chan_recv(waiter->chan, &msg, -1);
    if (waiter->error == 0) {
        kc_msg_release(msg);
    }
    return NULL;
}

static void *selects(void *arg) {
    waiter_t *waiter = (waiter_t *)arg;
    kc_msg_t *msg = NULL;
    kc_select_t *set = NULL;
    EXPECT_EQ(kc_select_create(&set, NULL), 0);
    EXPECT_EQ(kc_select_add_recv(set, waiter->chan, &msg), 0);
    EXPECT_EQ(kc_select_wait(set, -1, NULL, &waiter->error), waiter->error);
    kc_select_destroy(set);
    return NULL;
}

static void receives_parked(void *arg) {
    receives(arg);
}

static void selects_parked(void *arg) {
    selects(arg);
}

static void a_destroyed_handle_ends_its_waits_and_leaves_the_channel(void) {
    const kcoro_fn_t runs[] = {receives_parked, selects_parked};
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    for (int i = 0; i < 2; i++) {
        waiter_t waiter = {open_as(session, "jobs", BOTH, 0), 1};
        kcoro_t *co = NULL;
        EXPECT_EQ(kc_spawn_co(sched, runs[i], &waiter, 1 << 17, &co), 0);
        // Only a call that has begun may find its handle destroyed.
        while (!kcoro_is_parked(co)) {
            sleep_ms(1);
        }
        kc_chan_destroy(waiter.chan);
        EXPECT_EQ(kc_sched_drain(sched, -1), 0);
        EXPECT_EQ(waiter.error, KC_EPIPE);
        kcoro_release(co);
    }
    kc_sched_shutdown(sched);
    kc_chan_t *jobs = open_as(session, "jobs", BOTH, 0);
    EXPECT_EQ(send_text(jobs, "still", -1), 0);
    expect_text(jobs, "still", -1);
    kc_chan_destroy(jobs);
}

typedef struct {
    kc_chan_t *chan;
    kc_cancel_t *token;
} cancelled_t;

static void *cancels_when_it_waits(void *arg) {
    cancelled_t *cancelled = (cancelled_t *)arg;
    until_waiting(cancelled->chan, "recv", 1);
    kc_cancel_trigger(cancelled->token);
    return NULL;
}

static void a_token_ends_a_wait(void) {
    kc_chan_t *jobs = open_as(session, "jobs", BOTH, 0);
    cancelled_t cancelled = {jobs, NULL};
    kc_msg_t *msg = NULL;
    EXPECT_EQ(kc_cancel_init(&cancelled.token), 0);
    pthread_t thread = thread_of(cancels_when_it_waits, &cancelled);
    EXPECT_EQ(kc_chan_recv_c(jobs, &msg, -1, cancelled.token), KC_ECANCELED);
    join(thread);
    // It is set before the wait.
    EXPECT_EQ(kc_chan_recv_c(jobs, &msg, -1, cancelled.token), KC_ECANCELED);
    EXPECT_EQ(kc_chan_recv_c(jobs, &msg, 0, cancelled.token), KC_ECANCELED);
    EXPECT_EQ(waiting_at(jobs, "recv"), 0);
    kc_cancel_destroy(cancelled.token);
    // What comes now is not lost to the cancelled receive.
    EXPECT_EQ(send_text(jobs, "later", -1), 0);
    expect_text(jobs, "later", -1);
    kc_chan_destroy(jobs);
}

static void *sends_when_it_waits(void *arg) {
    until_waiting((kc_chan_t *)arg, "recv", 1);
    EXPECT_EQ(send_text((kc_chan_t *)arg, "chosen", -1), 0);
    return NULL;
}

/** A select over three channels completes with clause `index`, of this channel: `from`. */
static void selects_from(kc_select_t *set, int index, kc_chan_t *chan, kc_msg_t **from) {
    int selected = -2, result = 1;
    // A message comes while the select waits, and is there before it begins.
    pthread_t thread = thread_of(sends_when_it_waits, chan);
    for (int before = 0; before < 2; before++) {
        EXPECT_EQ(kc_select_wait(set, -1, &selected, &result), 0);
        EXPECT(selected == index && result == 0 && kc_msg_len(*from) == 6);
        kc_msg_release(*from);
        if (before == 0) {
            join(thread);
            EXPECT_EQ(waiting_at(chan, "recv"), 0);
            EXPECT_EQ(send_text(chan, "chosen", -1), 0);
        }
    }
}

typedef struct {
    kc_chan_t *meet;
    unsigned long accepted, refused, unknown;
} flushed_t;

static void flushes(void *arg) {
    flushed_t *flushed = (flushed_t *)arg;
    EXPECT_EQ(kc_session_flush(flushed->meet, &flushed->accepted, &flushed->refused,
                               &flushed->unknown),
              0);
}

/** What became of a message that a select has handed over to "meet". */
static void flushes_before_and_after(kc_chan_t *meet, kc_chan_t *receiving) {
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    flushed_t flushed = {meet, 9, 9, 9};
    kcoro_t *co = NULL;
    EXPECT_EQ(kc_spawn_co(sched, flushes, &flushed, 1 << 17, &co), 0);
    // It waits for the answer, and the message is received then.
    while (!kcoro_is_parked(co)) {
        sleep_ms(1);
    }
    expect_text(receiving, "handed over", -1);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT(flushed.accepted == 1 && flushed.refused == 0 && flushed.unknown == 0);
    // The answer is there already.
    flushed.accepted = 9;
    flushes(&flushed);
    EXPECT_EQ(flushed.accepted, 1);
    kcoro_release(co);
    kc_sched_shutdown(sched);
}

static void a_select_has_channels_of_both_kinds(void) {
    kc_chan_t *jobs = open_as(session, "jobs", BOTH, 0), *local = NULL, *plain = NULL;
    kc_chan_t *meet = open_as(session, "meet", BOTH, 0);
    kc_select_t *set = NULL;
    kc_msg_t *from_jobs = NULL, *from_local = NULL, *to_meet = NULL;
    int number = 0, selected = -2, result = 1;
    EXPECT_EQ(kc_chan_make_msg(&local, KC_BUFFERED, 1), 0);
    EXPECT_EQ(kc_chan_make(&plain, KC_BUFFERED, sizeof number, 1), 0);
    EXPECT_EQ(kc_select_create(&set, NULL), 0);
    EXPECT_EQ(kc_select_add_recv(set, plain, &number), 0);
    EXPECT_EQ(kc_select_add_recv(set, jobs, &from_jobs), 0);
    EXPECT_EQ(kc_select_add_recv(set, local, &from_local), 0);
    EXPECT_EQ(kc_select_wait(set, 0, &selected, &result), KC_EAGAIN);
    EXPECT_EQ(kc_select_wait(set, 20, &selected, &result), KC_ETIME);
    // The other process's, and this process's while the other one's waits.
    selects_from(set, 1, jobs, &from_jobs);
    selects_from(set, 2, local, &from_local);
    // A send into the other process: handed over with its credit, and answered later.
    kc_select_reset(set);
    EXPECT_EQ(kc_msg_make(&to_meet, "handed over", 11), 0);
    EXPECT_EQ(kc_select_add_recv(set, local, &from_local), 0);
    EXPECT_EQ(kc_select_add_send(set, meet, &to_meet), 0);
    kc_chan_t *receiving = open_as(session, "meet", KC_OPEN_RECV, 0);
    EXPECT_EQ(kc_select_wait(set, -1, &selected, &result), 0);
    EXPECT(selected == 1 && result == 0);
    flushes_before_and_after(meet, receiving);
    struct kc_chan_stats stats;
    EXPECT_EQ(kc_chan_get_stats(meet, &stats), 0);
    EXPECT(stats.total_sends == 1 && stats.total_bytes_sent == 11);
    // What arrived for the select, and was not chosen, went back.
    EXPECT_EQ(send_text(jobs, "kept", -1), 0);
    expect_text(jobs, "kept", -1);
    kc_select_destroy(set);
    kc_chan_destroy(receiving);
    kc_chan_destroy(meet);
    kc_chan_destroy(jobs);
    kc_chan_destroy(local);
    kc_chan_destroy(plain);
}

static void prefetched_messages_go_back(void) {
    kc_chan_t *ahead = open_as(session, "jobs", BOTH, 2);
    EXPECT_EQ(send_text(ahead, "first", -1), 0);
    EXPECT_EQ(send_text(ahead, "second", -1), 0);
    expect_text(ahead, "first", -1);
    kc_chan_destroy(ahead);
    kc_chan_t *jobs = open_as(session, "jobs", KC_OPEN_RECV, 0);
    expect_text(jobs, "second", -1);
    kc_chan_destroy(jobs);
}

static void a_channel_that_is_closed_is_closed_for_all(void) {
    kc_open_opts_t opts = {sizeof opts, BOTH | KC_OPEN_MAKE, 0, KC_BUFFERED, 0, 2};
    kc_chan_t *mine = NULL;
    EXPECT_EQ(kc_session_open(session, "mine", &opts, &mine), 0);
    kc_chan_t *other = open_as(session, "mine", BOTH, 0);
    EXPECT_EQ(send_text(mine, "last", -1), 0);
    kc_chan_close(mine);
    EXPECT_EQ(send_text(mine, "more", -1), KC_EPIPE);
    EXPECT_EQ(send_text(other, "more", -1), KC_EPIPE);
    expect_text(other, "last", -1);
    kc_msg_t *msg = NULL;
    EXPECT_EQ(kc_chan_recv(other, &msg, -1), KC_EPIPE);
    EXPECT_EQ(kc_chan_recv(mine, &msg, -1), KC_EPIPE);
    int selected = -2, result = 1;
    kc_select_t *set = NULL;
    EXPECT_EQ(kc_select_create(&set, NULL), 0);
    EXPECT_EQ(kc_select_add_recv(set, mine, &msg), 0);
    EXPECT_EQ(kc_select_wait(set, -1, &selected, &result), KC_EPIPE);
    EXPECT_EQ(selected, 0);
    kc_select_destroy(set);
    kc_chan_destroy(mine);
    kc_chan_destroy(other);
}

static void talks(void *arg) {
    kc_chan_t *meet = (kc_chan_t *)arg;
    expect_text(meet, "to a coroutine", -1);
    EXPECT_EQ(send_text(meet, "from a coroutine", -1), 0);
}

static void coroutines_park(void) {
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    kc_chan_t *meet = open_as(session, "meet", BOTH, 0);
    EXPECT_EQ(kc_spawn_co(sched, talks, meet, 1 << 17, NULL), 0);
    EXPECT_EQ(send_text(meet, "to a coroutine", -1), 0);
    expect_text(meet, "from a coroutine", -1);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    // And one that is resumed by hand: it is woken, and resumed when it is.
    kcoro_t *main_co = kcoro_create_main();
    kcoro_t *hand = kcoro_create(talks, meet, 1 << 17);
    EXPECT(main_co != NULL && hand != NULL);
    kcoro_resume(hand);
    EXPECT(kcoro_is_parked(hand));
    EXPECT_EQ(kc_spawn_co(sched, talks, meet, 1 << 17, NULL), 0);
    EXPECT_EQ(send_text(meet, "to a coroutine", -1), 0);
    EXPECT_EQ(send_text(meet, "to a coroutine", -1), 0);
    kc_chan_t *own = open_as(session, "meet", KC_OPEN_RECV, 2);
    while (hand->state != KCORO_FINISHED) {
        kcoro_resume(hand);
        sleep_ms(1);
    }
    expect_text(own, "from a coroutine", -1);
    expect_text(own, "from a coroutine", -1);
    kcoro_destroy(hand);
    kcoro_destroy(main_co);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    kc_sched_shutdown(sched);
    kc_chan_destroy(own);
    kc_chan_destroy(meet);
}

static void a_closed_session_ends_every_wait(void) {
    kc_session_t *own = connected(0, 0);
    waiter_t receiver = {open_as(own, "jobs", BOTH, 0), 1};
    waiter_t selector = {open_as(own, "jobs", BOTH, 0), 1};
    pthread_t threads[] = {thread_of(receives, &receiver), thread_of(selects, &selector)};
    until_waiting(receiver.chan, "recv", 1);
    until_waiting(selector.chan, "recv", 1);
    kc_session_close(own);
    join(threads[0]);
    join(threads[1]);
    EXPECT_EQ(receiver.error, -ECONNRESET);
    EXPECT_EQ(selector.error, -ECONNRESET);
    // Those that begin after it.
    receives(&receiver);
    selects(&selector);
    EXPECT_EQ(receiver.error, -ECONNRESET);
    EXPECT_EQ(selector.error, -ECONNRESET);
    EXPECT_EQ(send_text(receiver.chan, "x", -1), -ECONNRESET);
    EXPECT_EQ(send_text(receiver.chan, "x", 0), -ECONNRESET);
    kc_chan_destroy(receiver.chan);
    kc_chan_destroy(selector.chan);
}

static void be_client(void) {
    session = connected(0, 0);
    RUN(only_what_is_offered_opens);
    RUN(messages_there_and_back);
    RUN(a_megabyte_is_one_message);
    RUN(a_block_crosses_as_a_descriptor);
    RUN(a_destroyed_handle_ends_its_waits_and_leaves_the_channel);
    RUN(a_token_ends_a_wait);
    RUN(a_select_has_channels_of_both_kinds);
    RUN(prefetched_messages_go_back);
    RUN(a_channel_that_is_closed_is_closed_for_all);
    RUN(coroutines_park);
    RUN(a_closed_session_ends_every_wait);
    kc_session_close(session);
    // Over the socket alone, too.
    session = connected(KC_SESSION_NO_SHM, 1 << 21);
    RUN(messages_there_and_back);
    RUN(a_megabyte_is_one_message);
    RUN(a_block_crosses_as_a_descriptor);
    kc_session_close(session);
}

static void ready(void) {
    EXPECT_EQ(write(STDOUT_FILENO, "ready\n", 6), 6);
}

static void meets_nobody(void *arg) {
    waiter_t *waiter = (waiter_t *)arg;
    waiter->error = send_text(waiter->chan, "unanswered", -1);
}

static void expect_death(void) {
    session = connected(0, 0);
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    kcoro_t *co = NULL;
    waiter_t receiver = {open_as(session, "jobs", BOTH, 0), 1};
    waiter_t selector = {open_as(session, "jobs", BOTH, 0), 1};
    pthread_t thread = thread_of(selects, &selector);
    kc_chan_t *meet = open_as(session, "meet", BOTH, 0);
    // It has been transmitted when its sender waits.
    waiter_t sender = {meet, 1};
    EXPECT_EQ(kc_spawn_co(sched, meets_nobody, &sender, 1 << 17, &co), 0);
    while (!kcoro_is_parked(co)) {
        sleep_ms(1);
    }
    ready();
    receives(&receiver);
    join(thread);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(sender.error, KC_EUNKNOWN);
    kcoro_release(co);
    kc_sched_shutdown(sched);
    EXPECT_EQ(receiver.error, -ECONNRESET);
    EXPECT_EQ(selector.error, -ECONNRESET);
    EXPECT_EQ(send_text(meet, "x", -1), -ECONNRESET);
    EXPECT_EQ(kc_session_wait(session, -1), -ECONNRESET);
    kc_chan_t *none = NULL;
    EXPECT_EQ(kc_session_open(session, "jobs", NULL, &none), -ECONNRESET);
    kc_session_close(session);
    kc_chan_destroy(meet);
    kc_chan_destroy(receiver.chan);
    kc_chan_destroy(selector.chan);
}

static void wait_for_a_job(void) {
    session = connected(0, 0);
    kc_chan_t *jobs = open_as(session, "jobs", BOTH, 0);
    kc_msg_t *msg = NULL;
    char byte;
    ready();
    EXPECT_EQ(kc_chan_recv(jobs, &msg, -1), 0);
    ready();
    // Killed here.
    EXPECT(read(STDIN_FILENO, &byte, 1) <= 0);
}

static void reconnect(void) {
    char line[64];
    session = connected(KC_SESSION_RECONNECT, 0);
    kc_chan_t *jobs = open_as(session, "jobs", BOTH, 0);
    kc_msg_t *msg = NULL;
    // Nothing listens yet.
    EXPECT_EQ(send_text(jobs, "x", 0), KC_EAGAIN);
    EXPECT_EQ(send_text(jobs, "x", 5), KC_ETIME);
    EXPECT_EQ(kc_chan_recv(jobs, &msg, 0), KC_EAGAIN);
    EXPECT_EQ(kc_session_wait(session, 0), KC_EAGAIN);
    EXPECT_EQ(kc_session_wait(session, 5), KC_ETIME);
    ready();
    while (fgets(line, sizeof line, stdin) != NULL) {
        EXPECT_EQ(kc_session_wait(session, -1), 0);
        int error;
        // The server may have been killed since, which an operation notices once.
        while ((error = send_text(jobs, line, -1)) != 0) {
            EXPECT(error == -ECONNRESET || error == KC_EUNKNOWN);
        }
        expect_text(jobs, line, -1);
        ready();
    }
    kc_session_close(session);
    kc_msg_t *none = NULL;
    EXPECT_EQ(kc_chan_recv(jobs, &none, -1), -ECONNRESET);
    kc_chan_destroy(jobs);
}

static void nothing_listens(void) {
    kc_session_t *none = NULL;
    kc_session_opts_t opts = {sizeof opts, 0, 0, 0, 0, 0, 0};
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    EXPECT_EQ(kc_session_connect(&none, path, NULL), -ENOENT);
    EXPECT_EQ(kc_session_connect(&none, longer, NULL), -ENAMETOOLONG);
    EXPECT_EQ(kc_session_connect(&none, NULL, NULL), -EINVAL);
    EXPECT_EQ(kc_session_connect(NULL, path, NULL), -EINVAL);
    opts.flags = 1u << 9;
    EXPECT_EQ(kc_session_connect(&none, path, &opts), -EINVAL);
    opts.flags = 0;
    opts.size = 3;
    EXPECT_EQ(kc_session_connect(&none, path, &opts), -EINVAL);
    // An older program has a shorter structure.
    opts.size = offsetof(kc_session_opts_t, handshake_ms);
    EXPECT_EQ(kc_session_connect(&none, path, &opts), -ENOENT);
    EXPECT_EQ(kc_session_wait(NULL, 0), -EINVAL);
    EXPECT_EQ(kc_session_flush(NULL, NULL, NULL, NULL), -EINVAL);
    kc_session_close(NULL);
    // One that gives up says so.
    opts.size = sizeof opts;
    opts.flags = KC_SESSION_RECONNECT;
    opts.attempts_max = 2;
    opts.backoff_first_ms = opts.backoff_max_ms = 1;
    EXPECT_EQ(kc_session_connect(&none, path, &opts), 0);
    EXPECT_EQ(kc_session_wait(none, -1), -ECONNRESET);
    kc_session_close(none);
}

static void one_process_may_be_both(void) {
    kc_server_t *server = NULL;
    kc_chan_t *chan = NULL;
    EXPECT_EQ(kc_server_listen(&server, path, 0, 0), 0);
    EXPECT_EQ(kc_chan_make_msg(&chan, KC_BUFFERED, 2), 0);
    EXPECT_EQ(kc_server_export(server, "jobs", chan, BOTH), 0);
    session = connected(0, 0);
    kc_chan_t *jobs = open_as(session, "jobs", BOTH, 0);
    EXPECT_EQ(send_text(jobs, "to here", -1), 0);
    expect_text(chan, "to here", -1);
    EXPECT_EQ(send_text(chan, "from here", -1), 0);
    expect_text(jobs, "from here", -1);
    // Its owner closes it.
    waiter_t waiter = {jobs, 1};
    pthread_t thread = thread_of(receives, &waiter);
    kc_chan_destroy(chan);
    join(thread);
    EXPECT_EQ(waiter.error, KC_EPIPE);
    kc_chan_destroy(jobs);
    kc_server_close(server);
    kc_session_close(session);
}

// The threads of the library are not copied: it gets an error, and does not wait for ever.
static void a_child_of_fork_is_refused(void) {
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        kc_session_t *none;
        alarm(20);
        EXPECT_EQ(kc_session_connect(&none, path, NULL), -ENOTRECOVERABLE);
        end_child();
    }
    int status;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

int main(int argc, char **argv) {
    if (argc == 3) {
        snprintf(path, sizeof path, "%s", argv[2]);
        switch (argv[1][0]) {
        case 'c':
            be_client();
            return 0;
        case 'd':
            expect_death();
            return 0;
        case 'w':
            wait_for_a_job();
            return 0;
        default:
            reconnect();
            return 0;
        }
    }
    make_folder(folder, "session");
    snprintf(path, sizeof path, "%s/socket", folder);
    RUN(nothing_listens);
    RUN(one_process_may_be_both);
    RUN(a_child_of_fork_is_refused);
    EXPECT_EQ(rmdir(folder), 0);
    return 0;
}
