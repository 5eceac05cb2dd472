// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_ext.h
 * @brief Results of coroutines, and channels joined by coroutines.
 *
 * Every function may be called by any thread, coroutines included; waits park the coroutine, or the
 * thread.
 */
#ifndef KCORO_EXT_H
#define KCORO_EXT_H

#include <stddef.h>

#include "kc_job.h"
#include "kcoro.h"
#include "kcoro_dispatch.h"

#ifdef __cplusplus
extern "C" {
#endif

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
 * both its sides, so that its senders and receivers end as well; an element that it holds is lost
 * unless the input had ended. The caller destroys the channels.
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
