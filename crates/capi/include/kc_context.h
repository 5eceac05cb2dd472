// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kc_context.h
 * @brief Contexts: values that a flow of work carries with it, by key.
 *
 * A context never changes. Adding to one makes another that shares all the rest; the value
 * added last is found first. Each coroutine and each thread has a current one; a coroutine starts
 * with that of its spawner.
 *
 * A key is the address of a static object. Every function may be called by any thread; a context
 * may be shared by threads if the values in it may.
 */
#ifndef KC_CONTEXT_H
#define KC_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_context kc_context_t;

typedef void (*kcoro_fn_t)(void *arg);

typedef struct kc_ctx_key {
    const char *name; /**< for people only */
} kc_ctx_key_t;

/** Releases a value; called once, with the last context that has the value. Any thread. */
typedef void (*kc_ctx_drop_fn)(void *value);

/**
 * A kc_dispatcher_t *: where coroutines are started by kc_job_launch, kc_async, kc_actor_start and
 * the functions of scopes, which else use the default one. Valid as long as the context.
 */
extern const kc_ctx_key_t KC_CTX_KEY_DISPATCHER;
extern const kc_ctx_key_t KC_CTX_KEY_JOB;        /**< a kc_job_t *: set by kc_job_launch */
extern const kc_ctx_key_t KC_CTX_KEY_CANCEL;     /**< a const kc_cancel_t *: set by kc_job_launch */
/**
 * A const long long *: an instant in ns of CLOCK_MONOTONIC. Then a job that kc_job_launch starts
 * under it is cancelled with KC_ETIME, the waits of kc_blocking.h and kcoro_ipc_posix.h end with
 * -ETIMEDOUT, and kc_delay_ms and the calls of kcoro_ipc_chan.h with KC_ETIME.
 */
extern const kc_ctx_key_t KC_CTX_KEY_DEADLINE;
extern const kc_ctx_key_t KC_CTX_KEY_TRACE_ID;   /**< 16 bytes */

/** The context without values. The caller has a reference. */
kc_context_t *kc_context_empty(void);

/** Takes one more reference and returns its argument; NULL gives NULL. */
kc_context_t *kc_context_retain(kc_context_t *ctx);

/** Releases a reference. NULL is ignored. */
void kc_context_release(kc_context_t *ctx);

/**
 * A context that has `value` under `key`, and the other values of base. NULL base is the empty one.
 * The caller has a reference to it and keeps that to base. drop_fn may be NULL. NULL: key is NULL,
 * no memory; drop_fn is not called then.
 */
kc_context_t *kc_context_add(kc_context_t *base, const kc_ctx_key_t *key, void *value,
                             kc_ctx_drop_fn drop_fn);

/** The same, and the new context does not hold the values that base had under the key. */
kc_context_t *kc_context_replace(kc_context_t *base, const kc_ctx_key_t *key, void *value,
                                 kc_ctx_drop_fn drop_fn);

/** The value under a key, borrowed; NULL if there is none. */
void *kc_context_get(const kc_context_t *ctx, const kc_ctx_key_t *key);

/** The deadline at KC_CTX_KEY_DEADLINE. 0; -ENOENT: there is none; -EINVAL: out_ns is NULL. */
int kc_context_get_deadline_ns(const kc_context_t *ctx, long long *out_ns);

/** The current context, borrowed until the caller ends or its context changes. Never NULL. */
kc_context_t *kc_context_current(void);

/**
 * Runs fn(arg) with ctx as the current context, then as before. 0; -EINVAL: an argument is NULL.
 */
int kc_context_with(kc_context_t *ctx, kcoro_fn_t fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
