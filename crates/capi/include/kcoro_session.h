/* SPDX-License-Identifier: BSD-3-Clause */
/* Channels between processes by protocol 2: by name, with messages of any length, over shared memory
 * or a Unix socket, with blocks that cross as descriptors. The other side is a program of this
 * library, one in Rust (becket-ipc), or `becket ipc`. For protocol 1.0 see kcoro_ipc_chan.h.
 *
 *   one process                                    another
 *   kc_chan_make_msg(&jobs, KC_BUFFERED, 16);      kc_session_connect(&session, path, NULL);
 *   kc_server_listen(&server, path, 0, 0);         kc_session_open(session, "jobs", NULL, &jobs);
 *   kc_server_export(server, "jobs", jobs, ...);   kc_chan_send_bytes(jobs, "a job", 5, -1);
 *   kc_chan_recv(jobs, &msg, -1);
 *
 * A channel of another process is a kc_chan_t like one of this process: kc_chan_send, kc_chan_recv,
 * their forms with a token, kc_select_*, actors and statistics take both, together. The element of
 * each channel here is a message's handle, `kc_msg_t *`: a send takes the address of the handle, and
 * so does a receive.
 *
 * Errors: one table for all functions of this header, and for operations on its channels
 *
 *   KC_EAGAIN      timeout 0: it would have to wait; also without a connection
 *   KC_ETIME       the timeout elapsed: a send has had no effect
 *   KC_ECANCELED   the token is set: likewise
 *   KC_EPIPE       the channel is closed, and drained; or its handle was destroyed meanwhile
 *   -ECONNRESET    the connection has ended: a send has had no effect. With KC_SESSION_RECONNECT the
 *                  next operation waits for another connection
 *   KC_EUNKNOWN    a send was transmitted, and the connection ended before it was acknowledged: the
 *                  server may have the message or not. It is not sent again (but see
 *                  kc_session_open_once)
 *   -ENOENT        the server has no channel of this name; nothing is at the path
 *   -EEXIST        another channel has the name
 *   KC_ENOTSUP     the channel is not offered in this direction, or was not opened in it; not a
 *                  channel of messages
 *   -EMSGSIZE      a message longer than one of the two sides allows; longer than the pool's blocks
 *   -EINVAL        NULL; unknown flags; an invalid name; a message of another length than the
 *                  channel's
 *   -ENOSPC        the server's maximum of channels, streams or bytes is in use
 *   -EPROTO        the peer speaks another protocol, or has violated it
 *   -ECONNREFUSED, -EACCES, -EADDRINUSE, -EPERM, -ENAMETOOLONG and others of the system's, of
 *                  connecting and listening: as kc_monitor_serve describes for listening
 *
 * After an error a message is still its sender's. Every function may be called by any thread,
 * coroutines included, except that one thread at a time uses a message. A wait parks the coroutine,
 * or blocks the thread, which then drives the connection itself. */
#ifndef KCORO_SESSION_H
#define KCORO_SESSION_H

#include <errno.h>
#include <stddef.h>

#include "kcoro.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The outcome of a send is not known. */
#define KC_EUNKNOWN (-EREMOTEIO)

/* ---- Messages
 * --------------------------------------------------------------------------------- */

typedef struct kc_msg kc_msg_t;

/* A message of a copy of `len` bytes, which may be 0. 0; -EINVAL; -ENOMEM. */
int kc_msg_make(kc_msg_t **out, const void *bytes, size_t len);
/* Frees a message that was received, or not sent. NULL is ignored. */
void kc_msg_release(kc_msg_t *msg);
/* Its length in bytes; 0 for NULL. */
size_t kc_msg_len(const kc_msg_t *msg);
/* Its bytes, until the message is released or sent. Those of another process's block are copied by
 * the first call, because that process could still write them; kc_msg_copy copies them without
 * keeping the copy. NULL for NULL. */
const void *kc_msg_data(kc_msg_t *msg);
/* Copies at most `len` bytes from `skip` on, and returns their number. */
size_t kc_msg_copy(const kc_msg_t *msg, size_t skip, void *to, size_t len);
/* 1: its bytes are a block of a pool of this process; 2: a block of another process, which has it
 * back when the message is released; 0: neither. */
int kc_msg_block(const kc_msg_t *msg);

/* Shared memory for messages, which then cross to another process as descriptors of 24 bytes: a
 * megabyte costs what 24 bytes cost. The first messages to a process are copied, until it has mapped
 * the pool; so are all if it does not, because its budget for that is used up. */
typedef struct kc_pool kc_pool_t;

/* `blocks` blocks of block_bytes each. 0; -EINVAL; -ENOSPC: 65536 pools and regions; or the system's
 * error. */
int kc_pool_make(kc_pool_t **out, size_t block_bytes, size_t blocks);
/* A message of a free block, with `len` bytes at *bytes that may be written until it is sent for the
 * first time, or kc_msg_data is called: from then on they are read-only, even if the send fails. The
 * block is free again when all holders, also in other processes, have released it; if its connection
 * ends, at once: a message that is in the server's channel then, although it was accepted, has the
 * bytes of the block's next use. So the session stays open until such messages have been received, or
 * it sends kc_msg_make's. 0; KC_EAGAIN, KC_ETIME, KC_ECANCELED (the caller's context): no block is free;
 * -EMSGSIZE; -EINVAL: NULL, a length of 0. */
int kc_pool_lease(const kc_pool_t *pool, size_t len, long timeout_ms, kc_msg_t **out,
                  void **bytes);
/* Releases the handle. Messages of the pool stay valid. NULL is ignored. */
void kc_pool_release(const kc_pool_t *pool);

/* A channel of messages in this process: kinds and capacities as kc_chan_make. Zero copy cannot be
 * enabled on it. Messages that it holds are freed with it. */
int kc_chan_make_msg(kc_chan_t **out, int kind, size_t capacity);

/* Sends a message of a copy of the bytes. */
static inline int kc_chan_send_bytes(kc_chan_t *ch, const void *bytes, size_t len, long timeout_ms)
{
    kc_msg_t *msg;
    int error = kc_msg_make(&msg, bytes, len);
    if (error == 0) {
        error = kc_chan_send(ch, &msg, timeout_ms);
        if (error != 0) {
            kc_msg_release(msg);
        }
    }
    return error;
}

/* ---- Channels of another process
 * -------------------------------------------------------------- */

/* A connection to a server; or, with KC_SESSION_RECONNECT, one that is made again whenever it has
 * ended. */
typedef struct kc_session kc_session_t;

/* Connects in the background, again and again, after growing pauses. */
#define KC_SESSION_RECONNECT (1u << 0)
/* Uses the socket alone. */
#define KC_SESSION_NO_SHM (1u << 1)

/* Set `size` to sizeof(kc_session_opts_t) and what is not needed to 0. */
typedef struct kc_session_opts {
    size_t size;
    unsigned flags;
    unsigned attempts_max;          /* gives up after so many failures in a row; 0: never */
    unsigned long backoff_first_ms; /* the pause after a loss; 0: 20. Each next one is doubled, */
    unsigned long backoff_max_ms;   /* up to this; 0: 5000 */
    unsigned long handshake_ms;     /* the timeout of connecting; 0: 5000 */
    size_t message_bytes_max;       /* the longest message that is received; 0: 16 MiB */
} kc_session_opts_t;

/* Connects to the server that listens at `path`. opts may be NULL. With KC_SESSION_RECONNECT it does
 * not wait: see kc_session_wait. */
int kc_session_connect(kc_session_t **out, const char *path, const kc_session_opts_t *opts);
/* Waits for a connection. Without KC_SESSION_RECONNECT it does not wait, and says whether the
 * connection still is. */
int kc_session_wait(const kc_session_t *session, long timeout_ms);
/* Ends the connection, and frees the handle: waits on its channels end with -ECONNRESET. Destroy
 * the channels themselves, before or after: without KC_SESSION_RECONNECT it first waits, a second at
 * most, until the messages that channels destroyed before had prefetched are back in theirs at the
 * server. What others had prefetched is lost. NULL is ignored. */
void kc_session_close(const kc_session_t *session);

#define KC_OPEN_SEND (1u << 0) /* to send */
#define KC_OPEN_RECV (1u << 1) /* to receive */
#define KC_OPEN_MAKE (1u << 2) /* the server makes the channel if it has none of this name */

/* As kc_session_opts_t. */
typedef struct kc_open_opts {
    size_t size;
    unsigned flags;  /* KC_OPEN_SEND, KC_OPEN_RECV or both */
    unsigned window; /* messages that are prefetched; 0: each is asked for when it is received */
    int kind;        /* of KC_OPEN_MAKE, as for kc_chan_make */
    unsigned reserved;
    size_t capacity;
} kc_open_opts_t;

/* Opens a channel of the server, by its name. opts may be NULL: in both directions, no window. The
 * handle is a kc_chan_t:
 *
 *   kc_chan_send     returns when the server's channel has accepted the message; one with timeout 0
 *                    asks the server too, if it has granted credit
 *   kc_chan_recv     a message that is not received here goes back to the front of its channel; with
 *                    timeout 0 only one that was prefetched is received
 *   kc_select_*      a send that the channel does not accept at once completes when the server has
 *                    granted credit for it, before the channel has accepted it: whether it did is
 *                    counted (kc_session_flush)
 *   kc_chan_close    closes the channel for all its users, and waits until the server has done so
 *   kc_chan_destroy  gives up the handle alone: the channel stays open
 *   kc_chan_len      0
 *
 * With KC_SESSION_RECONNECT nothing is waited for, and the channel is opened again on each
 * connection. One that the server does not have counts as a failure (attempts_max) and is tried
 * again. A clause of a select is as a send or a receive alone: one that waits without a connection
 * waits for the next one; one that waits when the connection ends completes with -ECONNRESET, has
 * received nothing and handed nothing over, and a select that is made again waits for the next
 * connection. */
int kc_session_open(const kc_session_t *session, const char *channel, const kc_open_opts_t *opts,
                    kc_chan_t **out);

/* As kc_session_open, of a session of KC_SESSION_RECONNECT, for messages that are accepted exactly
 * once: a send whose connection ends is sent again over the next one, with its number, and the channel
 * accepts each number once and in order. Sends that begin one after the other are accepted in that
 * order. A send ends with KC_EUNKNOWN only if the server has forgotten the numbers, which are kept
 * with the channel (a killed process has; see kc_channels_make, and 1024 producers of a channel are
 * remembered), if there will be no further connection, or if its limits pass between its
 * transmission and the answer: it is then never sent again.
 *
 * producer: 16 bytes that identify the sender of the numbers, as a secret: a process that is started
 * again with the same ones goes on where the channel is (kc_session_accepted). One handle at a time
 * may have them, and a further one waits until it is gone. NULL: random ones. opts: NULL is to send
 * alone. -EINVAL: not to send; KC_ENOTSUP: the session does not reconnect. A select cannot send into
 * such a channel (KC_ENOTSUP); kc_session_flush waits over as many connections as necessary. */
int kc_session_open_once(const kc_session_t *session, const char *channel,
                         const kc_open_opts_t *opts, const unsigned char *producer,
                         kc_chan_t **out);
/* Waits until the channel is open, and counts the messages of this producer that it has accepted, from
 * the producer's first one on. -EINVAL: not a channel of kc_session_open_once; KC_EAGAIN, KC_ETIME,
 * KC_ECANCELED (the caller's context), -ECONNRESET. */
int kc_session_accepted(kc_chan_t *ch, long timeout_ms, unsigned long *accepted);

/* Waits until every message that was sent into a channel of another process has been answered, or
 * its connection has ended, and counts the sends of selects that were not made at once. Each counter
 * may be NULL. -EINVAL: not a channel of kc_session_open that was opened to send. */
int kc_session_flush(kc_chan_t *ch, unsigned long *accepted, unsigned long *refused,
                     unsigned long *unknown);

/* ---- Channels for other processes
 * ------------------------------------------------------------- */

typedef struct kc_server kc_server_t;

/* Does not offer shared memory. */
#define KC_SERVER_NO_SHM (1u << 0)
/* Answers clients of protocol 1.0 too: listens at `path` for packets, and at `path`.stream for
 * protocol 2, where kc_session_connect finds it by the same path. */
#define KC_SERVER_V1 (1u << 1)

/* Listens at `path`; the library's I/O thread accepts and serves. The directory is created with mode
 * 700 if it is absent, and only this user may connect. message_bytes_max: the longest message that is
 * accepted; 0: 16 MiB. */
int kc_server_listen(kc_server_t **out, const char *path, unsigned flags,
                     size_t message_bytes_max);
/* Offers a channel of messages by name, for clients to send (KC_OPEN_SEND), to receive
 * (KC_OPEN_RECV), or both. When the channel is closed or destroyed, clients find it closed. */
int kc_server_export(const kc_server_t *server, const char *name, kc_chan_t *ch, unsigned flags);
/* Ends all connections, removes the socket, closes the channels that were exported or made by
 * clients (not those of a kc_channels_t), and frees the handle. NULL is ignored. */
void kc_server_close(const kc_server_t *server);

/* Channels that outlive their server: the next one at the path offers them again, with their messages
 * and the numbers of kc_session_open_once. */
typedef struct kc_channels kc_channels_t;

/* For at most 65536 channels. 0; -EINVAL. */
int kc_channels_make(kc_channels_t **out);
/* As kc_server_export, for each server that has these channels. */
int kc_channels_export(const kc_channels_t *channels, const char *name, kc_chan_t *ch,
                       unsigned flags);
/* As kc_server_listen, for these channels in place of its own: those that clients make and those of
 * kc_server_export are added to them. */
int kc_server_listen_with(kc_server_t **out, const char *path, unsigned flags,
                          size_t message_bytes_max, const kc_channels_t *channels);
/* Releases the handle. Its servers keep the channels. NULL is ignored. */
void kc_channels_release(const kc_channels_t *channels);

#ifdef __cplusplus
}
#endif

#endif
