// SPDX-License-Identifier: BSD-3-Clause
// A server of kcoro_ipc_server.h.
//
//   ipc_server           checks it, in this process
//   ipc_server SOCKET    serves there until standard input ends

#include "ipc_raw.h"
#include "ipc_serve.h"
#include "kcoro.h"

static char folder[] = "/tmp/kcoro-server-XXXXXX";
static char path[64];

static void there_is_nothing_to_handle(void) {
    kc_ipc_server_ctx_t *ctx = kc_ipc_server_ctx_create();
    EXPECT(ctx != NULL);
    EXPECT_EQ(kc_ipc_handle_command(ctx, NULL, 1, NULL, 0), -EINVAL);
    EXPECT_EQ(kc_ipc_handle_command(NULL, NULL, 1, NULL, 0), -EINVAL);
    kc_ipc_server_ctx_destroy(ctx);
    kc_ipc_server_ctx_destroy(NULL);
}

static void bytes_as_the_protocol_says(void) {
    serving_t serving;
    serve_begin(&serving, path);
    int fd = raw_client(path);
    EXPECT_EQ(raw_make(fd, KC_BUFFERED, 3, 2), 1001);
    EXPECT_EQ(raw_make(fd, KC_CONFLATED, 3, 0), 1002);
    ask_send(fd, 5, 1001, -1, "abc", 3);
    expect_result(fd, CHAN_SEND, 5, 0);
    ask_recv(fd, 6, 1001, -1);
    expect_element(fd, 6, "abc", 3);
    close(fd);
    serve_end(&serving);
}

// A program that serves one client, command by command, on a plain thread.
static void *serves_one(void *arg) {
    serving_t *serving = (serving_t *)arg;
    kc_ipc_conn_t *conn;
    uint32_t major = 0, minor = 9;
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    int error = 0;
    EXPECT_EQ(kc_ipc_srv_accept(serving->srv, &conn), 0);
    EXPECT_EQ(kc_ipc_hs_srv(conn, &major, &minor), 0);
    EXPECT(major == 1 && minor == 0);
    while (error == 0 && kc_ipc_recv(conn, &cmd, &payload, &len) == 0) {
        EXPECT_EQ(kc_ipc_handle_command(serving->ctx, conn, cmd, NULL, len), len ? -EINVAL : 0);
        error = len == 0 ? 0 : kc_ipc_handle_command(serving->ctx, conn, cmd, payload, len);
        free(payload);
    }
    kc_ipc_conn_close(conn);
    return error == 0 ? NULL : arg;
}

static void a_client_that_vanishes_ends_its_command(void) {
    serving_t serving = {NULL, kc_ipc_server_ctx_create(), NULL};
    EXPECT_EQ(kc_ipc_srv_listen(path, &serving.srv), 0);
    pthread_t thread;
    void *was_waiting;
    EXPECT_EQ(pthread_create(&thread, NULL, serves_one, &serving), 0);
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, KC_BUFFERED, 1, 1);
    ask_recv(fd, 1, chan, -1);
    close(fd);
    EXPECT_EQ(pthread_join(thread, &was_waiting), 0);
    EXPECT(was_waiting == &serving);
    // One that goes while nothing waits.
    EXPECT_EQ(pthread_create(&thread, NULL, serves_one, &serving), 0);
    fd = raw_client(path);
    ask(fd, CHAN_TRY_RECV, 1, chan);
    expect_result(fd, CHAN_RECV, 1, -11);
    static raw_t nothing;
    raw_send_one(fd, LIST, &nothing);
    EXPECT_EQ(raw_recv(fd, &nothing), LIST);
    close(fd);
    EXPECT_EQ(pthread_join(thread, &was_waiting), 0);
    EXPECT(was_waiting == NULL);
    kc_ipc_srv_close(serving.srv);
    kc_ipc_server_ctx_destroy(serving.ctx);
}

static counter_t handled = COUNTER_INIT;

static void *handles_one(void *arg) {
    serving_t *serving = (serving_t *)arg;
    kc_ipc_conn_t *conn;
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    EXPECT_EQ(kc_ipc_srv_accept(serving->srv, &conn), 0);
    EXPECT_EQ(kc_ipc_hs_srv(conn, NULL, NULL), 0);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(kc_ipc_recv(conn, &cmd, &payload, &len), 0);
        EXPECT_EQ(kc_ipc_handle_command(serving->ctx, conn, cmd, payload, len), 0);
        free(payload);
        counter_add(&handled, 1);
    }
    kc_ipc_conn_close(conn);
    return NULL;
}

// Whether its receive waits by then or comes after: the answer is that there is no more.
static void the_end_of_the_channels_is_an_answer(void) {
    serving_t serving = {NULL, kc_ipc_server_ctx_create(), NULL};
    EXPECT_EQ(kc_ipc_srv_listen(path, &serving.srv), 0);
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, handles_one, &serving), 0);
    int fd = raw_client(path), other;
    uint32_t chan = raw_make(fd, KC_BUFFERED, 1, 1);
    pthread_t closer;
    EXPECT_EQ(pthread_create(&closer, NULL, serves_one, &serving), 0);
    other = raw_client(path);
    ask_recv(fd, 1, chan, -1);
    ask(other, CHAN_CLOSE, 2, chan);
    expect_result(other, CHAN_CLOSE, 2, 0);
    expect_result(fd, CHAN_RECV, 1, -32);
    close(other);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(pthread_join(closer, NULL), 0);
    EXPECT_EQ(counter_get(&handled), 2);
    expect_end(fd);
    kc_ipc_srv_close(serving.srv);
    kc_ipc_server_ctx_destroy(serving.ctx);
}

int main(int argc, char **argv) {
    if (argc == 2) {
        char byte;
        serving_t serving;
        serve_begin(&serving, argv[1]);
        EXPECT_EQ(write(STDOUT_FILENO, "ready\n", 6), 6);
        while (read(STDIN_FILENO, &byte, 1) > 0) {
        }
        serve_end(&serving);
        return 0;
    }
    EXPECT(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/socket", folder);
    RUN(there_is_nothing_to_handle);
    RUN(bytes_as_the_protocol_says);
    RUN(a_client_that_vanishes_ends_its_command);
    RUN(the_end_of_the_channels_is_an_answer);
    EXPECT_EQ(rmdir(folder), 0);
    return 0;
}
