/* SPDX-License-Identifier: BSD-3-Clause */
/* A transport of one's own below the sessions of kcoro_session.h: another network, a device, a broker.
 *
 *   put, put, flush ══════════════► take          frames, whole, once and in order
 *        KC_EAGAIN: no room           KC_EAGAIN: none
 *              └─ wait for what `watch` names ─┘
 *
 * A link carries frames of up to KC_LINK_HEAD_BYTES + body_bytes_max bytes, and never blocks. The same
 * interface in Rust is becket_ipc::transport::Link, whose page in the book has the rules at length:
 *
 *   1. put takes a frame whole, or returns KC_EAGAIN and has taken nothing.
 *   2. After that flush is called. 0: there is room. KC_EAGAIN: what was put, or the frame that was
 *      refused, waits for room.
 *   3. The end is reported last, by take, as KC_EPIPE: first every frame that the peer has sent. What
 *      is put after the end is dropped, which is KC_EPIPE too; flush is 0 then, so that no caller waits
 *      for room that never comes.
 *   4. take and flush return another negative number for a link that has failed.
 *   5. No wake is lost: after take returned KC_EAGAIN and prepare_wait 0, what comes makes a watched
 *      descriptor ready. Readiness is level-triggered.
 *
 * One thread at a time calls the functions of a link, not always the same. They are not to call this
 * library on a channel of the session, or to wait. */
#ifndef KCORO_LINK_H
#define KCORO_LINK_H

#include <stddef.h>

#include "kcoro_session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The head of each frame. Its first four bytes, the least significant first, are the body's length. */
#define KC_LINK_HEAD_BYTES 24

/* Set `size` to sizeof(kc_link_ops_t), and the rest to 0. The functions are called with the `link` that
 * they were given with. */
typedef struct kc_link_ops {
    size_t size;
    /* The longest body of a frame, at least 1024. */
    size_t body_bytes_max;
    /* Takes a frame: its head, and its body of `len` bytes. */
    int (*put)(void *link, const void *head, const void *body, size_t len);
    /* Sends what was put. */
    int (*flush)(void *link);
    /* The next frame, head and body, which is valid until the next call. 0; KC_EAGAIN: none has
     * arrived. */
    int (*take)(void *link, const void **frame, size_t *len);
    /* The descriptors whose readiness to be read, and written, is to be waited for; -1: none. There is
     * one to be read as long as the link lives, and none to be written unless there is no room. */
    void (*watch)(void *link, int *readable, int *writable);
    /* 1: something has arrived already, do not wait. May be NULL: 0. */
    int (*prepare_wait)(void *link);
    /* The peer gets the end, after what was flushed. Called once. */
    void (*close)(void *link);
    /* Frees the link. Called once, after close, when nothing else calls it any more. May be NULL. */
    void (*destroy)(void *link);
} kc_link_ops_t;

/* A session over a link, on the side that opens channels. opts may be NULL; of it message_bytes_max is
 * read. From a call on that does not return -EINVAL the link is the library's, also if it fails. 0;
 * -EINVAL: NULL, a function is missing, flags other than KC_SESSION_NO_SHM; or the system's error. */
int kc_session_over(kc_session_t **out, const kc_link_ops_t *ops, void *link,
                    const kc_session_opts_t *opts);

/* A server that listens nowhere: it serves the links that it is given. message_bytes_max: as for
 * kc_server_listen. */
int kc_server_make(kc_server_t **out, size_t message_bytes_max);
/* Serves a link, on the side that offers channels: any server may. The caller has decided that the peer
 * may use them. Results as of kc_session_over. */
int kc_server_serve(const kc_server_t *server, const kc_link_ops_t *ops, void *link);

#ifdef __cplusplus
}
#endif

#endif
