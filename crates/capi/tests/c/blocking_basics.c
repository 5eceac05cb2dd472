// SPDX-License-Identifier: BSD-3-Clause
// Calls that block, and descriptors, from coroutines and from threads. And the tools that keep
// channels and actors busy.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "expect.h"
#include "kc_actor_bench.h"
#include "kc_blocking.h"
#include "kc_context.h"
#include "kcoro.h"
#include "kcoro_bench.h"
#include "kcoro_core.h"
#include "kcoro_sched.h"

static counter_t gate = COUNTER_INIT;
static counter_t others = COUNTER_INIT;

static int blocks(void *arg) {
    counter_wait(&gate, 1);
    return *(int *)arg;
}

static void opens_the_gate(void *arg) {
    (void)arg;
    counter_add(&gate, 1);
}

static void calls(void *arg) {
    int status = 0;
    EXPECT_EQ(kc_block_call(blocks, arg, -1, &status), 0);
    EXPECT_EQ(status, *(int *)arg);
    counter_add(&others, 1);
}

static void a_blocking_call_leaves_the_worker_to_others(void) {
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    int status = 17;
    EXPECT_EQ(kc_spawn_co(sched, calls, &status, 0, NULL), 0);
    // On the same worker, the only one.
    EXPECT_EQ(kc_spawn_co(sched, opens_the_gate, NULL, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&others), 1);
    kc_sched_shutdown(sched);
}

static int returns(void *arg) {
    return *(int *)arg;
}

static void a_thread_may_call_too(void) {
    int what = -3, status = 0;
    EXPECT_EQ(kc_block_call(returns, &what, -1, &status), 0);
    EXPECT_EQ(status, -3);
    EXPECT_EQ(kc_block_call(returns, &what, -1, NULL), 0);
    EXPECT_EQ(kc_block_call(NULL, &what, -1, &status), -EINVAL);
}

static counter_t late = COUNTER_INIT;

static int waits_long(void *arg) {
    counter_wait(&late, 1);
    counter_add((counter_t *)arg, 1);
    return 0;
}

static void a_call_that_takes_too_long(void) {
    static counter_t returned = COUNTER_INIT;
    EXPECT_EQ(kc_block_call(waits_long, &returned, 5, NULL), -ETIMEDOUT);
    counter_add(&late, 1);
    // Whether it had started or not: it must not be running when this returns.
    int what = 1;
    EXPECT_EQ(kc_block_call(returns, &what, -1, NULL), 0);
}

struct ends {
    int fds[2];
    counter_t read;
};

static void reads(void *arg) {
    struct ends *ends = (struct ends *)arg;
    char text[8] = "";
    EXPECT_EQ(kc_io_read(ends->fds[0], text, 5, -1), 5);
    EXPECT(memcmp(text, "hello", 5) == 0);
    counter_add(&ends->read, 1);
    // The other side closes: what came before, and then nothing.
    EXPECT_EQ(kc_io_read(ends->fds[0], text, 8, -1), 3);
    EXPECT_EQ(kc_io_read(ends->fds[0], text, 8, -1), 0);
}

static void waits_in_vain(void *arg) {
    char byte;
    int fd = *(int *)arg;
    EXPECT_EQ(kc_io_wait_readable(fd, 0), -ETIMEDOUT);
    EXPECT_EQ(kc_io_wait_readable(fd, 2), -ETIMEDOUT);
    EXPECT_EQ(kc_io_read(fd, &byte, 1, 2), -ETIMEDOUT);
}

static void an_empty_pipe_times_out(void) {
    int fds[2];
    EXPECT_EQ(pipe(fds), 0);
    waits_in_vain(&fds[0]);
    EXPECT_EQ(kc_spawn_co(kc_sched_default(), waits_in_vain, &fds[0], 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    close(fds[0]);
    close(fds[1]);
}

static void a_pipe_is_read(void) {
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    struct ends ends = {{0, 0}, COUNTER_INIT};
    EXPECT_EQ(pipe(ends.fds), 0);
    EXPECT_EQ(kc_spawn_co(sched, reads, &ends, 0, NULL), 0);
    EXPECT_EQ(kc_io_wait_writable(ends.fds[1], 0), 0);
    EXPECT_EQ(kc_io_write(ends.fds[1], "he", 2, -1), 2);
    EXPECT_EQ(kc_io_write(ends.fds[1], "llo", 3, -1), 3);
    counter_wait(&ends.read, 1);
    EXPECT_EQ(kc_io_write(ends.fds[1], "end", 3, -1), 3);
    close(ends.fds[1]);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    close(ends.fds[0]);
    kc_sched_shutdown(sched);
}

enum { MUCH = 300 * 1000 };

static void writes_much(void *arg) {
    int fd = *(int *)arg;
    char *bytes = (char *)malloc(MUCH);
    for (int i = 0; i < MUCH; i++) {
        bytes[i] = (char)(i * 7);
    }
    EXPECT_EQ(kc_io_write(fd, bytes, MUCH, -1), MUCH);
    free(bytes);
}

static void reads_much(void *arg) {
    int fd = *(int *)arg;
    char *bytes = (char *)malloc(MUCH);
    EXPECT_EQ(kc_io_read(fd, bytes, MUCH, -1), MUCH);
    for (int i = 0; i < MUCH; i++) {
        EXPECT_EQ(bytes[i], (char)(i * 7));
    }
    free(bytes);
}

static void more_than_fits(void) {
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    for (int round = 0; round < 3; round++) {
        int fds[2];
        if (round < 2) {
            EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        } else {
            EXPECT_EQ(pipe(fds), 0);
        }
        if (round == 1) {
            for (int i = 0; i < 2; i++) {
                EXPECT_EQ(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
            }
        }
        // Writer and reader share the one worker.
        EXPECT_EQ(kc_spawn_co(sched, writes_much, &fds[1], 0, NULL), 0);
        EXPECT_EQ(kc_spawn_co(sched, reads_much, &fds[0], 0, NULL), 0);
        EXPECT_EQ(kc_sched_drain(sched, -1), 0);
        close(fds[0]);
        close(fds[1]);
    }
    kc_sched_shutdown(sched);
}

static void cancelled_in_the_middle(void *arg) {
    int *fds = (int *)arg;
    char byte;
    EXPECT_EQ(kc_io_wait_readable(fds[0], -1), KC_ECANCELED);
    EXPECT_EQ(kc_io_read(fds[0], &byte, 1, 1000), KC_ECANCELED);
    EXPECT_EQ(kc_block_call(returns, &fds[0], -1, NULL), KC_ECANCELED);
}

static void launches(void *arg) {
    EXPECT_EQ(kc_spawn_co(kc_sched_default(), cancelled_in_the_middle, arg, 0, NULL), 0);
}

static void a_token_of_the_context_ends_the_wait(void) {
    int fds[2];
    EXPECT_EQ(pipe(fds), 0);
    kc_cancel_t *token = NULL;
    EXPECT_EQ(kc_cancel_init(&token), 0);
    kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_CANCEL, token, NULL);
    EXPECT_EQ(kc_context_with(ctx, launches, fds), 0);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), 5), KC_ETIME);
    kc_cancel_trigger(token);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    kc_context_release(ctx);
    kc_cancel_destroy(token);
    close(fds[0]);
    close(fds[1]);
}

static void what_cannot_be_waited_for(void) {
    EXPECT_EQ(kc_io_wait_readable(-1, -1), -EBADF);
    char byte = 0;
    EXPECT_EQ(kc_io_read(-1, &byte, 1, -1), -EBADF);
    EXPECT_EQ(kc_io_write(-1, &byte, 1, -1), -EBADF);
    int fds[2];
    EXPECT_EQ(pipe(fds), 0);
    EXPECT_EQ(kc_io_read(fds[0], NULL, 1, -1), -EINVAL);
    EXPECT_EQ(kc_io_read(fds[0], NULL, 0, -1), 0);
    close(fds[0]);
    close(fds[1]);
    // A regular file is always ready.
    FILE *file = tmpfile();
    EXPECT(file != NULL);
    EXPECT_EQ(kc_io_write(fileno(file), "abc", 3, -1), 3);
    EXPECT_EQ(kc_io_wait_readable(fileno(file), -1), 0);
    fclose(file);
}

static void a_busy_channel(void) {
    kc_bench_params_t params = {KC_BUFFERED, 64, 2, 2, 16, 4, 32, 0};
    for (int pointer_mode = 0; pointer_mode < 2; pointer_mode++) {
        params.pointer_mode = pointer_mode;
        kc_bench_handle_t *handle = NULL;
        kc_chan_t *chan = NULL;
        EXPECT_EQ(kc_bench_chan_start(&params, &handle, &chan), 0);
        struct kc_chan_stats stats;
        // Exact once quiet: in motion, a receive is counted before its bytes are.
        unsigned long bytes = 1000 * (pointer_mode ? 32 : sizeof(int));
        do {
            EXPECT_EQ(kc_chan_get_stats(chan, &stats), 0);
            kc_yield();
        } while (stats.total_recvs < 1000 || stats.total_bytes_recv < bytes);
        kc_bench_chan_stop(handle);
    }
    kc_bench_handle_t *handle = NULL;
    EXPECT_EQ(kc_bench_chan_start(NULL, &handle, NULL), -EINVAL);
    params.producers = 0;
    EXPECT_EQ(kc_bench_chan_start(&params, &handle, NULL), -EINVAL);
    kc_bench_chan_stop(NULL);
}

static void measured_actors(void) {
    kc_actor_bench_config_t config = {3, 2, 500, 64, 0, 0};
    kc_actor_bench_result_t result;
    for (int spin = 0; spin < 2; spin++) {
        config.use_spin_loops = spin;
        config.spin_iterations = 10;
        EXPECT_EQ(kc_actor_bench_run(&config, &result), 0);
        EXPECT_EQ(result.total_messages_sent, 1500);
        EXPECT_EQ(result.total_messages_received, 1500);
        EXPECT_EQ(result.producer_mismatches, 0);
        EXPECT_EQ(result.consumer_mismatches, 0);
        EXPECT(result.total_time_seconds > 0 && result.messages_per_second > 0);
    }
    EXPECT_EQ(kc_actor_bench_run(NULL, &result), -EINVAL);
    EXPECT_EQ(kc_actor_bench_run(&config, NULL), -EINVAL);
    config.message_size = 8;
    EXPECT_EQ(kc_actor_bench_run(&config, &result), -EINVAL);
}

int main(void) {
    RUN(a_blocking_call_leaves_the_worker_to_others);
    RUN(a_thread_may_call_too);
    RUN(a_call_that_takes_too_long);
    RUN(an_empty_pipe_times_out);
    RUN(a_pipe_is_read);
    RUN(more_than_fits);
    RUN(a_token_of_the_context_ends_the_wait);
    RUN(what_cannot_be_waited_for);
    RUN(a_busy_channel);
    RUN(measured_actors);
    kc_sched_shutdown(kc_sched_default());
    return 0;
}
