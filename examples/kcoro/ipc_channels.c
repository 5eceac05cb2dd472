// SPDX-License-Identifier: BSD-3-Clause
// Three processes: one offers channels, one sends numbers, one squares them. They share nothing but
// a socket.

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kcoro.h"
#include "kcoro_ipc_chan.h"
#include "kcoro_ipc_server.h"
#include "kcoro_sched.h"

enum { NUMBERS = 10 };

static char folder[32];
static char path[64];

// ---- The server: a coroutine accepts, and each connection has one of its own. -------------------

static kc_ipc_server_t *srv;
static kc_ipc_server_ctx_t *ctx;
static kc_sched_t *sched;

static void serve(void *arg) {
    kc_ipc_conn_t *conn = (kc_ipc_conn_t *)arg;
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    if (kc_ipc_hs_srv(conn, NULL, NULL) == 0) {
        // A command that waits delays no other: its answer is sent when there is one.
        while (kc_ipc_recv(conn, &cmd, &payload, &len) == 0) {
            int error = kc_ipc_handle_command(ctx, conn, cmd, payload, len);
            free(payload);
            if (error != 0) {
                break;
            }
        }
    }
    kc_ipc_conn_close(conn);
}

static void accept_all(void *arg) {
    (void)arg;
    kc_ipc_conn_t *conn;
    while (kc_ipc_srv_accept(srv, &conn) == 0) {
        if (kc_spawn_co(sched, serve, conn, 0, NULL) != 0) {
            kc_ipc_conn_close(conn);
        }
    }
}

// ---- The clients. ------------------------------------------------------------------------------

static kc_ipc_conn_t *connected(void) {
    kc_ipc_conn_t *conn = NULL;
    if (kc_ipc_connect(path, &conn) != 0 || kc_ipc_hs_cli(conn, NULL, NULL) != 0) {
        exit(1);
    }
    return conn;
}

// Makes both channels, tells their numbers, sends, and adds up what comes back.
static int ask(int out) {
    kc_ipc_conn_t *conn = connected();
    kc_ipc_chan_t *numbers = NULL, *squares = NULL;
    int sum = 0, square = 0;
    if (kc_ipc_chan_make(conn, KC_BUFFERED, sizeof(int), 4, &numbers) != 0 ||
        kc_ipc_chan_make(conn, KC_RENDEZVOUS, sizeof(int), 0, &squares) != 0) {
        return 1;
    }
    uint32_t ids[2] = {kc_ipc_chan_id(numbers), kc_ipc_chan_id(squares)};
    if (write(out, ids, sizeof ids) != (ssize_t)sizeof ids) {
        return 1;
    }
    for (int number = 1; number <= NUMBERS; number++) {
        if (kc_ipc_chan_send(numbers, &number, -1) != 0 ||
            kc_ipc_chan_recv(squares, &square, -1) != 0) {
            return 1;
        }
        sum += square;
    }
    printf("the squares of 1 to %d add up to %d\n", NUMBERS, sum);
    // The other one is notified, and ends.
    kc_ipc_chan_close(numbers);
    // Without its connection a handle is freed here alone: the channels stay until the other one
    // destroys them.
    kc_ipc_conn_close(conn);
    kc_ipc_chan_destroy(numbers);
    kc_ipc_chan_destroy(squares);
    return 0;
}

static int answer(int in) {
    uint32_t ids[2];
    if (read(in, ids, sizeof ids) != (ssize_t)sizeof ids) {
        return 1;
    }
    kc_ipc_conn_t *conn = connected();
    kc_ipc_chan_t *numbers = NULL, *squares = NULL;
    int number = 0, squared = 0, error;
    if (kc_ipc_chan_open(conn, ids[0], KC_BUFFERED, sizeof(int), &numbers) != 0 ||
        kc_ipc_chan_open(conn, ids[1], KC_RENDEZVOUS, sizeof(int), &squares) != 0) {
        return 1;
    }
    while ((error = kc_ipc_chan_recv(numbers, &number, -1)) == 0) {
        int square = number * number;
        if (kc_ipc_chan_send(squares, &square, -1) != 0) {
            return 1;
        }
        squared++;
    }
    kc_ipc_chan_destroy(numbers);
    kc_ipc_chan_destroy(squares);
    kc_ipc_conn_close(conn);
    return error == KC_EPIPE && squared == NUMBERS ? 0 : 1;
}

static pid_t start(int (*client)(int), int fd) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        exit(client(fd));
    }
    return child;
}

int main(void) {
    int ids[2], status[2] = {1, 1};
    // A folder of our own, which no other user can enter. One that is there already is not ours.
    snprintf(folder, sizeof folder, "/tmp/kcoro-%ld", (long)getpid());
    if (mkdir(folder, 0700) != 0) {
        perror(folder);
        return 1;
    }
    if (pipe(ids) != 0) {
        return 1;
    }
    snprintf(path, sizeof path, "%s/socket", folder);
    // The clients are started before this process has threads. From here on they can connect.
    if (kc_ipc_srv_listen(path, &srv) != 0) {
        return 1;
    }
    pid_t asks = start(ask, ids[1]), answers = start(answer, ids[0]);
    ctx = kc_ipc_server_ctx_create();
    sched = kc_sched_init(NULL);
    if (ctx == NULL || sched == NULL || kc_spawn_co(sched, accept_all, NULL, 0, NULL) != 0) {
        return 1;
    }
    waitpid(asks, &status[0], 0);
    waitpid(answers, &status[1], 0);
    // Ends the coroutine that accepts; those of the clients end with their connections.
    kc_ipc_srv_close(srv);
    kc_sched_drain(sched, -1);
    kc_sched_shutdown(sched);
    kc_ipc_server_ctx_destroy(ctx);
    rmdir(folder);
    if (status[0] != 0 || status[1] != 0) {
        return 1;
    }
    printf("both clients have ended well\n");
    return 0;
}
