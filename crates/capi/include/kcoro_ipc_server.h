/* SPDX-License-Identifier: BSD-3-Clause */
/* Channels for other processes, by protocol 1.0: the server's side, for a program that accepts
 * connections itself (kcoro_ipc_posix.h).
 *
 *   while (kc_ipc_recv(conn, &cmd, &payload, &len) == 0) {
 *       int error = kc_ipc_handle_command(ctx, conn, cmd, payload, len);
 *       free(payload);
 *       if (error != 0) break;
 *   }
 *   kc_ipc_conn_close(conn);
 *
 * A command that waits (CHAN_SEND, CHAN_RECV) waits in the caller: it parks the coroutine, or the
 * thread, and nobody else. So a client needs at least a coroutine of its own, as above: then its
 * commands happen one after the other. Or each command has one, and then a client's receive that
 * waits does not hold up its next command; how many there may be at once is up to the program. */
#ifndef KCORO_IPC_SERVER_H
#define KCORO_IPC_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro_ipc_posix.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The channels that are offered. Their numbers begin at 1001 and are never used again. */
typedef struct kc_ipc_server_ctx kc_ipc_server_ctx_t;

/* NULL: no memory. */
kc_ipc_server_ctx_t *kc_ipc_server_ctx_create(void);

/* Closes all channels and frees the handle; commands that wait are answered with KC_EPIPE. NULL is
 * allowed. */
void kc_ipc_server_ctx_destroy(kc_ipc_server_ctx_t *ctx);

/* Handles one command, with exactly one answer if it has one; errors are answers:
 *   -ENOENT    no such channel
 *   -EINVAL    an element of another size; elements of 0 bytes; no such kind or capacity
 *   -EMSGSIZE  elements of more than 65535 bytes
 *   -EPROTO    what is needed is not there, or an attribute is cut off
 *   -ENOSYS    a command that is unknown, or does nothing here (actors)
 *   -ENOSPC    4096 channels; 1048576 elements in an unlimited one
 * A REQ_ID that was sent comes back with each.
 *
 * 0: done. Less: there is nobody to answer, and the connection is over: -ECONNRESET, or -EINVAL for
 * NULL. A client that vanishes while its command waits ends the wait; an element that was taken
 * for it goes back to the front of its channel.
 *
 * Any number of commands of one connection, and of many, may be handled at once. The payload stays
 * the caller's. */
int kc_ipc_handle_command(kc_ipc_server_ctx_t *ctx, kc_ipc_conn_t *conn, uint16_t cmd,
                          const uint8_t *payload, size_t len);

#ifdef __cplusplus
}
#endif

#endif
