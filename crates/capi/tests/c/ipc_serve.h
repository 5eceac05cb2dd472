// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file ipc_serve.h
 * @brief A server of kcoro_ipc_server.h: a coroutine that accepts, one for each connection, and one
 * for each command that may wait. The others are handled in their order.
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

/** A connection, and how many use it. The last one closes it. */
typedef struct {
    serving_t *serving;
    kc_ipc_conn_t *conn;
    counter_t users;
} client_t;

typedef struct {
    client_t *client;
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
} command_t;

static inline void client_leave(client_t *client) {
    if (counter_add(&client->users, -1) == 0) {
        kc_ipc_conn_close(client->conn);
        free(client);
    }
}

static inline int may_wait(uint16_t cmd) {
    return cmd == KCORO_CMD_CHAN_SEND || cmd == KCORO_CMD_CHAN_RECV;
}

static inline void serve_command(void *arg) {
    command_t *command = (command_t *)arg;
    int error = kc_ipc_handle_command(command->client->serving->ctx, command->client->conn,
                                      command->cmd, command->payload, command->len);
    EXPECT(error == 0 || error == -ECONNRESET);
    free(command->payload);
    client_leave(command->client);
    free(command);
}

static inline void serve_client(void *arg) {
    client_t *client = (client_t *)arg;
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    if (kc_ipc_hs_srv(client->conn, NULL, NULL) == 0) {
        while (kc_ipc_recv(client->conn, &cmd, &payload, &len) == 0) {
            command_t *command = (command_t *)malloc(sizeof *command);
            EXPECT(command != NULL);
            command->client = client;
            command->cmd = cmd;
            command->payload = payload;
            command->len = len;
            counter_add(&client->users, 1);
            if (may_wait(cmd)) {
                EXPECT_EQ(kc_spawn_co(client->serving->sched, serve_command, command, 0, NULL), 0);
            } else {
                serve_command(command);
            }
        }
    }
    client_leave(client);
}

static inline void serve_listener(void *arg) {
    serving_t *serving = (serving_t *)arg;
    kc_ipc_conn_t *conn;
    int error;
    while ((error = kc_ipc_srv_accept(serving->srv, &conn)) == 0) {
        client_t *client = (client_t *)malloc(sizeof *client);
        EXPECT(client != NULL);
        counter_t one = COUNTER_INIT;
        one.value = 1;
        client->serving = serving;
        client->conn = conn;
        client->users = one;
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
