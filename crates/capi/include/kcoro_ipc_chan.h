/* SPDX-License-Identifier: BSD-3-Clause */
/* Channels of another process, by protocol 1.0: the client's side.
 *
 * The connection is established, and the handshake done (kc_ipc_connect, kc_ipc_hs_cli). Any number
 * of threads and coroutines may use one connection, and one channel, at once: each request has a
 * number, by which its answer reaches its caller, in whatever order answers come. One waiting
 * caller reads for all of them. While a call of this header is in progress, kc_ipc_recv on the
 * connection would take its answers: do not mix them.
 *
 * Servers of this library and `becket ipc serve` handle requests side by side. Another may handle
 * those of a connection one after the other; then a waiting receive delays the next request of the
 * same connection: use a connection for each direction.
 *
 * timeout_ms is as in kcoro.h: 0 tries, less than 0 waits without end, more is a bound, kept by the
 * server. If its answer is more than a second late, or the deadline of the caller's context has
 * passed (KC_ETIME), or that context is cancelled (KC_ECANCELED), only the call here ends, and the
 * result at the server is unknown: an element that was sent may still arrive. One that arrives for
 * a receive that has ended goes to the next receive of that channel on this connection; it is not
 * lost.
 *
 * Results, beside those of kcoro.h (KC_EAGAIN, KC_ETIME, KC_EPIPE, KC_ECANCELED):
 *   -ECONNRESET   the peer is gone, or the connection was closed; so for every later call
 *   -ENOENT       the server has no such channel (any more)
 *   -EINVAL       NULL; or the element is not of the channel's size
 *   -EPROTO       the server sent an unexpected answer; so for every later call
 *   -ENOBUFS      4096 requests are waiting for their answers
 *   or any other error of the server */
#ifndef KCORO_IPC_CHAN_H
#define KCORO_IPC_CHAN_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro.h"
#include "kcoro_ipc_posix.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A channel of the server. It stays valid when the connection is closed; its calls then return
 * -ECONNRESET. */
typedef struct kc_ipc_chan kc_ipc_chan_t;

/* Requests that the server create a channel: kind and capacity as for kc_chan_make. -EMSGSIZE:
 * elements of 0 bytes, or of more than 65535. -EINVAL also: an unknown kind, a capacity beyond 32
 * bits. */
int kc_ipc_chan_make(kc_ipc_conn_t *conn, int kind, size_t elem_sz, size_t capacity,
                     kc_ipc_chan_t **out);

/* An existing channel, by its number. No request is sent: an unknown number is
 * -ENOENT at the first operation. -EMSGSIZE as above. -EINVAL also: an unknown kind, the number
 * 0. */
int kc_ipc_chan_open(kc_ipc_conn_t *conn, uint32_t chan_id, int kind, size_t elem_sz,
                     kc_ipc_chan_t **out);

/* Its number, which another process may open. 0: NULL. */
uint32_t kc_ipc_chan_id(const kc_ipc_chan_t *ch);

/* Sends an element, receives one. */
int kc_ipc_chan_send(kc_ipc_chan_t *ch, const void *msg, long timeout_ms);
int kc_ipc_chan_recv(kc_ipc_chan_t *ch, void *out, long timeout_ms);

/* The same with a timeout of 0: KC_EAGAIN if the operation would have to wait. */
int kc_ipc_chan_try_send(kc_ipc_chan_t *ch, const void *msg);
int kc_ipc_chan_try_recv(kc_ipc_chan_t *ch, void *out);

/* Closes the channel, for all its users, and waits for the answer: 0. Held elements can still be
 * received. */
int kc_ipc_chan_close(kc_ipc_chan_t *ch);

/* Closes the channel at the server, for all its users, and frees the handle. No call may be using the
 * handle. There is no answer. Held elements can still be received by its number. A receive that
 * finds it drained is KC_EPIPE; with the last element received for certain the channel is removed,
 * and later calls are -ENOENT. */
void kc_ipc_chan_destroy(kc_ipc_chan_t *ch);

#ifdef __cplusplus
}
#endif

#endif
