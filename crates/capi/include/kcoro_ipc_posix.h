/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames of protocol 1.0 (kcoro_proto.h) over a Unix socket that keeps packets apart
 * (SOCK_SEQPACKET).
 *
 * Every function may be called from any thread, and in a coroutine. Those that wait park the
 * calling coroutine, or the thread; of the current context (kc_context.h), a token under
 * KC_CTX_KEY_CANCEL ends the wait with KC_ECANCELED, and a deadline under KC_CTX_KEY_DEADLINE with
 * -ETIMEDOUT. NULL for a required argument is -EINVAL.
 *
 * Where listening, accepting or connecting fails, errno is set to the same number.
 *
 * A peer that is gone, or that has closed the connection, is -ECONNRESET, for waiting
 * calls and for each later one. No call raises SIGPIPE. */
#ifndef KCORO_IPC_POSIX_H
#define KCORO_IPC_POSIX_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro_proto.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_ipc_server kc_ipc_server_t; /* a listening socket */
typedef struct kc_ipc_conn kc_ipc_conn_t;     /* a connection, on either side */

/* Bytes of the largest payload. */
#define KC_IPC_PAYLOAD_MAX 66560

/* ---- Listening ------------------------------------------------------------------------------- */

/* Listens at a path; only the user may connect (mode 0600). A socket file without a listener is
 * replaced, under the lock of the file PATH.lock, which is there meanwhile; any other existing
 * file, or a lock that is held, is -EADDRINUSE. -ENAMETOOLONG: the path has 108 bytes or more.
 * -ENOENT, -EACCES, or another -errno of the system. */
int kc_ipc_srv_listen(const char *sock_path, kc_ipc_server_t **out);

/* Waits for a connection; the caller closes it. A program of another user, except the superuser, is
 * refused (its connection is closed), and so is one for which there is no descriptor left; the wait
 * continues.
 * -EAGAIN: there is none, and the socket does not wait (kc_ipc_srv_set_nb). -ECONNABORTED: the
 * socket was closed meanwhile. */
int kc_ipc_srv_accept(kc_ipc_server_t *srv, kc_ipc_conn_t **out);

/* The same without waiting: -EAGAIN if there is none. */
int kc_ipc_srv_accept_nb(kc_ipc_server_t *srv, kc_ipc_conn_t **out);

/* Whether kc_ipc_srv_accept waits (0, as at first) or not (anything else). */
int kc_ipc_srv_set_nb(kc_ipc_server_t *srv, int nb_on);

/* The descriptor, to be waited for by other means: readable when a client connects. -1: NULL. */
int kc_ipc_srv_fd(kc_ipc_server_t *srv);

/* Stops listening, removes the file, frees the handle. Waiting calls end with -ECONNABORTED;
 * connections stay. */
void kc_ipc_srv_close(kc_ipc_server_t *srv);

/* ---- Connections ----------------------------------------------------------------------------- */

/* Connects; waits while the listener's backlog is full. -ENAMETOOLONG as above; -ENOENT: no such
 * file; -ECONNREFUSED: no listener. The handshake is next. */
int kc_ipc_connect(const char *sock_path, kc_ipc_conn_t **out);

/* The handshake: a HELLO in each direction, before all other frames. The client sends first.
 * peer_major and peer_minor may be NULL; they get the peer's version. -EPROTO: the peer has another
 * major version (which is in peer_major then), or another protocol. Both functions wait, also on a
 * connection that does not. */
int kc_ipc_hs_cli(kc_ipc_conn_t *c, uint32_t *peer_major, uint32_t *peer_minor);
int kc_ipc_hs_srv(kc_ipc_conn_t *c, uint32_t *peer_major, uint32_t *peer_minor);

/* Sends a frame. Frames of several callers do not mix. -EMSGSIZE: more than KC_IPC_PAYLOAD_MAX
 * bytes. -EAGAIN: there is no room, and the connection does not wait: nothing was sent. */
int kc_ipc_send(kc_ipc_conn_t *c, uint16_t cmd, const void *payload, size_t len);

/* Receives a frame. *payload is for the caller to free() and is NULL if there is none. -EPROTO: not
 * a frame; -EMSGSIZE: its length is too large; both end the connection. -EAGAIN: no whole frame has
 * arrived, and the connection does not wait. Several callers get a frame each.
 *
 * A frame whose payload length differs from its header has one byte more, 0, which is no attribute:
 * so it is answered with -EPROTO as any other malformed one. */
int kc_ipc_recv(kc_ipc_conn_t *c, uint16_t *cmd, uint8_t **payload, size_t *len);

/* Whether kc_ipc_send and kc_ipc_recv wait (0, as at first) or not. The descriptor has O_NONBLOCK
 * then. */
int kc_ipc_conn_set_nb(kc_ipc_conn_t *c, int nb_on);

/* The descriptor, to be waited for by other means. -1: NULL. */
int kc_ipc_conn_fd(kc_ipc_conn_t *c);

/* Closes the connection and frees the handle. Waiting calls end with -ECONNRESET. */
void kc_ipc_conn_close(kc_ipc_conn_t *c);

/* ---- Without waiting ------------------------------------------------------------------------- */

/* Accepts a frame and sends as much as the socket has room for. 0: all is sent. -EAGAIN: it was
 * accepted and is sent with kc_ipc_flush, or before the next frame. -ENOBUFS: too much is pending
 * already (1 MiB), and this was not accepted. */
int kc_ipc_send_nb(kc_ipc_conn_t *c, uint16_t cmd, const void *payload, size_t len);

/* Sends the pending frames. -EAGAIN: some are left; call again when the descriptor is writable. */
int kc_ipc_flush(kc_ipc_conn_t *c);

/* As kc_ipc_recv, without waiting. A frame of which only the header has arrived is kept:
 * -EAGAIN. */
int kc_ipc_recv_nb(kc_ipc_conn_t *c, uint16_t *cmd, uint8_t **payload, size_t *len);

/* ---- Attributes ------------------------------------------------------------------------------ */

/* Writes an attribute at *cursor and advances it. -EMSGSIZE: there is no room before end, and
 * nothing was written. */
int kc_tlv_put_u32(uint8_t **cursor, uint8_t *end, uint16_t type, uint32_t v);
int kc_tlv_put_u64(uint8_t **cursor, uint8_t *end, uint16_t type, uint64_t v);

#ifdef __cplusplus
}
#endif

#endif
