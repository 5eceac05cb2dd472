// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_sched.h
 * @brief Schedulers: many coroutines on a few threads.
 *
 * A scheduler has workers, which are threads. A coroutine that has started stays on its worker; one
 * that has not may be stolen by an idle worker. Idle workers sleep. Every wait (channels, select,
 * kcoro_park, kc_sleep_ms) parks the coroutine and frees the worker for others.
 *
 * Every function may be called by any thread, coroutines included.
 */
#ifndef KCORO_SCHED_H
#define KCORO_SCHED_H

#include <stddef.h>

#include "kcoro_core.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_sched kc_sched_t;

typedef void (*kc_task_fn)(void *arg);

typedef struct kc_sched_opts {
    int workers;        /**< threads, at most 256; 0 or less: one for each CPU */
    int queue_capacity; /**< coroutines and tasks that wait to start; 0 or less: no bound */
    int inject_q_cap;   /**< of those, from threads that are no workers of it; likewise */
} kc_sched_opts_t;

/**
 * Makes a scheduler and starts its workers. NULL opts: all defaults. NULL: no memory or threads.
 */
kc_sched_t *kc_sched_init(const kc_sched_opts_t *opts);

/**
 * Ends it: coroutines that have not finished are abandoned where they wait (see kcoro_destroy),
 * tasks that have not started never run, workers are joined, the memory is freed. A coroutine that
 * computes without waiting is awaited. NULL is ignored.
 *
 * The handle must not be used afterwards. Called from one of its own workers, it returns at once,
 * and a separate thread does the rest.
 */
void kc_sched_shutdown(kc_sched_t *s);

/**
 * Runs fn(arg) on a worker, without a coroutine's handle: kcoro_current() is NULL there. It may
 * wait all the same, on a stack of 256 KiB. 0, or -1: an argument is NULL, a queue is full, the
 * scheduler ends, no memory.
 */
int kc_spawn(kc_sched_t *s, kc_task_fn fn, void *arg);

/** Lets other coroutines run: in a coroutine on a worker to the end of the queue, elsewhere
 * sched_yield. */
void kc_yield(void);

/**
 * Sleeps `ms` milliseconds, at least; 0 or less returns at once. In a coroutine on a worker the
 * worker runs others; elsewhere, and in a manual coroutine, the thread sleeps.
 */
void kc_sleep_ms(int ms);

/**
 * The default scheduler of the process: created by the first call, one worker for each CPU.
 * Borrowed; NULL if it cannot be made. After kc_sched_shutdown of it the next call makes another.
 */
kc_sched_t *kc_sched_default(void);

/** The scheduler of the calling worker; NULL elsewhere. Borrowed. */
kc_sched_t *kc_sched_current(void);

/**
 * Starts a coroutine that runs fn(arg). stack_size as in kcoro_create.
 *
 * out_co may be NULL. If it is not, it gets a reference that the caller releases with
 * kcoro_release, also after the coroutine has finished. 0, or -1 as in kc_spawn.
 */
int kc_spawn_co(kc_sched_t *s, kcoro_fn_t fn, void *arg, size_t stack_size, kcoro_t **out_co);

/**
 * Makes `co` run on the scheduler. A manual coroutine belongs to the scheduler from now on,
 * whether it has started or not; the scheduler takes a reference of its own. One that is scheduled
 * already is woken, as by kcoro_unpark. NULL and FINISHED are ignored.
 */
void kc_sched_enqueue_ready(kc_sched_t *s, kcoro_t *co);

typedef struct kc_sched_stats {
    unsigned long tasks_submitted;  /**< kc_spawn */
    unsigned long tasks_completed;  /**< of those */
    unsigned long steals_probes;    /**< searches for work elsewhere: those below together */
    unsigned long steals_succeeded; /**< that took something from another worker */
    unsigned long steals_failures;  /**< that found nothing, so that the worker went to sleep */
    unsigned long fastpath_hits;    /**< times that a worker found work of its own */
    unsigned long fastpath_misses;  /**< times that it had none */
    unsigned long inject_pulls;     /**< tasks and coroutines that came from other threads */
    unsigned long donations;        /**< wakes that came from other threads */
} kc_sched_stats_t;

/** Counters since the start; each exact, not all of one instant. NULL is ignored. */
void kc_sched_get_stats(kc_sched_t *s, kc_sched_stats_t *out);

#ifdef KC_SCHED_STEAL_SCAN_MAX
#error "KC_SCHED_STEAL_SCAN_MAX cannot be set: a search for work visits every worker's queue"
#endif

/**
 * Waits until no task and no coroutine of the scheduler is left; the caller does not count.
 *
 * timeout_ms < 0: without a limit; 0: checks once. 0; KC_ETIME (-62): the timeout, and some are
 * left, which may be waiting; -1: NULL. Parks the coroutine, or the thread.
 */
int kc_sched_drain(kc_sched_t *s, long timeout_ms);

/** A timer; id 0: it could not be set. */
typedef struct kc_timer_handle {
    unsigned long long id;
} kc_timer_handle_t;

/**
 * Calls kcoro_unpark(co) in delay_ms milliseconds; 0 or less: at once. Keeps a reference till then.
 */
kc_timer_handle_t kc_sched_timer_wake_after(kc_sched_t *s, kcoro_t *co, long delay_ms);

/** The same at an instant of CLOCK_MONOTONIC, in nanoseconds. */
kc_timer_handle_t kc_sched_timer_wake_at(kc_sched_t *s, kcoro_t *co,
                                         unsigned long long deadline_ns);

/** 1: it was set, and will not fire. 0: it has fired, or there is none of this id. */
int kc_sched_timer_cancel(kc_sched_t *s, kc_timer_handle_t handle);

#ifdef __cplusplus
}
#endif

#endif
