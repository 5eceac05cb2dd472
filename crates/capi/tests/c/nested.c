// SPDX-License-Identifier: BSD-3-Clause
// GCC's nested functions: a pointer to one that uses the caller's variables leads to code on the
// caller's stack. The linker marks such a program, and coroutines have executable stacks then.

#include "expect.h"

#include "kcoro_sched.h"

#if defined(__GNUC__) && !defined(__clang__) && !defined(__cplusplus)

#pragma GCC diagnostic ignored "-Wpedantic"

static int applied(int (*function)(int), int times) {
    int value = 0;
    for (int i = 0; i < times; i++) {
        value = function(value);
    }
    return value;
}

static void nests(void *arg) {
    int step = *(int *)arg;
    int calls = 0;
    int add(int value) {
        calls++;
        return value + step;
    }
    EXPECT_EQ(applied(add, 10), 10 * step);
    kc_yield();
    EXPECT_EQ(applied(add, 5), 5 * step);
    EXPECT_EQ(calls, 15);
}

#else

static void nests(void *arg) {
    EXPECT(*(int *)arg > 0);
}

#endif

int main(void) {
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    EXPECT(sched != NULL);
    int steps[2] = {3, 7};
    EXPECT_EQ(kc_spawn_co(sched, nests, &steps[0], 0, NULL), 0);
    EXPECT_EQ(kc_spawn(sched, nests, &steps[1]), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    kc_sched_shutdown(sched);
    return 0;
}
