// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kc_job.h
 * @brief Jobs: a tree of work that ends together.
 *
 * A job ends when its own coroutine and all its children have ended. Cancelling a job cancels all
 * below it. A child that fails cancels its parent, and with it its siblings, unless the parent is a
 * supervisor; a cancelled child does not affect the others.
 *
 *   ACTIVE --end--> COMPLETED
 *   ACTIVE --cancel, or a child failed--> CANCELLING --end--> CANCELLED or FAILED
 *
 * Coroutines are not interrupted. They watch the job's token: a launched coroutine finds it in its
 * context, under KC_CTX_KEY_CANCEL (kc_context.h), and passes it to the `_c` operations.
 *
 * Every function may be called by any thread, coroutines included.
 */
#ifndef KC_JOB_H
#define KC_JOB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_job kc_job_t;
typedef struct kc_deferred kc_deferred_t;
struct kc_context;

typedef void (*kcoro_fn_t)(void *arg);

typedef enum {
    KC_JOB_ACTIVE = 0,
    KC_JOB_CANCELLING, /**< to end soon: cancelled, or a child failed */
    KC_JOB_CANCELLED,  /**< ended after a cancel */
    KC_JOB_COMPLETED,  /**< ended without a failure */
    KC_JOB_FAILED      /**< ended, and it or a child failed */
} kc_job_state_t;

/** A failing child does not affect it. */
#define KC_JOB_F_SUPERVISOR (1u << 0)
/** The parent neither waits for it nor cancels it, and is not affected by its failure. */
#define KC_JOB_F_DETACHED (1u << 1)
/**
 * It is cancelled with KC_ETIME at the deadline of the caller's context (KC_CTX_KEY_DEADLINE).
 * -EINVAL: there is none.
 */
#define KC_JOB_F_TIMEOUT_WRP (1u << 2)

/**
 * Makes a job without a coroutine of its own, for children to be launched under. It stays ACTIVE
 * until it is joined, cancelled or failed, or its last reference is released; it ends when its
 * children have ended too.
 *
 * parent may be NULL. A child of a job that is cancelling is cancelling from the start. The caller
 * has a reference. 0; -EINVAL: out is NULL, a flag is unknown, the parent has ended; -ENOMEM.
 */
int kc_job_create(kc_job_t **out, kc_job_t *parent, unsigned flags);

/** Takes one more reference and returns its argument; NULL gives NULL. */
kc_job_t *kc_job_retain(kc_job_t *job);

/** Releases a reference. The job continues. NULL is ignored. */
void kc_job_release(kc_job_t *job);

/** The job of the calling coroutine; NULL if there is none. Borrowed. */
kc_job_t *kc_job_current(void);

/**
 * Cancels it and all below it. `reason` becomes the result code, as a negative number whichever
 * sign it has; 0: KC_ECANCELED. The first reason counts. 0; -EALREADY: it has ended; -EINVAL: NULL.
 */
int kc_job_cancel(kc_job_t *job, int reason);

/**
 * Reports that the job's own work failed with `code`, which is not 0: all jobs below it are
 * cancelled, it ends as FAILED, and its parent is notified. Called by the work, before it returns.
 * Same results as cancel.
 */
int kc_job_fail(kc_job_t *job, int code);

/**
 * Waits for its end. out_result_code may be NULL. 0: COMPLETED; else the result code, which is
 * negative; -EINVAL: NULL; -EDEADLK: a job that waits for itself or for a job above it. Parks the
 * coroutine, or the thread.
 */
int kc_job_join(kc_job_t *job, int *out_result_code);

/** Its state now. NULL counts as KC_JOB_FAILED. */
kc_job_state_t kc_job_state(const kc_job_t *job);

/** The result code: 0, or why it failed or was cancelled; 0 while it has not ended. */
int kc_job_result_code(const kc_job_t *job);

/**
 * Makes a child job and a coroutine that runs fn(arg) as that job, where KC_CTX_KEY_DISPATCHER of
 * its context says. It is cancelled at the context's KC_CTX_KEY_DEADLINE.
 *
 * parent may be NULL: then the job of the caller; if there is none, it is a root. ctx may be NULL:
 * then the caller's context; the coroutine's has the job and its token in addition. out_job may be
 * NULL; it gets a reference. stack_size as in kcoro_create. 0; -EINVAL; -ENOMEM; KC_ECANCELED: the
 * parent is cancelling or has ended.
 */
int kc_job_launch(kc_job_t *parent, struct kc_context *ctx, kcoro_fn_t fn, void *arg,
                  size_t stack_size, kc_job_t **out_job);

#ifdef __cplusplus
}
#endif

#endif
