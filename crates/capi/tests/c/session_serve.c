// SPDX-License-Identifier: BSD-3-Clause
// A server of kcoro_session.h.
//
//   session_serve           checks its functions, and messages
//   session_serve SOCKET    serves there until standard input ends: "jobs" (2 messages), "meet"
//                           (rendezvous), "ask" and "answers" (see session.h), "news" (only to
//                           receive)

#include "kcoro_ipc_chan.h"
#include "session.h"

static char folder[FOLDER_BYTES];
static char path[80];

static kc_chan_t *made(int kind, size_t capacity) {
    kc_chan_t *chan = NULL;
    EXPECT_EQ(kc_chan_make_msg(&chan, kind, capacity), 0);
    return chan;
}

static void messages_are_copies(void) {
    kc_msg_t *msg = NULL;
    char text[] = "hello", copy[8] = {0};
    EXPECT_EQ(kc_msg_make(&msg, text, 5), 0);
    text[0] = 'j';
    EXPECT_EQ(kc_msg_len(msg), 5);
    EXPECT_EQ(kc_msg_block(msg), 0);
    EXPECT_EQ(memcmp(kc_msg_data(msg), "hello", 5), 0);
    EXPECT_EQ(kc_msg_copy(msg, 1, copy, 3), 3);
    EXPECT_EQ(memcmp(copy, "ell", 4), 0);
    EXPECT_EQ(kc_msg_copy(msg, 4, copy, 8), 1);
    EXPECT_EQ(kc_msg_copy(msg, 5, copy, 8), 0);
    EXPECT_EQ(kc_msg_copy(msg, 9, copy, 8), 0);
    EXPECT_EQ(kc_msg_copy(msg, 0, NULL, 8), 0);
    kc_msg_release(msg);
    EXPECT_EQ(kc_msg_make(&msg, NULL, 0), 0);
    EXPECT_EQ(kc_msg_len(msg), 0);
    EXPECT(kc_msg_data(msg) != NULL);
    kc_msg_release(msg);
    EXPECT_EQ(kc_msg_make(&msg, NULL, 1), -EINVAL);
    EXPECT_EQ(kc_msg_make(NULL, text, 1), -EINVAL);
    kc_msg_release(NULL);
    EXPECT_EQ(kc_msg_len(NULL), 0);
    EXPECT(kc_msg_data(NULL) == NULL);
    EXPECT_EQ(kc_msg_block(NULL), 0);
}

static void blocks_return_to_their_pool(void) {
    kc_pool_t *pool = NULL;
    kc_msg_t *first = NULL, *second = NULL;
    void *bytes = NULL;
    EXPECT_EQ(kc_pool_make(NULL, 4096, 1), -EINVAL);
    EXPECT_EQ(kc_pool_make(&pool, 0, 1), -EINVAL);
    EXPECT_EQ(kc_pool_make(&pool, 4096, 1), 0);
    EXPECT_EQ(kc_pool_lease(pool, 0, 0, &first, &bytes), -EINVAL);
    EXPECT_EQ(kc_pool_lease(pool, 4097, 0, &first, &bytes), -EMSGSIZE);
    EXPECT_EQ(kc_pool_lease(NULL, 1, 0, &first, &bytes), -EINVAL);
    EXPECT_EQ(kc_pool_lease(pool, 1, 0, &first, NULL), -EINVAL);
    EXPECT_EQ(kc_pool_lease(pool, 3, 0, &first, &bytes), 0);
    memcpy(bytes, "abc", 3);
    EXPECT_EQ(kc_msg_block(first), 1);
    EXPECT_EQ(kc_pool_lease(pool, 1, 0, &second, &bytes), KC_EAGAIN);
    EXPECT_EQ(kc_pool_lease(pool, 1, 1, &second, &bytes), KC_ETIME);
    // Through a channel of this process it is the same block.
    kc_chan_t *chan = made(KC_BUFFERED, 1);
    EXPECT_EQ(kc_chan_send(chan, &first, -1), 0);
    EXPECT_EQ(kc_chan_recv(chan, &second, -1), 0);
    EXPECT_EQ(kc_msg_block(second), 1);
    EXPECT_EQ(memcmp(kc_msg_data(second), "abc", 3), 0);
    kc_msg_release(second);
    EXPECT_EQ(kc_pool_lease(pool, 4096, 0, &first, &bytes), 0);
    // The message keeps the pool's memory.
    kc_pool_release(pool);
    memset(bytes, 'x', 4096);
    EXPECT_EQ(kc_msg_len(first), 4096);
    kc_msg_release(first);
    kc_chan_destroy(chan);
    kc_pool_release(NULL);
}

static void a_channel_of_messages_is_a_channel(void) {
    EXPECT_EQ(kc_chan_make_msg(NULL, KC_BUFFERED, 1), -EINVAL);
    kc_chan_t *chan = NULL, *other = NULL;
    EXPECT_EQ(kc_chan_make_msg(&chan, -3, 1), -EINVAL);
    chan = made(KC_BUFFERED, 2);
    kc_msg_t *none = NULL, *msg = NULL;
    EXPECT_EQ(kc_chan_send(chan, &none, 0), -EINVAL);
    EXPECT_EQ(kc_chan_recv(chan, &msg, 0), KC_EAGAIN);
    EXPECT_EQ(kc_chan_recv(chan, &msg, 1), KC_ETIME);
    EXPECT_EQ(send_text(chan, "one", 0), 0);
    EXPECT_EQ(send_text(chan, "three", 0), 0);
    EXPECT_EQ(kc_chan_len(chan), 2);
    // After a failure the message is still the sender's.
    EXPECT_EQ(kc_msg_make(&msg, "x", 1), 0);
    EXPECT_EQ(kc_chan_send(chan, &msg, 0), KC_EAGAIN);
    EXPECT_EQ(kc_chan_send(chan, &msg, 1), KC_ETIME);
    EXPECT(kc_msg_len(msg) == 1 && memcmp(kc_msg_data(msg), "x", 1) == 0);
    kc_msg_release(msg);
    struct kc_chan_snapshot seen;
    EXPECT_EQ(kc_chan_snapshot(chan, &seen), 0);
    EXPECT(seen.total_sends == 2 && seen.total_bytes_sent == 8 && seen.total_recvs == 0);
    EXPECT(seen.send_eagain == 1 && seen.send_etime == 1 && seen.elem_sz == sizeof(kc_msg_t *));
    EXPECT_EQ(kc_chan_enable_zero_copy(chan), KC_ENOTSUP);
    // In a select with a channel of plain elements.
    int number = 0, selected = -2, result = 1;
    kc_select_t *set = NULL;
    EXPECT_EQ(kc_chan_make(&other, KC_BUFFERED, sizeof number, 1), 0);
    EXPECT_EQ(kc_select_create(&set, NULL), 0);
    EXPECT_EQ(kc_select_add_recv(set, other, &number), 0);
    EXPECT_EQ(kc_select_add_recv(set, chan, &msg), 0);
    EXPECT_EQ(kc_select_wait(set, -1, &selected, &result), 0);
    EXPECT(selected == 1 && result == 0 && kc_msg_len(msg) == 3);
    kc_msg_release(msg);
    kc_chan_close(chan);
    expect_text(chan, "three", -1);
    EXPECT_EQ(kc_chan_recv(chan, &msg, -1), KC_EPIPE);
    EXPECT_EQ(kc_msg_make(&msg, "x", 1), 0);
    EXPECT_EQ(kc_chan_send(chan, &msg, -1), KC_EPIPE);
    EXPECT_EQ(kc_msg_len(msg), 1);
    kc_msg_release(msg);
    kc_select_destroy(set);
    kc_chan_destroy(chan);
    kc_chan_destroy(other);
    // Messages that it holds are freed with it.
    chan = made(KC_UNLIMITED, 0);
    EXPECT_EQ(send_text(chan, "left", 0), 0);
    kc_chan_destroy(chan);
    chan = made(KC_CONFLATED, 0);
    EXPECT_EQ(send_text(chan, "replaced", 0), 0);
    EXPECT_EQ(send_text(chan, "latest", 0), 0);
    expect_text(chan, "latest", 0);
    kc_chan_destroy(chan);
}

static void only_what_can_be_served_is(void) {
    kc_server_t *server = NULL, *second = NULL;
    EXPECT_EQ(kc_server_listen(NULL, path, 0, 0), -EINVAL);
    EXPECT_EQ(kc_server_listen(&server, NULL, 0, 0), -EINVAL);
    EXPECT_EQ(kc_server_listen(&server, path, 1u << 9, 0), -EINVAL);
    EXPECT_EQ(kc_server_listen(&server, "/tmp/kcoro-open", 0, 0), -EPERM);
    EXPECT_EQ(kc_server_listen(&server, path, 0, 0), 0);
    EXPECT_EQ(kc_server_listen(&second, path, 0, 0), -EADDRINUSE);
    kc_chan_t *chan = made(KC_BUFFERED, 1), *plain = NULL;
    EXPECT_EQ(kc_chan_make(&plain, KC_BUFFERED, 8, 1), 0);
    EXPECT_EQ(kc_server_export(server, "jobs", plain, KC_OPEN_SEND), KC_ENOTSUP);
    EXPECT_EQ(kc_server_export(server, "jobs", chan, 0), -EINVAL);
    EXPECT_EQ(kc_server_export(server, "jobs", chan, KC_OPEN_MAKE), -EINVAL);
    EXPECT_EQ(kc_server_export(server, "", chan, KC_OPEN_SEND), -EINVAL);
    EXPECT_EQ(kc_server_export(server, NULL, chan, KC_OPEN_SEND), -EINVAL);
    EXPECT_EQ(kc_server_export(NULL, "jobs", chan, KC_OPEN_SEND), -EINVAL);
    EXPECT_EQ(kc_server_export(server, "jobs", NULL, KC_OPEN_SEND), -EINVAL);
    EXPECT_EQ(kc_server_export(server, "jobs", chan, KC_OPEN_SEND), 0);
    EXPECT_EQ(kc_server_export(server, "jobs", chan, KC_OPEN_SEND), -EEXIST);
    kc_server_close(server);
    kc_server_close(NULL);
    EXPECT(access(path, F_OK) != 0);
    EXPECT_EQ(send_text(chan, "x", 0), KC_EPIPE);
    kc_chan_destroy(chan);
    kc_chan_destroy(plain);
}

// Protocol 1.0 at the path, protocol 2 beside it; one channel for both.
static void clients_of_both_protocols(void) {
    kc_server_t *server = NULL;
    kc_chan_t *chan = made(KC_BUFFERED, 1), *remote = NULL;
    EXPECT_EQ(kc_server_listen(&server, path, KC_SERVER_V1 | KC_SERVER_NO_SHM, 1 << 20), 0);
    kc_session_t *session = NULL;
    EXPECT_EQ(kc_session_connect(&session, path, NULL), 0);
    EXPECT_EQ(kc_session_wait(session, 0), 0);
    EXPECT_EQ(kc_server_export(server, "jobs", chan, KC_OPEN_SEND | KC_OPEN_RECV), 0);
    EXPECT_EQ(kc_session_open(session, "jobs", NULL, &remote), 0);
    kc_ipc_conn_t *conn = NULL;
    kc_ipc_chan_t *older = NULL;
    char four[4];
    EXPECT_EQ(kc_ipc_connect(path, &conn), 0);
    EXPECT_EQ(kc_ipc_hs_cli(conn, NULL, NULL), 0);
    EXPECT_EQ(kc_ipc_chan_open(conn, 1001, KC_BUFFERED, sizeof four, &older), 0);
    EXPECT_EQ(kc_ipc_chan_send(older, "four", -1), 0);
    expect_text(remote, "four", -1);
    EXPECT_EQ(send_text(remote, "more", -1), 0);
    EXPECT_EQ(kc_ipc_chan_recv(older, four, -1), 0);
    EXPECT_EQ(memcmp(four, "more", 4), 0);
    kc_ipc_conn_close(conn);
    kc_ipc_chan_destroy(older);
    kc_session_close(session);
    kc_chan_destroy(remote);
    kc_server_close(server);
    kc_chan_destroy(chan);
}

typedef struct {
    kc_chan_t *ask, *answers;
} asked_t;

static void *answers_all(void *arg) {
    asked_t *asked = (asked_t *)arg;
    kc_msg_t *msg = NULL;
    while (kc_chan_recv(asked->ask, &msg, -1) == 0) {
        answer_t answer = {(unsigned)kc_msg_len(msg), (unsigned)kc_msg_block(msg),
                           sum_of(kc_msg_data(msg), kc_msg_len(msg))};
        kc_msg_release(msg);
        int error = kc_chan_send_bytes(asked->answers, &answer, sizeof answer, -1);
        EXPECT(error == 0 || error == KC_EPIPE);
    }
    return NULL;
}

static void serve(const char *at) {
    kc_server_t *server = NULL;
    EXPECT_EQ(kc_server_listen(&server, at, 0, 0), 0);
    kc_chan_t *jobs = made(KC_BUFFERED, 2), *meet = made(KC_RENDEZVOUS, 0);
    kc_chan_t *news = made(KC_BUFFERED, 2);
    asked_t asked = {made(KC_BUFFERED, 4), made(KC_BUFFERED, 4)};
    const unsigned both = KC_OPEN_SEND | KC_OPEN_RECV;
    EXPECT_EQ(kc_server_export(server, "jobs", jobs, both), 0);
    EXPECT_EQ(kc_server_export(server, "meet", meet, both), 0);
    EXPECT_EQ(kc_server_export(server, "ask", asked.ask, KC_OPEN_SEND), 0);
    EXPECT_EQ(kc_server_export(server, "answers", asked.answers, KC_OPEN_RECV), 0);
    EXPECT_EQ(kc_server_export(server, "news", news, KC_OPEN_RECV), 0);
    pthread_t thread = thread_of(answers_all, &asked);
    EXPECT_EQ(write(STDOUT_FILENO, "ready\n", 6), 6);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    kc_server_close(server);
    join(thread);
    kc_chan_destroy(jobs);
    kc_chan_destroy(meet);
    kc_chan_destroy(news);
    kc_chan_destroy(asked.ask);
    kc_chan_destroy(asked.answers);
}

int main(int argc, char **argv) {
    if (argc == 2) {
        serve(argv[1]);
        return 0;
    }
    make_folder(folder, "serve");
    snprintf(path, sizeof path, "%s/socket", folder);
    RUN(messages_are_copies);
    RUN(blocks_return_to_their_pool);
    RUN(a_channel_of_messages_is_a_channel);
    RUN(only_what_can_be_served_is);
    RUN(clients_of_both_protocols);
    EXPECT_EQ(rmdir(folder), 0);
    return 0;
}
