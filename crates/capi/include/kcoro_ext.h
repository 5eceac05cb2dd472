// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_ext.h
 * @brief What this library adds: results of coroutines, channels joined by coroutines; overflow
 * policies, reasons of a close, fair select; event channels; descriptions for a person.
 *
 * Every function may be called by any thread, coroutines included; waits park the coroutine, or the
 * thread. -EINVAL: an argument that is needed is NULL, or a number has no meaning.
 */
#ifndef KCORO_EXT_H
#define KCORO_EXT_H

#include <stddef.h>

#include "kc_job.h"
#include "kcoro.h"
#include "kcoro_dispatch.h"
#include "kcoro_sched.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Channels
 * ------------------------------------------------------------------------------- */

/** What a buffered channel does with an element for which it has no room. */
typedef enum kc_chan_policy {
    KC_CHAN_SUSPEND = 0,     /**< the send waits; that of a new channel */
    KC_CHAN_DROP_OLDEST = 1, /**< drops the oldest element that it holds */
    KC_CHAN_DROP_LATEST = 2, /**< drops the element of the send, which succeeds */
    KC_CHAN_DROP_NEWEST = 2  /**< the same */
} kc_chan_policy_t;

/**
 * Changes the policy of a buffered channel, at any time. With one that drops, sends do not wait for
 * a receiver, and those that wait complete: their elements are held, or dropped. (A send with
 * timeout 0 may be KC_EAGAIN while another thread is in the middle of a send.) A dropped element
 * counts as sent, and goes to the undelivered hook. 0; KC_ENOTSUP: a channel of another kind, which
 * has room always or never, and one of messages (kcoro_session.h); -EINVAL.
 */
int kc_chan_set_policy(kc_chan_t *ch, kc_chan_policy_t policy);

/** An undelivered element, valid during the call; of one sent by pointer the pointer itself. */
typedef void (*kc_chan_on_drop_fn)(void *elem, size_t len, void *arg);

/**
 * Sets the undelivered hook of a channel that has none: what kc_chan_make_ex says of hooks holds
 * for this one, which is for copies and pointers alike. A hook may destroy the channel, in a send or
 * kc_chan_set_policy that displaces an element too, which then uses it no more; such a hook is set before
 * another thread sends. 0; -EALREADY: it has a hook, which stays;
 * KC_ENOTSUP: an event channel, a metrics pipe, or a channel of messages; -EINVAL.
 */
int kc_chan_set_on_drop(kc_chan_t *ch, kc_chan_on_drop_fn on_drop, void *arg);

/**
 * As kc_chan_close, with a reason, which is a number of the program's own. 0; -EALREADY: it is
 * closed, and keeps the reason of its first close; -EINVAL.
 */
int kc_chan_close_ex(kc_chan_t *ch, int reason);

/**
 * The reason of its close: 0 for kc_chan_close, the result of its function for a producer's channel
 * (KC_ECANCELED if that has not returned). After KC_EPIPE there is one. 0; KC_EAGAIN: it is open;
 * -EINVAL.
 */
int kc_chan_close_reason(kc_chan_t *ch, int *out_reason);

/**
 * Writes some lines about a channel to a file descriptor: its kind, what it holds, its policy,
 * whether it is closed; for each side the operations, the failures and the waiting calls; what was
 * dropped. For a person: the words may change. The thread blocks while the descriptor is not
 * writable. 0; -EBADF or another error of write; -EINVAL.
 */
int kc_chan_dump(kc_chan_t *ch, int fd);

/**
 * Makes a select fair, if `fair` is not 0: a wait begins with the clause behind the one that
 * completed last, so that of n clauses one that can complete does so within n waits. Without it the
 * first that can complete does. 0; -EINVAL.
 */
int kc_select_set_fair(kc_select_t *s, int fair);

/* ---- Event channels
 * ------------------------------------------------------------------------------- */

/**
 * Makes a channel of struct kc_chan_metrics_event to which any number of channels report: buffered,
 * capacity 0: 64. The caller destroys it. 0; -ENOMEM; -EINVAL.
 */
int kc_metrics_event_channel(kc_chan_t **out, size_t capacity);

/**
 * Has `ch` report its operations to an event channel, or a metrics pipe, as to a pipe of its own
 * (kc_chan_enable_metrics_pipe), which it may have too. NULL: every channel that is made from now
 * on. A subscription ends when the event channel is closed, or `ch` destroyed.
 *
 * 0; -EALREADY: it does so already; -ENOSPC: it reports to 8 others; KC_EPIPE: the event channel is
 * closed; -EINVAL: `events` is no channel of events, or `ch` is one.
 */
int kc_metrics_subscribe(kc_chan_t *ch, kc_chan_t *events);

/* ---- Schedulers
 * ------------------------------------------------------------------------------- */

/**
 * As kc_spawn, on the worker of this index, from 0: no other starts it. 0, or -1: as kc_spawn, or
 * there is no such worker.
 */
int kc_sched_submit_to(kc_sched_t *s, int worker, kc_task_fn fn, void *arg);

/**
 * Writes some lines about a scheduler to a file descriptor: itself, each of its workers, and each
 * coroutine and task that lives there, up to 1000, with its state; otherwise as kc_chan_dump.
 */
int kc_sched_debug_dump(kc_sched_t *s, int fd);

/* ---- Coroutines
 * ------------------------------------------------------------------------------- */

/**
 * Starts a coroutine that runs fn(arg) as a job below the caller's, in the caller's context:
 * kc_job_launch(NULL, NULL, ...).
 */
int kc_launch(kcoro_fn_t fn, void *arg, size_t stack_size, kc_job_t **out_job);

/**
 * Starts a coroutine that fills a new channel, where KC_CTX_KEY_DISPATCHER says; as
 * kc_scope_produce, without a scope. The channel is closed with the result of fn as the reason, and
 * is the caller's to destroy, at any time. NULL: refused.
 */
kc_chan_t *kc_produce(int kind, size_t elem_sz, size_t capacity, kc_producer_fn fn, void *user);

/** The function of kc_async. Its return value is the result. */
typedef void *(*kc_async_fn)(void *arg);

/**
 * Starts a coroutine that runs fn(arg), where KC_CTX_KEY_DISPATCHER says, and returns a handle of
 * its result, which the caller releases with kc_deferred_release. stack_size as in kcoro_create. 0;
 * -EINVAL; -ENOMEM.
 */
int kc_async(kc_async_fn fn, void *arg, size_t stack_size, kc_deferred_t **out);

/**
 * Waits for the result; any number of times, by any number of callers. out_result may be NULL. 0;
 * KC_EAGAIN (timeout 0), KC_ETIME; KC_ECANCELED: the scheduler ended before the coroutine had;
 * -EINVAL.
 */
int kc_await(kc_deferred_t *deferred, long timeout_ms, void **out_result);

/** The result, if it is there; else NULL. */
void *kc_deferred_get(const kc_deferred_t *deferred);

/** Releases the handle. The coroutine continues. NULL is ignored. */
void kc_deferred_release(kc_deferred_t *deferred);

/**
 * Sleeps, until the token of the current context (KC_CTX_KEY_CANCEL) is set, if it has one, or its
 * deadline (KC_CTX_KEY_DEADLINE) has passed. 0; KC_ECANCELED; KC_ETIME: the deadline.
 */
int kc_delay_ms(long ms);

/** Cancels the caller's job: kc_job_cancel(kc_job_current(), reason). -EINVAL: there is none. */
int kc_cancel_current(int reason);

/**
 * Runs fn(arg) as a coroutine of another dispatcher, with the caller's context, and waits until it
 * has ended. 0; -EINVAL; -ENOMEM; KC_ECANCELED: that scheduler ended first.
 */
int kc_with_dispatcher(kc_dispatcher_t *dispatcher, kcoro_fn_t fn, void *arg, size_t stack_size);

/*
 * Channels joined by coroutines of a scope. Such a coroutine ends when its input is at its end,
 * when it cannot send any more, or with the scope. In each case it closes the channels on
 * both its sides, so that its senders and receivers end as well. An element that it cannot send is
 * undelivered: it goes to the hook of the channel that it was for, and a message (kcoro_session.h)
 * is released. The caller destroys the channels.
 */

/**
 * A channel of the results of fn for each element of `in`, whose size is in_size: fn(in, out, user)
 * returns 0 to pass `out` on, more to leave it out, less to end. NULL: refused.
 */
kc_chan_t *kc_transform(kc_scope_t *scope, kc_chan_t *in, size_t in_size, int kind, size_t out_size,
                        size_t capacity, kc_transform_fn fn, void *user);

/**
 * Sends the elements of `in` to the `count` channels of `outs` in turn, one element to one channel.
 * The array is copied; all elements have elem_size. 0; -EINVAL; -ENOMEM; KC_ECANCELED.
 */
int kc_fan_out(kc_scope_t *scope, kc_chan_t *in, size_t elem_size, kc_chan_t *const *outs,
               size_t count);

/**
 * Sends the elements of the `count` channels of `ins` to `out`, in the order of each; it is closed
 * when all are at their ends. One coroutine for each. Likewise.
 */
int kc_fan_in(kc_scope_t *scope, kc_chan_t *const *ins, size_t count, size_t elem_size,
              kc_chan_t *out);

#ifdef __cplusplus
}
#endif

#endif
