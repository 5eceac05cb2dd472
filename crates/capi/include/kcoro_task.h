// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_task.h
 * @brief The running task of a scheduler: kc_spawn's, or a coroutine of kc_spawn_co.
 *
 * An early interface, for programs that were written for it; new ones use kcoro_sched.h and
 * kcoro_core.h. Its functions may be called by any thread. On a plain thread, and in a manual
 * coroutine, there is no task: the getters return NULL there.
 */
#ifndef KCORO_TASK_H
#define KCORO_TASK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kc_sched;

/** A task's number as a pointer: not to be read through. It is never used for another task. */
typedef struct kc_task kc_task_t;
typedef uint64_t kc_task_id_t;

/** Names of states; no function returns one. */
typedef enum {
    KC_TASK_READY,
    KC_TASK_RUNNING,
    KC_TASK_BLOCKED,
    KC_TASK_FINISHED
} kc_task_state_t;

typedef struct kc_task_ctx {
    kc_task_t *current_task;    /**< the caller */
    struct kc_sched *scheduler; /**< the one that it runs on */
    int worker_id;              /**< the index of its worker, from 0 */
} kc_task_ctx_t;

/** About the caller. Borrowed, and valid until the caller yields, waits or ends. */
kc_task_ctx_t *kc_current_task_ctx(void);

/** The caller. */
kc_task_t *kc_current_task(void);

/** As kc_yield. */
void kc_task_yield(void);

/**
 * Waits for kc_task_wake of the caller. Wakes that came before count as one. It may return early:
 * the caller checks its condition again. Without a task it returns at once.
 */
void kc_task_block(void);

/** Wakes a task from kc_task_block, or from its next one. One that has ended, and NULL: nothing. */
void kc_task_wake(kc_task_t *task);

/** As kc_sleep_ms. */
void kc_task_sleep_ms(int ms);

#ifdef __cplusplus
}
#endif

#endif
