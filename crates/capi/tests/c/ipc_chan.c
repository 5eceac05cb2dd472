// SPDX-License-Identifier: BSD-3-Clause
// Channels of another process: kcoro_ipc_chan.h. The server is one of kcoro_ipc_server.h, or one
// that writes the protocol's bytes itself and does what a server should not.

#include "ipc_raw.h"
#include "ipc_serve.h"
#include "kc_context.h"
#include "kcoro.h"
#include "kcoro_ipc_chan.h"

static char folder[FOLDER_BYTES];
static char path[64];
static serving_t serving;

static kc_ipc_conn_t *client(void) {
    kc_ipc_conn_t *conn;
    EXPECT_EQ(kc_ipc_connect(path, &conn), 0);
    EXPECT_EQ(kc_ipc_hs_cli(conn, NULL, NULL), 0);
    return conn;
}

static kc_ipc_chan_t *make(kc_ipc_conn_t *conn, int kind, size_t elem_sz, size_t capacity) {
    kc_ipc_chan_t *chan = NULL;
    EXPECT_EQ(kc_ipc_chan_make(conn, kind, elem_sz, capacity, &chan), 0);
    EXPECT(kc_ipc_chan_id(chan) >= 1001);
    return chan;
}

static void wrong_arguments(void) {
    kc_ipc_conn_t *conn = client();
    kc_ipc_chan_t *chan = NULL;
    int number = 0;
    EXPECT_EQ(kc_ipc_chan_make(NULL, KC_BUFFERED, 4, 1, &chan), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_make(conn, KC_BUFFERED, 4, 1, NULL), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_make(conn, KC_BUFFERED, 0, 1, &chan), -EMSGSIZE);
    EXPECT_EQ(kc_ipc_chan_make(conn, KC_BUFFERED, 65536, 1, &chan), -EMSGSIZE);
    EXPECT_EQ(kc_ipc_chan_make(conn, -3, 4, 1, &chan), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_make(conn, KC_BUFFERED, 4, (size_t)1 << 40, &chan), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_open(NULL, 1001, KC_BUFFERED, 4, &chan), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_open(conn, 1001, KC_BUFFERED, 4, NULL), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_open(conn, 1001, -3, 4, &chan), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_open(conn, 0, KC_BUFFERED, 4, &chan), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_open(conn, 1001, KC_BUFFERED, 0, &chan), -EMSGSIZE);
    EXPECT_EQ(kc_ipc_chan_open(conn, 1001, KC_BUFFERED, 65536, &chan), -EMSGSIZE);
    EXPECT_EQ(kc_ipc_chan_id(NULL), 0);
    EXPECT_EQ(kc_ipc_chan_send(NULL, &number, 0), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_recv(NULL, &number, 0), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_try_send(NULL, &number), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_try_recv(NULL, &number), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_close(NULL), -EINVAL);
    kc_ipc_chan_destroy(NULL);
    chan = make(conn, KC_BUFFERED, 4, 1);
    EXPECT_EQ(kc_ipc_chan_send(chan, NULL, 0), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_recv(chan, NULL, 0), -EINVAL);
    kc_ipc_chan_destroy(chan);
    kc_ipc_conn_close(conn);
}

static void each_kind(void) {
    kc_ipc_conn_t *conn = client();
    int number = 0;
    kc_ipc_chan_t *chan = make(conn, KC_BUFFERED, sizeof number, 3);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(kc_ipc_chan_send(chan, &i, -1), 0);
    }
    EXPECT_EQ(kc_ipc_chan_try_send(chan, &number), KC_EAGAIN);
    EXPECT_EQ(kc_ipc_chan_send(chan, &number, 0), KC_EAGAIN);
    EXPECT_EQ(kc_ipc_chan_send(chan, &number, 2), KC_ETIME);
    for (int i = 0; i < 3; i++) {
        int tries = i == 0;
        EXPECT_EQ(tries ? kc_ipc_chan_try_recv(chan, &number)
                        : kc_ipc_chan_recv(chan, &number, -1),
                  0);
        EXPECT_EQ(number, i);
    }
    EXPECT_EQ(kc_ipc_chan_try_recv(chan, &number), KC_EAGAIN);
    EXPECT_EQ(kc_ipc_chan_recv(chan, &number, 0), KC_EAGAIN);
    EXPECT_EQ(kc_ipc_chan_recv(chan, &number, 2), KC_ETIME);
    kc_ipc_chan_destroy(chan);

    chan = make(conn, KC_CONFLATED, sizeof number, 0);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(kc_ipc_chan_try_send(chan, &i), 0);
    }
    EXPECT_EQ(kc_ipc_chan_recv(chan, &number, 1000), 0);
    EXPECT_EQ(number, 2);
    kc_ipc_chan_destroy(chan);

    chan = make(conn, KC_UNLIMITED, sizeof number, 0);
    for (int i = 0; i < 200; i++) {
        EXPECT_EQ(kc_ipc_chan_try_send(chan, &i), 0);
    }
    for (int i = 0; i < 200; i++) {
        EXPECT_EQ(kc_ipc_chan_recv(chan, &number, -1), 0);
        EXPECT_EQ(number, i);
    }
    kc_ipc_chan_destroy(chan);

    chan = make(conn, KC_RENDEZVOUS, sizeof number, 0);
    EXPECT_EQ(kc_ipc_chan_try_send(chan, &number), KC_EAGAIN);
    EXPECT_EQ(kc_ipc_chan_send(chan, &number, 2), KC_ETIME);
    kc_ipc_chan_destroy(chan);
    kc_ipc_conn_close(conn);
}

static void large_elements(void) {
    static unsigned char sent[65535], received[65535];
    kc_ipc_conn_t *conn = client();
    kc_ipc_chan_t *chan = make(conn, KC_BUFFERED, sizeof sent, 2);
    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = (unsigned char)(i % 241);
    }
    EXPECT_EQ(kc_ipc_chan_send(chan, sent, -1), 0);
    EXPECT_EQ(kc_ipc_chan_recv(chan, received, -1), 0);
    EXPECT(memcmp(sent, received, sizeof sent) == 0);
    kc_ipc_chan_destroy(chan);
    kc_ipc_conn_close(conn);
}

static void closing_reads_its_answer(void) {
    kc_ipc_conn_t *conn = client(), *other = client();
    kc_ipc_chan_t *chan = make(conn, KC_BUFFERED, 1, 2), *same;
    char letter = 'a';
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    EXPECT_EQ(kc_ipc_chan_open(other, kc_ipc_chan_id(chan), KC_BUFFERED, 1, &same), 0);
    EXPECT_EQ(kc_ipc_chan_id(same), kc_ipc_chan_id(chan));
    EXPECT_EQ(kc_ipc_chan_send(same, &letter, -1), 0);
    EXPECT_EQ(kc_ipc_chan_close(chan), 0);
    EXPECT_EQ(kc_ipc_recv_nb(conn, &cmd, &payload, &len), -EAGAIN);
    EXPECT_EQ(kc_ipc_chan_send(same, &letter, -1), KC_EPIPE);
    letter = 0;
    EXPECT_EQ(kc_ipc_chan_recv(same, &letter, -1), 0);
    EXPECT_EQ(letter, 'a');
    EXPECT_EQ(kc_ipc_chan_recv(chan, &letter, -1), KC_EPIPE);
    EXPECT_EQ(kc_ipc_chan_try_recv(same, &letter), KC_EPIPE);
    EXPECT_EQ(kc_ipc_chan_close(same), 0);
    kc_ipc_chan_destroy(chan);
    // The next command of that connection comes after the one that destroyed it.
    kc_ipc_chan_destroy(make(conn, KC_BUFFERED, 1, 2));
    EXPECT_EQ(kc_ipc_chan_recv(same, &letter, -1), -ENOENT);
    EXPECT_EQ(kc_ipc_chan_send(same, &letter, -1), -ENOENT);
    EXPECT_EQ(kc_ipc_chan_close(same), -ENOENT);
    kc_ipc_chan_destroy(same);
    kc_ipc_conn_close(conn);
    kc_ipc_conn_close(other);
}

static void a_destroyed_channel_is_drained_by_others(void) {
    kc_ipc_conn_t *conn = client(), *other = client();
    kc_ipc_chan_t *chan = make(conn, KC_BUFFERED, 1, 2), *same;
    EXPECT_EQ(kc_ipc_chan_open(other, kc_ipc_chan_id(chan), KC_BUFFERED, 1, &same), 0);
    EXPECT_EQ(kc_ipc_chan_send(chan, "a", -1), 0);
    EXPECT_EQ(kc_ipc_chan_send(chan, "b", -1), 0);
    kc_ipc_chan_destroy(chan);
    // The next command of that connection comes after the one that destroyed it.
    kc_ipc_chan_destroy(make(conn, KC_BUFFERED, 1, 2));
    EXPECT_EQ(kc_ipc_chan_send(same, "c", -1), KC_EPIPE);
    for (char expected = 'a'; expected <= 'b'; expected++) {
        char letter = 0;
        EXPECT_EQ(kc_ipc_chan_recv(same, &letter, -1), 0);
        EXPECT_EQ(letter, expected);
    }
    char letter = 0;
    EXPECT_EQ(kc_ipc_chan_recv(same, &letter, -1), KC_EPIPE);
    // Until here the last element might have had to go back.
    EXPECT_EQ(kc_ipc_chan_try_recv(same, &letter), KC_EPIPE);
    EXPECT_EQ(kc_ipc_chan_recv(same, &letter, -1), -ENOENT);
    kc_ipc_chan_destroy(same);
    kc_ipc_conn_close(conn);
    kc_ipc_conn_close(other);
}

static void an_element_of_another_size_is_not_lost(void) {
    kc_ipc_conn_t *conn = client();
    kc_ipc_chan_t *chan = make(conn, KC_BUFFERED, 4, 2), *wrong;
    int number = 42;
    char bytes[8];
    EXPECT_EQ(kc_ipc_chan_open(conn, kc_ipc_chan_id(chan), KC_BUFFERED, 8, &wrong), 0);
    EXPECT_EQ(kc_ipc_chan_send(wrong, bytes, -1), -EINVAL);
    EXPECT_EQ(kc_ipc_chan_send(chan, &number, -1), 0);
    EXPECT_EQ(kc_ipc_chan_recv(wrong, bytes, -1), -EINVAL);
    number = 0;
    EXPECT_EQ(kc_ipc_chan_recv(chan, &number, 0), 0);
    EXPECT_EQ(number, 42);
    kc_ipc_chan_destroy(chan);
    kc_ipc_conn_close(conn);
    EXPECT_EQ(kc_ipc_chan_recv(wrong, bytes, -1), -ECONNRESET);
    EXPECT_EQ(kc_ipc_chan_send(wrong, bytes, -1), -ECONNRESET);
    EXPECT_EQ(kc_ipc_chan_close(wrong), -ECONNRESET);
    kc_ipc_chan_destroy(wrong);
}

/** What threads and coroutines that share a connection share. */
enum { ASKERS = 8, EACH = 200 };

static kc_ipc_chan_t *to, *from;
static counter_t sum = COUNTER_INIT;

static void sends_many(void *arg) {
    (void)arg;
    for (int i = 1; i <= EACH; i++) {
        EXPECT_EQ(kc_ipc_chan_send(to, &i, -1), 0);
    }
}

static void receives_many(void *arg) {
    (void)arg;
    for (int i = 1; i <= EACH; i++) {
        int number;
        EXPECT_EQ(kc_ipc_chan_recv(from, &number, -1), 0);
        counter_add(&sum, number);
    }
}

static void *sends_on_a_thread(void *arg) {
    sends_many(arg);
    return NULL;
}

static void *receives_on_a_thread(void *arg) {
    receives_many(arg);
    return NULL;
}

// Receives that wait, and the sends that they wait for, of threads and coroutines, all on one
// connection.
static void one_connection_for_all(void) {
    kc_ipc_conn_t *conn = client();
    pthread_t threads[ASKERS];
    kc_sched_opts_t opts = {2, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    to = make(conn, KC_BUFFERED, sizeof(int), 2);
    EXPECT_EQ(kc_ipc_chan_open(conn, kc_ipc_chan_id(to), KC_BUFFERED, sizeof(int), &from), 0);
    for (int i = 0; i < ASKERS; i++) {
        int receives = i < ASKERS / 2;
        EXPECT_EQ(kc_spawn_co(sched, receives ? receives_many : sends_many, NULL, 0, NULL), 0);
        EXPECT_EQ(pthread_create(&threads[i], NULL,
                                 receives ? receives_on_a_thread : sends_on_a_thread, NULL),
                  0);
    }
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    for (int i = 0; i < ASKERS; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    }
    EXPECT_EQ(counter_get(&sum), (long)ASKERS * EACH * (EACH + 1) / 2);
    kc_sched_shutdown(sched);
    kc_ipc_chan_destroy(to);
    kc_ipc_chan_destroy(from);
    kc_ipc_conn_close(conn);
}

static void receives_one(void *arg) {
    EXPECT_EQ(kc_ipc_chan_recv(from, arg, -1), 0);
}

static void sends_one(void *arg) {
    EXPECT_EQ(kc_ipc_chan_send(to, arg, -1), 0);
}

static void a_wait_leaves_the_worker_to_others(void) {
    kc_ipc_conn_t *conn = client();
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    int sent = 17, received = 0;
    to = from = make(conn, KC_RENDEZVOUS, sizeof(int), 0);
    EXPECT_EQ(kc_spawn_co(sched, receives_one, &received, 0, NULL), 0);
    EXPECT_EQ(kc_spawn_co(sched, sends_one, &sent, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(received, 17);
    kc_sched_shutdown(sched);
    kc_ipc_chan_destroy(to);
    kc_ipc_conn_close(conn);
}

/** A server that writes bytes itself: what it has heard, what it is to say. */
typedef struct {
    kc_ipc_server_t *srv;
    kc_ipc_conn_t *conn;
    kc_ipc_conn_t *peer;
} odd_t;

static void *greets(void *arg) {
    EXPECT_EQ(kc_ipc_hs_srv((kc_ipc_conn_t *)arg, NULL, NULL), 0);
    return NULL;
}

static odd_t odd(void) {
    static char odd_path[80];
    odd_t odd;
    pthread_t thread;
    snprintf(odd_path, sizeof odd_path, "%s/odd", folder);
    EXPECT_EQ(kc_ipc_srv_listen(odd_path, &odd.srv), 0);
    EXPECT_EQ(kc_ipc_connect(odd_path, &odd.conn), 0);
    EXPECT_EQ(kc_ipc_srv_accept(odd.srv, &odd.peer), 0);
    EXPECT_EQ(pthread_create(&thread, NULL, greets, odd.peer), 0);
    EXPECT_EQ(kc_ipc_hs_cli(odd.conn, NULL, NULL), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    return odd;
}

static void odd_end(odd_t odd) {
    kc_ipc_conn_close(odd.conn);
    kc_ipc_conn_close(odd.peer);
    kc_ipc_srv_close(odd.srv);
}

/** Receives a request; returns its number. */
static uint32_t odd_receives(odd_t *odd, uint16_t command) {
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    static __thread raw_t raw;
    EXPECT_EQ(kc_ipc_recv(odd->peer, &cmd, &payload, &len), 0);
    EXPECT_EQ(cmd, command);
    EXPECT(len <= RAW_BYTES);
    memcpy(raw.at, payload, len);
    raw.len = len;
    free(payload);
    return (uint32_t)raw_number(&raw, REQ_ID);
}

/** Answers; number 0: without one. element 0: without one. */
static void odd_says(odd_t *odd, uint16_t command, uint32_t number, int result, char element) {
    static __thread raw_t raw;
    raw.len = 0;
    if (number != 0) {
        put_u32(&raw, REQ_ID, number);
    }
    put_i32(&raw, RESULT, result);
    if (element != 0) {
        put_bytes(&raw, ELEMENT, &element, 1);
    }
    EXPECT_EQ(kc_ipc_send(odd->peer, command, raw.at, raw.len), 0);
}

typedef struct {
    kc_ipc_chan_t *chan;
    long timeout_ms;
    int answer;
    char element;
} asks_t;

static void *asks_to_receive(void *arg) {
    asks_t *asks = (asks_t *)arg;
    asks->answer = kc_ipc_chan_recv(asks->chan, &asks->element, asks->timeout_ms);
    return NULL;
}

static void answers_in_any_order(void) {
    odd_t server = odd();
    asks_t asks[3];
    pthread_t threads[3];
    uint32_t numbers[3];
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(kc_ipc_chan_open(server.conn, 2000 + (uint32_t)i, KC_BUFFERED, 1, &asks[i].chan),
                  0);
        asks[i].timeout_ms = -1;
        EXPECT_EQ(pthread_create(&threads[i], NULL, asks_to_receive, &asks[i]), 0);
        numbers[i] = odd_receives(&server, CHAN_RECV);
    }
    EXPECT(numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[0] != numbers[2]);
    // The reading caller is not the first to be answered.
    odd_says(&server, CHAN_RECV, numbers[2], 0, 'c');
    EXPECT_EQ(pthread_join(threads[2], NULL), 0);
    odd_says(&server, CHAN_RECV, numbers[0], 0, 'a');
    EXPECT_EQ(pthread_join(threads[0], NULL), 0);
    // Somebody goes on reading.
    odd_says(&server, CHAN_RECV, 77777, 0, 'x');
    raw_t news;
    news.len = 0;
    put_u32(&news, ID, 1);
    put_u32(&news, SELECT_MASK, 1);
    put_i32(&news, RESULT, 0);
    EXPECT_EQ(kc_ipc_send(server.peer, SELECT_NOTIFY, news.at, news.len), 0);
    odd_says(&server, CHAN_RECV, numbers[1], -32, 0);
    EXPECT_EQ(pthread_join(threads[1], NULL), 0);
    EXPECT(asks[0].answer == 0 && asks[0].element == 'a');
    EXPECT(asks[2].answer == 0 && asks[2].element == 'c');
    EXPECT_EQ(asks[1].answer, KC_EPIPE);
    for (int i = 0; i < 3; i++) {
        kc_ipc_chan_destroy(asks[i].chan);
    }
    odd_end(server);
}

static void a_server_that_knows_no_numbers(void) {
    odd_t server = odd();
    asks_t asks[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(kc_ipc_chan_open(server.conn, 2000, KC_BUFFERED, 1, &asks[i].chan), 0);
        asks[i].timeout_ms = -1;
        EXPECT_EQ(pthread_create(&threads[i], NULL, asks_to_receive, &asks[i]), 0);
        odd_receives(&server, CHAN_RECV);
    }
    odd_says(&server, CHAN_RECV, 0, 0, 'a');
    odd_says(&server, CHAN_RECV, 0, 0, 'b');
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
        EXPECT_EQ(asks[i].answer, 0);
        EXPECT_EQ(asks[i].element, 'a' + i);
        kc_ipc_chan_destroy(asks[i].chan);
    }
    odd_end(server);
}

// Its answer comes after the caller has left; what it brings is not lost.
static void a_server_that_is_late(void) {
    odd_t server = odd();
    kc_ipc_chan_t *chan;
    char letter = 's';
    EXPECT_EQ(kc_ipc_chan_open(server.conn, 2000, KC_BUFFERED, 1, &chan), 0);
    EXPECT_EQ(kc_ipc_chan_recv(chan, &letter, 1), KC_ETIME);
    uint32_t late = odd_receives(&server, CHAN_RECV);
    EXPECT_EQ(kc_ipc_chan_try_recv(chan, &letter), KC_ETIME);
    uint32_t later = odd_receives(&server, CHAN_TRY_RECV);
    // One goes to a receive that waits.
    asks_t asks = {chan, -1, 1, 0};
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, asks_to_receive, &asks), 0);
    uint32_t own = odd_receives(&server, CHAN_RECV);
    odd_says(&server, CHAN_RECV, late, 0, 'l');
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT(asks.answer == 0 && asks.element == 'l');
    // The others are kept for receives to come, of this channel. The next reader finds them.
    odd_says(&server, CHAN_RECV, later, -11, 0);
    odd_says(&server, CHAN_RECV, own, 0, 'o');
    kc_ipc_chan_t *other;
    EXPECT_EQ(kc_ipc_chan_open(server.conn, 2001, KC_BUFFERED, 1, &other), 0);
    asks.chan = other;
    EXPECT_EQ(pthread_create(&thread, NULL, asks_to_receive, &asks), 0);
    odd_says(&server, CHAN_RECV, odd_receives(&server, CHAN_RECV), -11, 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(asks.answer, KC_EAGAIN);
    EXPECT_EQ(kc_ipc_chan_recv(chan, &letter, -1), 0);
    EXPECT_EQ(letter, 'o');
    kc_ipc_chan_destroy(other);
    kc_ipc_chan_destroy(chan);
    odd_end(server);
}

static void receives_until_cancelled(void *arg) {
    asks_to_receive(arg);
}

static kc_sched_t *cancelling;

static void launches(void *arg) {
    EXPECT_EQ(kc_spawn_co(cancelling, receives_until_cancelled, arg, 0, NULL), 0);
}

static void a_token_of_the_context_ends_the_wait(void) {
    odd_t server = odd();
    asks_t asks = {NULL, -1, 1, 0};
    kc_cancel_t *token = NULL;
    EXPECT_EQ(kc_ipc_chan_open(server.conn, 2000, KC_BUFFERED, 1, &asks.chan), 0);
    EXPECT_EQ(kc_cancel_init(&token), 0);
    kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_CANCEL, token, NULL);
    cancelling = kc_sched_init(NULL);
    EXPECT_EQ(kc_context_with(ctx, launches, &asks), 0);
    uint32_t number = odd_receives(&server, CHAN_RECV);
    kc_cancel_trigger(token);
    EXPECT_EQ(kc_sched_drain(cancelling, -1), 0);
    EXPECT_EQ(asks.answer, KC_ECANCELED);
    odd_says(&server, CHAN_RECV, number, 0, 'k');
    // The next request reads that first, and is satisfied by it.
    EXPECT_EQ(kc_ipc_chan_recv(asks.chan, &asks.element, -1), 0);
    EXPECT_EQ(asks.element, 'k');
    kc_sched_shutdown(cancelling);
    kc_context_release(ctx);
    kc_cancel_destroy(token);
    kc_ipc_chan_destroy(asks.chan);
    odd_end(server);
}

static void waits_past_the_deadline(void *arg) {
    kc_ipc_conn_t *conn = (kc_ipc_conn_t *)arg;
    kc_ipc_chan_t *chan = NULL, *made = NULL;
    char letter = 'd';
    EXPECT_EQ(kc_ipc_chan_make(conn, KC_BUFFERED, 1, 1, &made), KC_ETIME);
    EXPECT(made == NULL);
    EXPECT_EQ(kc_ipc_chan_open(conn, 2000, KC_BUFFERED, 1, &chan), 0);
    EXPECT_EQ(kc_ipc_chan_send(chan, &letter, -1), KC_ETIME);
    EXPECT_EQ(kc_ipc_chan_try_send(chan, &letter), KC_ETIME);
    EXPECT_EQ(kc_ipc_chan_recv(chan, &letter, -1), KC_ETIME);
    EXPECT_EQ(kc_ipc_chan_close(chan), KC_ETIME);
    kc_ipc_chan_destroy(chan);
}

static void the_deadline_of_the_context_is_one_number_in_every_call(void) {
    static long long at = 1;
    odd_t server = odd();
    kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_DEADLINE, &at, NULL);
    EXPECT_EQ(kc_context_with(ctx, waits_past_the_deadline, server.conn), 0);
    kc_context_release(ctx);
    odd_end(server);
}

static void a_server_that_answers_something_else(void) {
    static const struct {
        int command, result;
        char element;
    } wrong[] = {{CHAN_SEND, 0, 0}, {CHAN_RECV, 0, 0}, {LIST, 0, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        odd_t server = odd();
        asks_t asks = {NULL, -1, 1, 0};
        pthread_t thread;
        EXPECT_EQ(kc_ipc_chan_open(server.conn, 2000, KC_BUFFERED, 1, &asks.chan), 0);
        EXPECT_EQ(pthread_create(&thread, NULL, asks_to_receive, &asks), 0);
        uint32_t number = odd_receives(&server, CHAN_RECV);
        odd_says(&server, (uint16_t)wrong[i].command, number, wrong[i].result, wrong[i].element);
        EXPECT_EQ(pthread_join(thread, NULL), 0);
        EXPECT_EQ(asks.answer, -EPROTO);
        EXPECT_EQ(kc_ipc_chan_recv(asks.chan, &asks.element, -1), -EPROTO);
        kc_ipc_chan_destroy(asks.chan);
        odd_end(server);
    }
}

static void a_server_that_vanishes_ends_every_wait(void) {
    enum { WAITING = 5 };
    for (int own = 0; own < 2; own++) {
        odd_t server = odd();
        asks_t asks[WAITING];
        pthread_t threads[WAITING];
        for (int i = 0; i < WAITING; i++) {
            EXPECT_EQ(kc_ipc_chan_open(server.conn, 2000, KC_BUFFERED, 1, &asks[i].chan), 0);
            asks[i].timeout_ms = i % 2 ? -1 : 600000;
            EXPECT_EQ(pthread_create(&threads[i], NULL, asks_to_receive, &asks[i]), 0);
            odd_receives(&server, CHAN_RECV);
        }
        // Either end: the peer's, or one's own.
        if (own) {
            kc_ipc_conn_close(server.conn);
            server.conn = NULL;
        } else {
            kc_ipc_conn_close(server.peer);
            server.peer = NULL;
        }
        for (int i = 0; i < WAITING; i++) {
            EXPECT_EQ(pthread_join(threads[i], NULL), 0);
            EXPECT_EQ(asks[i].answer, -ECONNRESET);
            EXPECT_EQ(kc_ipc_chan_recv(asks[i].chan, &asks[i].element, -1), -ECONNRESET);
            EXPECT_EQ(kc_ipc_chan_try_send(asks[i].chan, &asks[i].element), -ECONNRESET);
            kc_ipc_chan_destroy(asks[i].chan);
        }
        odd_end(server);
    }
}

int main(void) {
    make_folder(folder, "chan");
    snprintf(path, sizeof path, "%s/socket", folder);
    serve_begin(&serving, path);
    RUN(wrong_arguments);
    RUN(each_kind);
    RUN(large_elements);
    RUN(closing_reads_its_answer);
    RUN(a_destroyed_channel_is_drained_by_others);
    RUN(an_element_of_another_size_is_not_lost);
    RUN(one_connection_for_all);
    RUN(a_wait_leaves_the_worker_to_others);
    RUN(answers_in_any_order);
    RUN(a_server_that_knows_no_numbers);
    RUN(a_server_that_is_late);
    RUN(a_token_of_the_context_ends_the_wait);
    RUN(the_deadline_of_the_context_is_one_number_in_every_call);
    RUN(a_server_that_answers_something_else);
    RUN(a_server_that_vanishes_ends_every_wait);
    serve_end(&serving);
    EXPECT_EQ(rmdir(folder), 0);
    return 0;
}
