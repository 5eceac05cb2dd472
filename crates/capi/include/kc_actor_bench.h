// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kc_actor_bench.h
 * @brief Measures actors: producers that send, actors that receive and check.
 *
 * A tool's header: not part of the library's promise of stability. Any thread.
 */
#ifndef KC_ACTOR_BENCH_H
#define KC_ACTOR_BENCH_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    size_t num_producers;         /**< coroutines that send, 1 to 4096 */
    size_t num_consumers;         /**< actors, each with a channel of its own, 1 to 4096 */
    size_t messages_per_producer; /**< at least 1 */
    size_t message_size;          /**< bytes, at least 16, at most 1 MiB */
    int use_spin_loops;           /**< not 0: try without waiting first */
    size_t spin_iterations;       /**< the number of such attempts */
} kc_actor_bench_config_t;

typedef struct {
    double total_time_seconds;
    double messages_per_second;
    double gigabits_per_second;
    size_t total_messages_sent;
    size_t total_messages_received;
    size_t producer_mismatches; /**< producers that could not send all their messages */
    /** messages that came out of order, damaged, or to the wrong actor */
    size_t consumer_mismatches;
} kc_actor_bench_result_t;

/** Runs it on kc_sched_default() and waits for the end. 0; -EINVAL; -ENOMEM. */
int kc_actor_bench_run(const kc_actor_bench_config_t *config, kc_actor_bench_result_t *result);

#ifdef __cplusplus
}
#endif

#endif
