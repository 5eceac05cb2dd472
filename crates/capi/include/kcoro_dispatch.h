// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_dispatch.h
 * @brief Dispatchers: counted handles of schedulers, by purpose.
 *
 * Every function may be called by any thread, coroutines included. A function that returns
 * a dispatcher returns a reference that the caller releases with kc_dispatcher_release.
 */
#ifndef KCORO_DISPATCH_H
#define KCORO_DISPATCH_H

#include <stddef.h>

#include "kcoro_core.h"
#include "kcoro_sched.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_dispatcher kc_dispatcher_t;

/** Takes one more reference and returns its argument; NULL gives NULL. */
kc_dispatcher_t *kc_dispatcher_retain(kc_dispatcher_t *dispatcher);

/**
 * Releases a reference. With the last one of a dispatcher made by kc_dispatcher_new its scheduler
 * is shut down, as by kc_sched_shutdown. NULL is ignored.
 */
void kc_dispatcher_release(kc_dispatcher_t *dispatcher);

/** The default scheduler's. NULL: it cannot be made. */
kc_dispatcher_t *kc_dispatcher_default(void);

/**
 * For calls that block their thread: workers of its own, as many as there are CPUs, at least 64 and
 * at most 256. Made by the first call, lasts as long as the process. NULL: it cannot be made.
 */
kc_dispatcher_t *kc_dispatcher_io(void);

/**
 * One with workers of its own, at most 256; 0 or less: one for each CPU. NULL: no memory or
 * threads.
 */
kc_dispatcher_t *kc_dispatcher_new(int workers);

/** Its scheduler, borrowed; NULL for NULL. */
kc_sched_t *kc_dispatcher_scheduler(kc_dispatcher_t *dispatcher);

/** As kc_spawn. */
int kc_dispatcher_spawn(kc_dispatcher_t *dispatcher, kc_task_fn fn, void *arg);

/** As kc_spawn_co. */
int kc_dispatcher_spawn_co(kc_dispatcher_t *dispatcher, kcoro_fn_t fn, void *arg,
                           size_t stack_size, kcoro_t **out_co);

#ifdef __cplusplus
}
#endif

#endif
