// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_bench.h
 * @brief Keeps a channel busy, so that its counters can be watched.
 *
 * A tool's header: not part of the library's promise of stability. Any thread.
 */
#ifndef KCORO_BENCH_H
#define KCORO_BENCH_H

#include <stddef.h>

#include "kcoro.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_bench_handle kc_bench_handle_t;

typedef struct kc_bench_params {
    int kind;              /**< as in kc_chan_make */
    size_t capacity;       /**< as in kc_chan_make */
    int producers;         /**< coroutines that send, 1 to 1048576 */
    int consumers;         /**< coroutines that receive, 1 to 1048576 */
    int packets_per_cycle; /**< sends of a producer between two yields, at least 1 */
    int spin_iters;        /**< attempts without waiting before one that waits */
    size_t packet_size;    /**< bytes that a packet counts for, in pointer mode */
    int pointer_mode;      /**< 1: a pointer channel; 0: a channel of int */
} kc_bench_params_t;

/**
 * Makes a channel and starts coroutines on kc_sched_default() that send and receive without end.
 *
 * out_chan may be NULL; it gets the channel, borrowed until kc_bench_chan_stop. 0; -EINVAL: an
 * argument is out of range; -ENOMEM.
 */
int kc_bench_chan_start(const kc_bench_params_t *params, kc_bench_handle_t **out_handle,
                        kc_chan_t **out_chan);

/** Closes the channel, waits for all coroutines, frees channel and handle. NULL is ignored. */
void kc_bench_chan_stop(kc_bench_handle_t *handle);

#ifdef __cplusplus
}
#endif

#endif
