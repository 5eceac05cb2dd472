// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file ipc_serve.h
 * @brief A server of kcoro_ipc_server.h: a coroutine that accepts, and one for each connection.
 */
#ifndef IPC_SERVE_H
#define IPC_SERVE_H

#include <errno.h>

#include "expect.h"
#include "kcoro_ipc_server.h"
#include "kcoro_sched.h"

typedef struct {
    kc_ipc_server_t *srv;
    kc_ipc_server_ctx_t *ctx;
    kc_sched_t *sched;
} serving_t;

typedef struct {
    serving_t *serving;
    kc_ipc_conn_t *conn;
} client_t;

static inline void serve_client(void *arg) {
    client_t *client = (client_t *)arg;
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    int error = kc_ipc_hs_srv(client->conn, NULL, NULL);
    while (error == 0 && kc_ipc_recv(client->conn, &cmd, &payload, &len) == 0) {
        error = kc_ipc_handle_command(client->serving->ctx, client->conn, cmd, payload, len);
        EXPECT(error == 0 || error == -ECONNRESET);
        free(payload);
    }
    kc_ipc_conn_close(client->conn);
    free(client);
}

static inline void serve_listener(void *arg) {
    serving_t *serving = (serving_t *)arg;
    kc_ipc_conn_t *conn;
    int error;
    while ((error = kc_ipc_srv_accept(serving->srv, &conn)) == 0) {
        client_t *client = (client_t *)malloc(sizeof *client);
        EXPECT(client != NULL);
        client->serving = serving;
        client->conn = conn;
        EXPECT_EQ(kc_spawn_co(serving->sched, serve_client, client, 0, NULL), 0);
    }
    EXPECT_EQ(error, -ECONNABORTED);
}

static inline void serve_begin(serving_t *serving, const char *path) {
    kc_sched_opts_t opts = {2, 0, 0};
    serving->sched = kc_sched_init(&opts);
    serving->ctx = kc_ipc_server_ctx_create();
    EXPECT(serving->sched != NULL && serving->ctx != NULL);
    EXPECT_EQ(kc_ipc_srv_listen(path, &serving->srv), 0);
    EXPECT_EQ(kc_spawn_co(serving->sched, serve_listener, serving, 0, NULL), 0);
}

/** All clients have closed their connections, or are about to. */
static inline void serve_end(serving_t *serving) {
    kc_ipc_srv_close(serving->srv);
    EXPECT_EQ(kc_sched_drain(serving->sched, -1), 0);
    kc_ipc_server_ctx_destroy(serving->ctx);
    kc_sched_shutdown(serving->sched);
}

#endif
