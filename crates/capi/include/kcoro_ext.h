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

/** What kc_async runs. What it returns is the result. */
typedef void *(*kc_async_fn)(void *arg);

/**
 * Starts a coroutine on kc_sched_default() that runs fn(arg), and gives a handle of its result,
 * which the caller gives back with kc_deferred_release. stack_size as in kcoro_create. 0; -EINVAL;
 * -ENOMEM.
 */
int kc_async(kc_async_fn fn, void *arg, size_t stack_size, kc_deferred_t **out);

/**
 * Waits for the result; any number of times, by any number. out_result may be NULL. 0; KC_EAGAIN
 * (timeout 0), KC_ETIME; KC_ECANCELED: the scheduler ended before the coroutine had; -EINVAL.
 */
int kc_await(kc_deferred_t *deferred, long timeout_ms, void **out_result);

/** The result, if it is there; else NULL. */
void *kc_deferred_get(const kc_deferred_t *deferred);

/** Gives the handle back. The coroutine goes on. NULL is ignored. */
void kc_deferred_release(kc_deferred_t *deferred);

/**
 * Sleeps, until the token of the current context (KC_CTX_KEY_CANCEL) is set, if it has one. 0;
 * KC_ECANCELED.
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
 * when it cannot send any more, or with the scope. Then, whichever it was, it closes the channels
 * on both its sides, so that who sends to it or receives from it ends as well; an element that it
 * has in hand is lost unless the input had ended. Channels are the caller's to destroy.
 */

/**
 * A channel of what fn makes of each element of `in`, whose size is in_size: fn(in, out, user)
 * answers 0 to pass `out` on, more to leave it out, less to end. NULL: refused.
 */
kc_chan_t *kc_transform(kc_scope_t *scope, kc_chan_t *in, size_t in_size, int kind, size_t out_size,
                        size_t capacity, kc_transform_fn fn, void *user);

/**
 * Sends what comes from `in` to the `count` channels of `outs` in turn, one element to one channel.
 * The array is copied; all elements have elem_size. 0; -EINVAL; -ENOMEM; KC_ECANCELED.
 */
int kc_fan_out(kc_scope_t *scope, kc_chan_t *in, size_t elem_size, kc_chan_t *const *outs,
               size_t count);

/**
 * Sends what comes from the `count` channels of `ins` to `out`, in the order of each; it is closed
 * when all are at their ends. One coroutine for each. Likewise.
 */
int kc_fan_in(kc_scope_t *scope, kc_chan_t *const *ins, size_t count, size_t elem_size,
              kc_chan_t *out);

#ifdef __cplusplus
}
#endif

#endif
