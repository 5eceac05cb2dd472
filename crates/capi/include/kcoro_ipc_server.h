/* SPDX-License-Identifier: BSD-3-Clause */
/* Channels for other processes, by protocol 1.0: the server's side, for a program that accepts
 * connections itself (kcoro_ipc_posix.h). Each connection has a thread or a coroutine that does
 *
 *   if (kc_ipc_hs_srv(conn, NULL, NULL) == 0) {
 *       while (kc_ipc_recv(conn, &cmd, &payload, &len) == 0) {
 *           int error = kc_ipc_handle_command(ctx, conn, cmd, payload, len);
 *           free(payload);
 *           if (error != 0) break;
 *       }
 *   }
 *   kc_ipc_conn_close(conn);
 *
 * A waiting command (CHAN_SEND, CHAN_RECV, a select) blocks neither the caller, nor other clients,
 * nor the same client's next command. Its answer is sent when it is ready, by the thread that
 * completes it, so answers come in any order; REQ_ID identifies them. */
#ifndef KCORO_IPC_SERVER_H
#define KCORO_IPC_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro_ipc_posix.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The offered channels. Their numbers start at 1001 and are never reused. */
typedef struct kc_ipc_server_ctx kc_ipc_server_ctx_t;

/* NULL: no memory. */
kc_ipc_server_ctx_t *kc_ipc_server_ctx_create(void);

/* Closes all channels and frees the handle; waiting commands are answered with KC_EPIPE. No command
 * may be handled with it meanwhile. NULL is allowed. */
void kc_ipc_server_ctx_destroy(kc_ipc_server_ctx_t *ctx);

/* Handles one command, with exactly one answer if it has one; errors are answers:
 *   -ENOENT    no such channel, no such select
 *   -EINVAL    an element of another size; elements of 0 bytes; no such kind; a capacity of more
 *              than 1048576 elements
 *   -EMSGSIZE  elements of more than 65535 bytes
 *   -EPROTO    a required attribute is missing, or one is cut off
 *   -ENOSYS    an unknown command, or one of a reserved number (ACTOR_START, ACTOR_STOP)
 *   -ENOSPC    more than 4096 channels, 256 MiB in one, or 1 GiB in all; of one client more than
 *              1024 channels, 256 MiB, 1024 waiting commands, 256 selects. Bytes are those of
 *              elements that are held, and some 60 for each of a channel's slots, used or not
 *   and those of the operation: KC_EAGAIN, KC_ETIME, KC_EPIPE.
 * Each has the REQ_ID of its command.
 *
 * 0: it is handled, and answered now or later. Less, and it is not handled: the connection is over
 * (-ECONNRESET); NULL (-EINVAL); the caller's context ended the wait for the client
 * (KC_ECANCELED, -ETIMEDOUT). The waits of a client that vanishes end; an element that was taken
 * for it and not sent, or that was sent last and not read, is requeued at the front of its channel.
 * A client that does not read its answers is not served further: with 1 MiB of them pending this
 * parks the caller until the client reads, or is gone.
 *
 * Any number of threads may handle commands at once, of one connection too; several contexts may
 * serve one connection. The payload stays the caller's. */
int kc_ipc_handle_command(kc_ipc_server_ctx_t *ctx, kc_ipc_conn_t *conn, uint16_t cmd,
                          const uint8_t *payload, size_t len);

#ifdef __cplusplus
}
#endif

#endif
