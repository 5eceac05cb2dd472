/* SPDX-License-Identifier: BSD-3-Clause */
/* Zero copy: descriptors through a channel, by a backend.
 *
 * Every function may be called from any thread, and in a coroutine; those with a timeout wait as
 * kcoro.h says. */
#ifndef KCORO_ZCOPY_H
#define KCORO_ZCOPY_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A descriptor: bytes that are not copied. All its fields reach the receiver. */
typedef struct kc_zdesc {
    void *addr;
    size_t len;         /* bytes; not 0 */
    uint64_t region_id; /* of kc_region_export_id, or the backend's; 0: found by the address */
    uint64_t offset;    /* bytes from the region's beginning */
    uint32_t flags;     /* the backend's */
} kc_zdesc_t;

/* The functions of a backend. `attach` is called once for a channel, before its first operation,
 * and never for two threads at a time; `detach` once, when the channel is destroyed, after it was
 * closed. If a function is NULL: attach and detach are skipped; send and recv return -ENOTSUP. For
 * a backend without send_c or recv_c, send and recv are called, and each of their waits in this
 * library ends with KC_ECANCELED when the token is set. kc_chan_close ends a wait in the same way,
 * and the caller gets KC_EPIPE; from then on send is not called any more, and recv with a timeout of
 * 0, until it returns KC_EAGAIN. A backend never frees foreign memory, refuses a length of 0, parks
 * in bounded waits, and does not spin. */
typedef struct kc_zcopy_backend_ops {
    int (*attach)(kc_chan_t *ch, const void *opts);
    void (*detach)(kc_chan_t *ch);
    int (*send)(kc_chan_t *ch, const kc_zdesc_t *d, long tmo_ms);
    int (*recv)(kc_chan_t *ch, kc_zdesc_t *d, long tmo_ms);
    int (*send_c)(kc_chan_t *ch, const kc_zdesc_t *d, long tmo_ms, const kc_cancel_t *cancel);
    int (*recv_c)(kc_chan_t *ch, kc_zdesc_t *d, long tmo_ms, const kc_cancel_t *cancel);
} kc_zcopy_backend_ops_t;

typedef int kc_zcopy_backend_id;

/* Registers a backend for as long as the process runs; name and functions are copied. The same name
 * again returns the first one's id. -EINVAL: NULL, a name of no or more than 256 bytes.
 * -ENOSPC: more than 1024. */
kc_zcopy_backend_id kc_zcopy_register(const char *name, const kc_zcopy_backend_ops_t *ops,
                                      uint32_t caps);

/* The id of a backend; "zref" is always there. -ENOENT: unknown. */
kc_zcopy_backend_id kc_zcopy_resolve(const char *name);

/* The capabilities with which a backend was registered. -ENOENT: no such id. */
int kc_zcopy_caps(kc_zcopy_backend_id id, uint32_t *out);

/* Binds a backend to a channel, and attaches it unless it was. The last one bound handles the
 * descriptors. -ENOENT: no such id; else the result of `attach`, if that is not 0. */
int kc_chan_enable_zero_copy_backend(kc_chan_t *ch, kc_zcopy_backend_id id, const void *opts);

/* Sends or receives a descriptor by the channel's backend. KC_ENOTSUP without one; -EINVAL for
 * NULL, a NULL address, a length of 0, or a channel whose elements are not struct kc_chan_ptrmsg (a
 * rendezvous channel may be of any); KC_EPIPE once the channel is closed, and drained; else as
 * kc_chan_send_zref. */
int kc_chan_send_desc(kc_chan_t *ch, const kc_zdesc_t *d, long timeout_ms);
int kc_chan_recv_desc(kc_chan_t *ch, kc_zdesc_t *d, long timeout_ms);
int kc_chan_send_desc_c(kc_chan_t *ch, const kc_zdesc_t *d, long timeout_ms,
                        const kc_cancel_t *cancel);
int kc_chan_recv_desc_c(kc_chan_t *ch, kc_zdesc_t *d, long timeout_ms, const kc_cancel_t *cancel);

/* 1 if zero copy is enabled. */
static inline int kc_chan_is_zero_copy(kc_chan_t *ch)
{
    return (kc_chan_capabilities(ch) & KC_CHAN_CAP_ZERO_COPY) != 0u;
}

/* For a backend that moves descriptors past the channel: what it did, so that the channel's
 * statistics are true. (What goes through kc_chan_send_ptr and its like is counted there.) The
 * first two also count an operation and its bytes. -EINVAL: NULL, no such event. */
enum kc_zcopy_event {
    KC_ZCOPY_SENT = 0,
    KC_ZCOPY_RECEIVED = 1,
    KC_ZCOPY_FALLBACK_SMALL = 2,
    KC_ZCOPY_FALLBACK_CAPACITY = 3,
    KC_ZCOPY_CANCELED = 4,
    KC_ZCOPY_ABORTED_CLOSE = 5
};
int kc_zcopy_count(kc_chan_t *ch, int event, size_t bytes);

/* The same for an operation that failed, with KC_EAGAIN, KC_ETIME, KC_EPIPE or KC_ECANCELED. */
int kc_zcopy_count_failure(kc_chan_t *ch, int receiving, int code);

#ifdef __cplusplus
}
#endif

#endif
