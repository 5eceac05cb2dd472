// SPDX-License-Identifier: BSD-3-Clause
// A stack that runs over its end is reported and ends the process, by hand and scheduled.

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "kcoro_core.h"
#include "kcoro_sched.h"

static int deeper(volatile char *above, int depth) {
    volatile char here[512];
    here[0] = (char)depth;
    // Never true; so that the calls are made.
    if (depth < 0 || above[0] == 'x') {
        return 0;
    }
    return deeper(here, (depth + 1) & 0x3f) + here[0];
}

static void overflows(void *arg) {
    volatile char top[1] = {0};
    *(int *)arg = deeper(top, 0);
}

static void by_hand(void) {
    static int out;
    kcoro_resume(kcoro_create(overflows, &out, 64 * 1024));
}

static void scheduled(void) {
    static int out;
    kc_sched_t *sched = kc_sched_default();
    kc_spawn_co(sched, overflows, &out, 64 * 1024, NULL);
    kc_sched_drain(sched, -1);
}

static void ends_with_a_report(void (*run)(void)) {
    int fds[2];
    EXPECT_EQ(pipe(fds), 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        dup2(fds[1], 2);
        run();
        _exit(0);
    }
    close(fds[1]);
    char said[4096];
    size_t len = 0;
    ssize_t more;
    while ((more = read(fds[0], said + len, sizeof said - 1 - len)) > 0) {
        len += (size_t)more;
    }
    said[len] = 0;
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    fprintf(stderr, "%s", said);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    EXPECT(strstr(said, "overflow") != NULL);
    close(fds[0]);
}

int main(void) {
    ends_with_a_report(by_hand);
    ends_with_a_report(scheduled);
    return 0;
}
