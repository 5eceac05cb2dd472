/* SPDX-License-Identifier: BSD-3-Clause */
/* kcoro: channels, select, cancel tokens, actors and scopes. Coroutines: kcoro_core.h and
 * kcoro_sched.h.
 *
 * Conventions
 *
 * An int function returns 0 for success and -errno for failure (KC_* of port/posix.h, or plain).
 * NULL for a required argument: -EINVAL; functions without a result then do nothing.
 *
 * timeout_ms: 0 tries and never waits; less than 0 waits without end; more is a bound in
 * milliseconds of the monotonic clock. A wait parks the calling coroutine, or a plain thread.
 *
 * If several results are possible, the first of these is returned: KC_ECANCELED (the token is set),
 * 0 (the channel is ready), KC_EPIPE (it is closed), KC_ETIME (the timeout has elapsed). A send
 * that failed leaves its element with the sender; for the calls of the undelivered hook see
 * kc_chan_make_ex.
 *
 * Threads: every function may be called from any thread and in any coroutine, except where noted
 * otherwise. A handle is valid until it is destroyed, and no call may start after that; a waiting
 * call may still be in progress, and ends with KC_EPIPE. */
#ifndef KCORO_H
#define KCORO_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro_config.h"
#include "kcoro_port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kcoro kcoro_t;
typedef void (*kcoro_fn_t)(void *arg);

typedef struct kc_chan kc_chan_t;
typedef struct kc_scope kc_scope_t;
typedef struct kc_select kc_select_t;
typedef struct kc_cancel kc_cancel_t;
typedef void *kc_actor_t;

/* ---- Cancel tokens (more in kc_cancel.h)
 * ------------------------------------------------------ */

/* A new token. Destroy it with kc_cancel_destroy; waits that use it continue without it. */
int kc_cancel_init(kc_cancel_t **out);
/* Sets it, and every token below it; ends the waits on them. Again: no effect. */
void kc_cancel_trigger(kc_cancel_t *t);
/* 1 if it is set; 0 if not, and for NULL. */
int kc_cancel_is_set(const kc_cancel_t *t);
void kc_cancel_destroy(kc_cancel_t *t);

typedef struct kc_cancel_ctx {
    const kc_cancel_t *parent; /* borrowed */
    kc_cancel_t *token;        /* owned by the context */
} kc_cancel_ctx_t;

/* A token below `parent` (which may be NULL, and may be destroyed first). Below a token that is set
 * it is set from the start. */
int kc_cancel_ctx_init(kc_cancel_ctx_t *ctx, const kc_cancel_t *parent);
void kc_cancel_ctx_destroy(kc_cancel_ctx_t *ctx);

/* ---- Channels
 * --------------------------------------------------------------------------------- */

/* Any kind above 0 is buffered, and is the capacity if none is given. */
enum kc_kind {
    KC_RENDEZVOUS = 0, /* a send completes when its element is received */
    KC_BUFFERED = 1,   /* holds exactly `capacity` elements */
    KC_CONFLATED = -1, /* holds the latest */
    KC_UNLIMITED = -2  /* holds any number */
};

/* A channel for elements of elem_sz bytes, which are copied. -EINVAL: `out` is NULL, elem_sz is 0,
 * no such kind. -ENOMEM: no memory for the capacity. */
int kc_chan_make(kc_chan_t **out, int kind, size_t elem_sz, size_t capacity);

/* Called with an undelivered element; the element is valid during the call. */
typedef void (*kc_on_undelivered_copy_fn)(void *elem, size_t len, void *arg);
/* The same for elements sent by pointer. */
typedef void (*kc_on_undelivered_ptr_fn)(void *ptr, size_t len, void *arg);

/* As kc_chan_make, with hooks (each may be NULL). They run once for each element that was never
 * delivered, and never for one that was: replaced on a conflated channel; dropped by the overflow
 * policy (kcoro_ext.h, where a hook can also be set later); left when the channel is destroyed; in a
 * send that waits when the channel is closed, its token is set or its coroutine is destroyed. (Such
 * a send has failed: its element belongs to the hook then, not to the sender.) They run on the
 * thread that finds this out, without a lock. */
int kc_chan_make_ex(kc_chan_t **out, int kind, size_t elem_sz, size_t capacity,
                    kc_on_undelivered_copy_fn on_undelivered_copy,
                    kc_on_undelivered_ptr_fn on_undelivered_ptr, void *on_ud_arg);

/* Closes it, if it is open; passes its elements to the hook; ends every wait on it. */
void kc_chan_destroy(kc_chan_t *ch);

/* KC_EAGAIN: full (timeout 0). KC_ETIME: full until the timeout. KC_EPIPE: closed before delivery.
 * -EINVAL: NULL, a pointer channel, a rendezvous channel that switched to zero copy. -ENOMEM: no
 * memory for the copy of an element of more than 64 bytes. */
int kc_chan_send(kc_chan_t *ch, const void *msg, long timeout_ms);
/* KC_EAGAIN, KC_ETIME: empty. KC_EPIPE: closed, and drained. -EINVAL: as for kc_chan_send. */
int kc_chan_recv(kc_chan_t *ch, void *out, long timeout_ms);

/* Later sends fail; held elements can still be received; waits for more end. Again: no effect. With
 * a reason: kc_chan_close_ex (kcoro_ext.h). */
void kc_chan_close(kc_chan_t *ch);

/* The number of elements held; of a conflated channel 0 or 1, of a rendezvous channel 0. */
unsigned kc_chan_len(kc_chan_t *ch);

/* With a token (NULL: none). Set before the call: KC_ECANCELED, whatever other error there is. */
int kc_chan_send_c(kc_chan_t *ch, const void *msg, long timeout_ms, const kc_cancel_t *cancel);
int kc_chan_recv_c(kc_chan_t *ch, void *out, long timeout_ms, const kc_cancel_t *cancel);

static inline int kc_chan_try_send(kc_chan_t *ch, const void *msg)
{
    return kc_chan_send(ch, msg, 0);
}

static inline int kc_chan_try_recv(kc_chan_t *ch, void *out)
{
    return kc_chan_recv(ch, out, 0);
}

/* ---- Zero copy and pointer channels (more in kcoro_zcopy.h)
 * ----------------------------------- */

#define KC_CHAN_CAP_ZERO_COPY (1u << 0)
#define KC_CHAN_CAP_PTR (1u << 1)
unsigned kc_chan_capabilities(kc_chan_t *ch);

/* Binds the backend "zref". Again: no effect. */
int kc_chan_enable_zero_copy(kc_chan_t *ch);

/* Sends a pointer: the bytes stay in place, and belong to the receiver after success. -EINVAL:
 * NULL, a length of 0, a queued channel whose element is not a struct kc_chan_ptrmsg. KC_ENOTSUP:
 * zero copy is not enabled. From the first such operation on a rendezvous channel made by
 * kc_chan_make, its plain sends and receives return -EINVAL. */
int kc_chan_send_zref(kc_chan_t *ch, void *ptr, size_t len, long timeout_ms);
int kc_chan_recv_zref(kc_chan_t *ch, void **out_ptr, size_t *out_len, long timeout_ms);
int kc_chan_send_zref_c(kc_chan_t *ch, void *ptr, size_t len, long timeout_ms,
                        const kc_cancel_t *cancel);
int kc_chan_recv_zref_c(kc_chan_t *ch, void **out_ptr, size_t *out_len, long timeout_ms,
                        const kc_cancel_t *cancel);

/* Memory of descriptors. A descriptor is in flight in it from its send until its receive, or until
 * it is undelivered. */
typedef struct kc_region kc_region_t;
#define KC_REGION_F_NONE 0u
/* -EINVAL: NULL, no bytes, unknown flags. -ENOSPC: more than 65536 regions. */
int kc_region_register(kc_region_t **out, void *addr, size_t len, unsigned flags);
/* Waits until nothing is in flight in it; sends of its bytes fail meanwhile (-EINVAL). Then the
 * handle is freed, and the memory belongs to the caller alone. */
int kc_region_deregister(kc_region_t *reg);
/* Its number, for kc_zdesc_t.region_id: 2^32 or more, and never reused for another region. A send of
 * a descriptor that names a region fails with -EINVAL if there is none of that number, if the bytes
 * are not all in it, or if addr is not the address of the offset. So does the send of a pointer into
 * a region whose bytes are past its end. A backend's own numbers are below 2^32: those are passed on
 * unchanged. */
int kc_region_export_id(const kc_region_t *reg, unsigned long *out_id);

struct kc_chan_zstats {
    unsigned long zref_sent;
    unsigned long zref_received;
    unsigned long zref_fallback_small;    /* copied because small, by a backend that does that */
    unsigned long zref_fallback_capacity; /* copied because there was no room, likewise */
    unsigned long zref_canceled;
    unsigned long zref_aborted_close; /* sends that waited when the channel was closed */
};
int kc_chan_get_zstats(kc_chan_t *ch, struct kc_chan_zstats *out);

struct kc_chan_ptrmsg {
    void *ptr;
    size_t len; /* bytes */
};

/* A channel of pointers. */
int kc_chan_make_ptr(kc_chan_t **out, int kind, size_t capacity);
/* -EINVAL: NULL, a length of 0, not a channel of pointers; else as kc_chan_send and
 * kc_chan_recv. */
int kc_chan_send_ptr(kc_chan_t *ch, void *ptr, size_t len, long timeout_ms);
int kc_chan_recv_ptr(kc_chan_t *ch, void **out_ptr, size_t *out_len, long timeout_ms);
int kc_chan_send_ptr_c(kc_chan_t *ch, void *ptr, size_t len, long timeout_ms,
                       const kc_cancel_t *cancel);
int kc_chan_recv_ptr_c(kc_chan_t *ch, void **out_ptr, size_t *out_len, long timeout_ms,
                       const kc_cancel_t *cancel);

/* ---- Statistics
 * ------------------------------------------------------------------------------- */

/* Counts are exact: one per successful operation; for elements sent by pointer, bytes are their
 * length. Times are CLOCK_MONOTONIC's, in nanoseconds, 0 before the first operation. The last time
 * is never later than the truth; with dense operations (64 in a millisecond) it may be earlier by
 * 4 ms, the step of a thread of the library that then keeps the time, or by as long as that thread
 * waits for a processor. A rate over an interval of 0 is computed over a
 * microsecond. */
struct kc_chan_stats {
    unsigned long total_sends;
    unsigned long total_recvs;
    unsigned long total_bytes_sent;
    unsigned long total_bytes_recv;
    long first_op_time_ns;
    long last_op_time_ns;
    double send_rate_ops_sec;
    double recv_rate_ops_sec;
    double send_rate_bytes_sec;
    double recv_rate_bytes_sec;
    double duration_sec; /* from the first to the last operation */
};
int kc_chan_get_stats(kc_chan_t *ch, struct kc_chan_stats *out);

#define KC_CHAN_SNAPSHOT_DEFINED 1
struct kc_chan_snapshot {
    void *chan;
    int kind;
    size_t elem_sz;
    size_t capacity; /* 0 if rendezvous or conflated */
    size_t count;    /* elements that it holds */
    unsigned capabilities;
    int closed;
    int zref_mode; /* a zero-copy operation was tried */
    int ptr_mode;  /* a channel of pointers */
    unsigned long total_sends;
    unsigned long total_recvs;
    unsigned long total_bytes_sent;
    unsigned long total_bytes_recv;
    long first_op_time_ns;
    long last_op_time_ns;
    unsigned long send_eagain; /* failed operations, by side and cause */
    unsigned long send_etime;
    unsigned long send_epipe;
    unsigned long recv_eagain;
    unsigned long recv_etime;
    unsigned long recv_epipe;
    unsigned long zref_sent;
    unsigned long zref_received;
    unsigned long zref_aborted_close;
    unsigned long rv_matches;       /* handoffs of a rendezvous channel */
    unsigned long rv_cancels;       /* its operations that a token ended */
    unsigned long rv_zdesc_matches; /* handoffs of descriptors */
    double duration_sec;
};
/* Works on a closed channel too. */
int kc_chan_snapshot(kc_chan_t *ch, struct kc_chan_snapshot *out);

#define KC_CHAN_RATE_SAMPLE_DEFINED 1
struct kc_chan_rate_sample {
    unsigned long delta_sends;
    unsigned long delta_recvs;
    unsigned long delta_bytes_sent;
    unsigned long delta_bytes_recv;
    unsigned long delta_send_eagain;
    unsigned long delta_recv_eagain;
    unsigned long delta_send_epipe;
    unsigned long delta_recv_epipe;
    unsigned long delta_rv_matches;
    unsigned long delta_rv_cancels;
    unsigned long delta_rv_zdesc_matches;
    double interval_sec;
    double sends_per_sec;
    double recvs_per_sec;
    double bytes_sent_per_sec;
    double bytes_recv_per_sec;
};
/* The operations between two snapshots. `prev` may be NULL, or all zeros: since the start. The
 * interval is the difference of the durations; if that is 0 with operations, a microsecond. A
 * count that is smaller in `curr` makes a delta of 0. */
int kc_chan_compute_rate(const struct kc_chan_snapshot *prev, const struct kc_chan_snapshot *curr,
                         struct kc_chan_rate_sample *out);

struct kc_chan_metrics_event {
    void *chan;
    unsigned long total_sends;
    unsigned long total_recvs;
    unsigned long total_bytes_sent;
    unsigned long total_bytes_recv;
    unsigned long delta_sends; /* since the last event that was not dropped */
    unsigned long delta_recvs;
    unsigned long delta_bytes_sent;
    unsigned long delta_bytes_recv;
    long first_op_time_ns;
    long last_op_time_ns;
    long emit_time_ns;
};
/* A buffered channel of struct kc_chan_metrics_event (capacity 0: 64) on which `ch` reports its
 * operations: an event after each emit_min_ops operations, and after emit_min_ms if there were any
 * (kcoro_config_runtime.h). With the pipe full an event is dropped, and its deltas are in the next
 * one. The pipe is the caller's to destroy, before or after `ch`. Enabled already: the same
 * pipe. */
int kc_chan_enable_metrics_pipe(kc_chan_t *ch, kc_chan_t **out_pipe, size_t capacity);
/* No more events. The pipe stays. */
int kc_chan_disable_metrics_pipe(kc_chan_t *ch);
/* The pipe; NULL if there is none. Of one that the configuration made, the first caller becomes the
 * owner. */
kc_chan_t *kc_chan_metrics_pipe(kc_chan_t *ch);

/* ---- Select
 * ----------------------------------------------------------------------------------- */

enum kc_select_clause_kind { KC_SELECT_CLAUSE_RECV = 0, KC_SELECT_CLAUSE_SEND = 1 };

/* A set of clauses, for one thread or coroutine at a time. The token may be NULL, and may be
 * destroyed first. */
int kc_select_create(kc_select_t **out, const kc_cancel_t *cancel);
void kc_select_destroy(kc_select_t *s);
/* Removes all clauses. */
void kc_select_reset(kc_select_t *s);
/* Adds a receive into `out`, or a send of the element at `msg` at the time of the wait. KC_ENOTSUP:
 * a channel of pointers, or one that switched to zero copy. */
int kc_select_add_recv(kc_select_t *s, kc_chan_t *ch, void *out);
int kc_select_add_send(kc_select_t *s, kc_chan_t *ch, const void *msg);
/* Waits until one clause completes; of several that can, the first (kc_select_set_fair in
 * kcoro_ext.h: each in turn). Returns its result: 0, or
 * KC_EPIPE if its channel is closed; its index is in *selected_index, its result in *op_result
 * (each may be NULL). KC_EAGAIN, KC_ETIME, KC_ECANCELED, -EINVAL (no clauses): the index is -1. */
int kc_select_wait(kc_select_t *s, long timeout_ms, int *selected_index, int *op_result);

/* ---- Actors
 * ----------------------------------------------------------------------------------- */

/* Handles one message. The result is ignored. */
typedef int (*kc_actor_fn)(const void *msg, void *user);

typedef struct kc_actor_ctx {
    kc_chan_t *chan; /* the source of its messages; not destroyed with it */
    size_t msg_size; /* bytes */
    int timeout_ms;  /* it ends after this time without a message; 0 or less: no limit */
    kc_actor_fn process;
    void *user;
} kc_actor_ctx_t;

typedef struct kc_actor_ctx_ex {
    kc_actor_ctx_t base;
    const kc_cancel_t *cancel; /* may be NULL */
} kc_actor_ctx_ex_t;

/* An actor is a coroutine on the default scheduler that handles one message at a time. It ends when
 * its channel is closed and drained, when its token is set, when it is stopped, or after its
 * timeout; by itself, when its function calls kc_actor_stop or closes the channel. One that has ended
 * keeps its handle until kc_actor_stop or kc_actor_cancel. NULL: refused. */
kc_actor_t kc_actor_start(const kc_actor_ctx_t *ctx);
kc_actor_t kc_actor_start_ex(const kc_actor_ctx_ex_t *ctx);
/* Stops it, waits until it has ended, and frees the handle. No message is handled after that; those
 * in the channel stay there. Called by the actor itself, it does not wait. */
void kc_actor_stop(kc_actor_t actor);
/* The same, and sets its token, if it has one. */
void kc_actor_cancel(kc_actor_t actor);
/* Calls `cb` once, when it has ended; at once if it has. Before that it runs in the actor's own
 * coroutine, after the last message: it may wait, and call any function;
 * kc_actor_stop and kc_actor_cancel of this actor do not wait there, and those of other threads
 * return after it. */
void kc_actor_on_done(kc_actor_t actor, void (*cb)(void *arg), void *arg);

/* ---- Scopes
 * ----------------------------------------------------------------------------------- */

typedef int (*kc_producer_fn)(kc_chan_t *ch, void *user);
typedef int (*kc_transform_fn)(const void *in, void *out, void *user);

/* A scope owns the coroutines started in it, on the default scheduler. */
int kc_scope_init(kc_scope_t **out, const kc_cancel_t *parent);
/* Sets its token. Its coroutines are not interrupted: they watch the token. */
void kc_scope_cancel(kc_scope_t *scope);
/* Starts a coroutine. `out_co` may be NULL; else it gets a reference, to be released with
 * kcoro_release. KC_ECANCELED: the scope is cancelled. */
int kc_scope_launch(kc_scope_t *scope, kcoro_fn_t fn, void *arg, size_t stack_size,
                    kcoro_t **out_co);
/* Starts an actor, which ends with the scope. The handle is the scope's: it may be stopped or
 * cancelled earlier, which sets no token of the scope's, and must not be used after the scope.
 * NULL: refused, or the scope is cancelled. */
kc_actor_t kc_scope_actor(kc_scope_t *scope, const kc_actor_ctx_t *ctx);
/* Starts a coroutine that fills a new channel, which is closed when it returns, with its result as
 * the reason (kc_chan_close_reason in kcoro_ext.h), and is the caller's to destroy. NULL: refused,
 * or the scope is cancelled. */
kc_chan_t *kc_scope_produce(kc_scope_t *scope, int kind, size_t elem_sz, size_t capacity,
                            kc_producer_fn fn, void *user);
/* Waits until everything in it has ended: 0; KC_EAGAIN (timeout 0) or KC_ETIME. -EDEADLK: called by a
 * coroutine, a producer or an actor of the scope, which would wait for itself. */
int kc_scope_wait_all(kc_scope_t *scope, long timeout_ms);
/* Cancels it, waits for all, and frees it. Called by one that is in the scope, it does not wait: the
 * memory is freed when the last of them has ended. */
void kc_scope_destroy(kc_scope_t *scope);
/* Its token, valid as long as the scope. */
const kc_cancel_t *kc_scope_token(const kc_scope_t *scope);

/* ---- The library
 * ------------------------------------------------------------------------------ */

/* Panics inside the library that became a failure result (-EIO, NULL or nothing) in this process.
 * More than 0 is a defect of the library; each was reported on standard error. */
unsigned long kc_panics_contained(void);

#ifdef __cplusplus
}
#endif

#endif
