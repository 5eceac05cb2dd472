// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_core.h
 * @brief Coroutines: create, resume, yield, park, unpark.
 *
 * Two ways to run a coroutine:
 *
 *   manual      kcoro_create, kcoro_resume. It runs on a stack of its own and in the thread that
 *               resumes it, until it yields, parks, waits or ends; then kcoro_resume returns. No
 *               scheduler takes part: a wake makes it READY, and the program resumes it.
 *   scheduled   kc_spawn_co in kcoro_sched.h. A worker runs it, and resumes it when it was woken.
 *
 * States, and their transitions:
 *
 *   CREATED --resume--> RUNNING --return--> FINISHED
 *   RUNNING --yield, or it resumes another--> SUSPENDED --resume--> RUNNING
 *   RUNNING --park, or an operation that waits--> PARKED --unpark--> READY --resume--> RUNNING
 *
 * A coroutine is used by one thread at a time, except for functions marked "any thread". A manual
 * coroutine may be resumed by different threads, one after another, if the code that runs in it
 * keeps no addresses of thread-local variables across a yield.
 *
 * Stacks have a guard below them: running over the end is reported on standard error, and ends the
 * process.
 */
#ifndef KCORO_CORE_H
#define KCORO_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kcoro kcoro_t;
typedef struct kcoro_sched kcoro_sched_t;

/** The function of a coroutine. It must not leave by longjmp or by an exception. */
typedef void (*kcoro_fn_t)(void *arg);

typedef enum {
    KCORO_CREATED,   /**< not started */
    KCORO_READY,     /**< woken; runs when it is resumed */
    KCORO_RUNNING,   /**< runs now */
    KCORO_SUSPENDED, /**< yielded, or resumed another that runs now */
    KCORO_PARKED,    /**< waits to be woken */
    KCORO_FINISHED   /**< its function has returned */
} kcoro_state_t;

/**
 * The public part of a coroutine. The fields belong to the library: read `state`, `main_co`,
 * `id`, `name`, `fn`, `arg`, `stack_size` where the coroutine does not run at that moment, write
 * none. Only the library makes objects of this type.
 */
struct kcoro {
    void *reg[32];           /**< reserved (offset 0) */
    kcoro_state_t state;     /**< offset 256 */
    kcoro_fn_t fn;           /**< its function (264) */
    void *arg;               /**< and its argument (272) */
    uint64_t id;             /**< unique in the process, never 0 (280) */
    kcoro_t *main_co;        /**< gets control when it yields (288) */
    kcoro_sched_t *scheduler; /**< the kc_sched_t that owns it; NULL: driven manually (296) */
    bool ready_enqueued;     /**< passed to a scheduler (304) */
    int running_flag;        /**< 1 while it runs (308) */
    int park_notify;         /**< 0 nothing, 1 a wake is pending, 2 parked (312) */
    int refcount;            /**< references (316) */
    void *stack_ptr;         /**< reserved (320) */
    size_t stack_size;       /**< bytes (328) */
    kcoro_t *next;           /**< reserved (336) */
    kcoro_t *prev;           /**< reserved (344) */
    const char *name;        /**< see kcoro_set_name (352) */
    int last_send_delivered; /**< reserved (360) */
};

/**
 * Makes a coroutine that runs fn(arg) when it is first resumed. One reference, the caller's.
 *
 * stack_size in bytes; 0 is 64 KiB, less than 64 KiB is taken as 64 KiB; rounded up. NULL if fn is
 * NULL or there is no memory. Any thread.
 */
kcoro_t *kcoro_create(kcoro_fn_t fn, void *arg, size_t stack_size);

/**
 * Releases a reference, as kcoro_release. NULL is ignored.
 *
 * If it was the last one and the coroutine has not finished, it is abandoned in place: its waits
 * are unlinked, and the C frames on its stack are not run to their ends. One that runs, or that a
 * scheduler owns, is kept by that until it yields or ends. Any thread.
 */
void kcoro_destroy(kcoro_t *co);

/** Names it for reports. The text is kept by address: it must live as long as the coroutine. */
void kcoro_set_name(kcoro_t *co, const char *name);

/**
 * Runs `co` in this thread until it yields, parks, waits or ends. Calls may nest: the caller, if it
 * is a coroutine, is SUSPENDED meanwhile.
 *
 * NULL, FINISHED and one that is running already: no effect. PARKED: it continues as if woken; a
 * waiting operation checks, and parks again if it still must. A coroutine that a scheduler
 * owns is woken, as by kcoro_unpark.
 */
void kcoro_resume(kcoro_t *co);

/** The calling coroutine; or the thread's main coroutine; or NULL. Borrowed. */
kcoro_t *kcoro_current(void);

/** The calling thread's main coroutine, or NULL. Borrowed. */
kcoro_t *kcoro_thread_main(void);

/** Takes one more reference. NULL is ignored. Any thread. */
void kcoro_retain(kcoro_t *co);

/** Releases a reference; see kcoro_destroy. Any thread. */
void kcoro_release(kcoro_t *co);

/**
 * Manual: returns control to the resumer. Scheduled: moves to the end of its worker's queue.
 * Outside a coroutine: no effect.
 */
void kcoro_yield(void);

/**
 * Lets `target_co` run at once instead of the caller. Between manual coroutines the caller is
 * SUSPENDED, and when the target yields, control goes to the caller's resumer. To the thread's
 * main coroutine: as kcoro_yield. To a scheduled one: it is woken and the caller yields.
 */
void kcoro_yield_to(kcoro_t *target_co);

/**
 * Waits until kcoro_unpark. If that came before, returns at once and consumes it; any number of
 * wakes before a park count as one. kcoro_resume ends the wait of a manual coroutine too. Outside a
 * coroutine: no effect.
 */
void kcoro_park(void);

/**
 * Wakes `co` from its kcoro_park, or from its next one. Does not end a wait in another operation. A
 * manual coroutine only becomes READY. NULL and FINISHED are ignored. Any thread that holds a
 * reference.
 */
void kcoro_unpark(kcoro_t *co);

/** 1 while it waits, in kcoro_park or in another operation; else 0. Any thread. */
int kcoro_is_parked(const kcoro_t *co);

/**
 * Makes a main coroutine, which stands for the calling thread, and installs it: kcoro_current() is
 * not NULL from now on. If there is one already, returns that. The caller has a reference; when it
 * is released, the thread's own is released too, if there is no other. NULL: no memory.
 */
kcoro_t *kcoro_create_main(void);

/**
 * Installs a main coroutine made by kcoro_create_main in the calling thread; NULL: removes it.
 */
void kcoro_set_thread_main(kcoro_t *main_co);

/**
 * The switch behind the others: stops `from_co`, which must be the caller, and continues with
 * `to_co`, as kcoro_yield_to. Returns from_co when it runs again; NULL if it cannot be done.
 */
extern void *kcoro_switch(kcoro_t *from_co, kcoro_t *to_co);

/** The place to which a coroutine would return past its end: reports that and aborts the
 * process. */
void kcoro_funcp_protector(void);

#ifdef __cplusplus
}
#endif

#endif
