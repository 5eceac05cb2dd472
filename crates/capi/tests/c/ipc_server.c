// SPDX-License-Identifier: BSD-3-Clause
// A server of kcoro_ipc_server.h.
//
//   ipc_server           checks it, in this process
//   ipc_server SOCKET    serves there until standard input ends

#include <sys/wait.h>

#include "ipc_raw.h"
#include "ipc_serve.h"
#include "kcoro.h"

static char folder[FOLDER_BYTES];
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
        EXPECT_EQ(kc_ipc_handle_command(serving->ctx, conn, cmd, NULL, 1), -EINVAL);
        error = kc_ipc_handle_command(serving->ctx, conn, cmd, payload, len);
        free(payload);
    }
    // It has gone: what came before has been handled, what comes after cannot be answered.
    if (error == 0) {
        EXPECT_EQ(kc_ipc_handle_command(serving->ctx, conn, KCORO_CMD_LIST, NULL, 0), -ECONNRESET);
    }
    kc_ipc_conn_close(conn);
    return NULL;
}

// A waiting command blocks neither the thread that handles it, nor the client's next command.
static void a_command_that_waits_waits_alone(void) {
    serving_t serving = {NULL, kc_ipc_server_ctx_create(), NULL};
    EXPECT_EQ(kc_ipc_srv_listen(path, &serving.srv), 0);
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, serves_one, &serving), 0);
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, KC_BUFFERED, 1, 1);
    ask_recv(fd, 1, chan, -1);
    ask_recv(fd, 2, chan, 600000);
    ask(fd, CHAN_TRY_RECV, 3, chan);
    expect_result(fd, CHAN_RECV, 3, -11);
    ask_send(fd, 4, chan, -1, "a", 1);
    // In any order.
    uint64_t numbers = 0;
    for (int i = 0; i < 2; i++) {
        raw_t answer;
        uint32_t command = raw_recv(fd, &answer);
        EXPECT(command == CHAN_RECV || command == CHAN_SEND);
        EXPECT_EQ(raw_number(&answer, RESULT), 0);
        numbers += raw_number(&answer, REQ_ID);
    }
    EXPECT_EQ(numbers, 1 + 4);
    close(fd);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    // The other receive went with its client.
    EXPECT_EQ(pthread_create(&thread, NULL, serves_one, &serving), 0);
    fd = raw_client(path);
    ask_send(fd, 1, chan, -1, "b", 1);
    expect_result(fd, CHAN_SEND, 1, 0);
    ask(fd, CHAN_TRY_RECV, 2, chan);
    expect_element(fd, 2, "b", 1);
    close(fd);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    kc_ipc_srv_close(serving.srv);
    kc_ipc_server_ctx_destroy(serving.ctx);
}

// Two contexts, one connection: each has its own channels, and settings.
static void a_connection_of_two_contexts(void) {
    kc_ipc_server_ctx_t *first = kc_ipc_server_ctx_create(), *second = kc_ipc_server_ctx_create();
    kc_ipc_server_t *srv;
    kc_ipc_conn_t *conn;
    raw_t make;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    int fd = raw_connect(path);
    EXPECT_EQ(kc_ipc_srv_accept(srv, &conn), 0);
    make.len = 0;
    put_u32(&make, KIND, 1);
    put_u32(&make, ELEM_SIZE, 1);
    for (uint32_t i = 0; i < 3; i++) {
        kc_ipc_server_ctx_t *ctx = i == 1 ? second : first;
        EXPECT_EQ(kc_ipc_handle_command(ctx, conn, CHAN_MAKE, make.at, make.len), 0);
        raw_t made;
        EXPECT_EQ(raw_recv(fd, &made), CHAN_MAKE);
        EXPECT_EQ(raw_number(&made, CHAN_ID), 1001 + i / 2);
    }
    kc_ipc_server_ctx_destroy(first);
    kc_ipc_server_ctx_destroy(second);
    kc_ipc_conn_close(conn);
    close(fd);
    kc_ipc_srv_close(srv);
}

// A client that sends requests and does not read blocks only itself, up to a bound.
static void a_client_that_does_not_read(void) {
    static uint8_t element[60000];
    kc_ipc_server_ctx_t *ctx = kc_ipc_server_ctx_create();
    kc_ipc_server_t *srv;
    kc_ipc_conn_t *conn;
    raw_t make;
    static raw_t request;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    int fd = raw_connect(path);
    EXPECT_EQ(kc_ipc_srv_accept(srv, &conn), 0);
    make.len = request.len = 0;
    put_i32(&make, KIND, KC_UNLIMITED);
    put_u32(&make, ELEM_SIZE, sizeof element);
    EXPECT_EQ(kc_ipc_handle_command(ctx, conn, CHAN_MAKE, make.at, make.len), 0);
    EXPECT_EQ(raw_recv(fd, &make), CHAN_MAKE);
    uint32_t chan = (uint32_t)raw_number(&make, CHAN_ID);
    put_u32(&request, CHAN_ID, chan);
    size_t head = request.len;
    put_bytes(&request, ELEMENT, element, sizeof element);
    for (int i = 0; i < 15; i++) {
        EXPECT_EQ(kc_ipc_handle_command(ctx, conn, CHAN_TRY_SEND, request.at, request.len), 0);
        expect_result(fd, CHAN_SEND, 0, 0);
    }
    for (int i = 0; i < 15; i++) {
        EXPECT_EQ(kc_ipc_handle_command(ctx, conn, CHAN_TRY_RECV, request.at, head), 0);
    }
    // They go out as they are read.
    for (int i = 0; i < 15; i++) {
        expect_element(fd, 0, element, sizeof element);
    }
    close(fd);
    kc_ipc_conn_close(conn);
    kc_ipc_srv_close(srv);
    kc_ipc_server_ctx_destroy(ctx);
}

static void *serves_until_the_end(void *arg) {
    serving_t *serving = (serving_t *)arg;
    kc_ipc_conn_t *conn;
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    EXPECT_EQ(kc_ipc_srv_accept(serving->srv, &conn), 0);
    EXPECT_EQ(kc_ipc_hs_srv(conn, NULL, NULL), 0);
    while (kc_ipc_recv(conn, &cmd, &payload, &len) == 0) {
        EXPECT_EQ(kc_ipc_handle_command(serving->ctx, conn, cmd, payload, len), 0);
        free(payload);
    }
    kc_ipc_conn_close(conn);
    return NULL;
}

static void the_end_of_the_channels_is_an_answer(void) {
    serving_t serving = {NULL, kc_ipc_server_ctx_create(), NULL};
    EXPECT_EQ(kc_ipc_srv_listen(path, &serving.srv), 0);
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, serves_until_the_end, &serving), 0);
    int fd = raw_client(path);
    uint32_t empty = raw_make(fd, KC_BUFFERED, 1, 1), full = raw_make(fd, KC_RENDEZVOUS, 1, 0);
    ask_recv(fd, 1, empty, -1);
    ask_send(fd, 2, full, -1, "x", 1);
    // Handled after them, so they wait.
    ask(fd, CHAN_TRY_RECV, 3, empty);
    expect_result(fd, CHAN_RECV, 3, -11);
    kc_ipc_server_ctx_destroy(serving.ctx);
    expect_result(fd, CHAN_RECV, 1, -32);
    expect_result(fd, CHAN_SEND, 2, -32);
    close(fd);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    kc_ipc_srv_close(serving.srv);
}

// The threads of the library are not copied: it gets an error, and does not wait for ever.
static void a_child_of_fork_is_refused(void) {
    kc_ipc_server_t *srv;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        kc_ipc_conn_t *conn;
        uint32_t major, minor;
        alarm(20);
        EXPECT_EQ(kc_ipc_connect(path, &conn), 0);
        EXPECT_EQ(kc_ipc_hs_cli(conn, &major, &minor), -ENOTRECOVERABLE);
        end_child();
    }
    int status;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    kc_ipc_srv_close(srv);
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
    make_folder(folder, "server");
    snprintf(path, sizeof path, "%s/socket", folder);
    RUN(there_is_nothing_to_handle);
    RUN(bytes_as_the_protocol_says);
    RUN(a_command_that_waits_waits_alone);
    RUN(a_connection_of_two_contexts);
    RUN(a_client_that_does_not_read);
    RUN(the_end_of_the_channels_is_an_answer);
    RUN(a_child_of_fork_is_refused);
    EXPECT_EQ(rmdir(folder), 0);
    return 0;
}
