// SPDX-License-Identifier: BSD-3-Clause
// Coroutines made by hand: resume, yield, park, nesting, references.

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "kcoro_core.h"

static int steps[64];
static int steps_len;

static void step(int what) {
    EXPECT(steps_len < 64);
    steps[steps_len++] = what;
}

static void expect_steps(const int *expected, int len) {
    EXPECT_EQ(steps_len, len);
    for (int i = 0; i < len; i++) {
        EXPECT_EQ(steps[i], expected[i]);
    }
    steps_len = 0;
}

static void three_steps(void *arg) {
    int first = *(int *)arg;
    step(first);
    kcoro_yield();
    step(first + 1);
    kcoro_yield();
    step(first + 2);
}

static void runs_where_it_is_resumed(void) {
    int first = 10;
    kcoro_t *co = kcoro_create(three_steps, &first, 0);
    EXPECT(co != NULL);
    EXPECT_EQ(co->state, KCORO_CREATED);
    EXPECT(co->fn == three_steps && co->arg == &first && co->scheduler == NULL);
    EXPECT_EQ(co->stack_size, 64 * 1024);
    EXPECT(co->id != 0);
    step(0);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_SUSPENDED);
    step(1);
    kcoro_resume(co);
    step(2);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_resume(co);
    kcoro_resume(NULL);
    const int expected[] = {0, 10, 1, 11, 2, 12};
    expect_steps(expected, 6);
    kcoro_destroy(co);
    kcoro_destroy(NULL);
}

static void nothing_to_make(void) {
    EXPECT(kcoro_create(NULL, NULL, 0) == NULL);
    kcoro_t *big = kcoro_create(three_steps, NULL, 1024 * 1024);
    EXPECT(big != NULL && big->stack_size >= 1024 * 1024);
    // Never started: nothing of it runs.
    kcoro_destroy(big);
    EXPECT_EQ(steps_len, 0);
}

static void knows_itself(void *arg) {
    kcoro_t **self = (kcoro_t **)arg;
    EXPECT(kcoro_current() == *self);
    EXPECT_EQ((*self)->state, KCORO_RUNNING);
    EXPECT_EQ((*self)->running_flag, 1);
    kcoro_yield();
    EXPECT(kcoro_current() == *self);
}

static void current_is_who_runs(void) {
    EXPECT(kcoro_current() == NULL);
    kcoro_t *co = NULL;
    co = kcoro_create(knows_itself, &co, 0);
    kcoro_resume(co);
    EXPECT(kcoro_current() == NULL);
    EXPECT_EQ(co->running_flag, 0);
    // Without a main coroutine there is still something to yield to.
    EXPECT(co->main_co != NULL);
    EXPECT(kcoro_thread_main() == NULL);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_destroy(co);
}

static void sees_main(void *arg) {
    kcoro_t *main_co = (kcoro_t *)arg;
    EXPECT(kcoro_thread_main() == main_co);
    EXPECT(kcoro_current()->main_co == main_co);
    EXPECT_EQ(main_co->state, KCORO_SUSPENDED);
    kcoro_yield_to(kcoro_current()->main_co);
    step(1);
}

static void a_main_coroutine_stands_for_the_thread(void) {
    kcoro_t *main_co = kcoro_create_main();
    EXPECT(main_co != NULL);
    EXPECT(kcoro_current() == main_co && kcoro_thread_main() == main_co);
    kcoro_set_thread_main(main_co);
    EXPECT(kcoro_current() == main_co);
    kcoro_t *co = kcoro_create(sees_main, main_co, 0);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_SUSPENDED);
    EXPECT(kcoro_current() == main_co);
    EXPECT_EQ(main_co->state, KCORO_RUNNING);
    kcoro_resume(co);
    const int expected[] = {1};
    expect_steps(expected, 1);
    kcoro_destroy(co);
    kcoro_set_thread_main(NULL);
    EXPECT(kcoro_current() == NULL);
    kcoro_set_thread_main(main_co);
    EXPECT(kcoro_current() == main_co);
    kcoro_destroy(main_co);
    EXPECT(kcoro_current() == NULL);
    // Outside a coroutine these do nothing.
    kcoro_yield();
    kcoro_park();
    kcoro_yield_to(NULL);
}

static void inner(void *arg) {
    kcoro_t *outer_co = (kcoro_t *)arg;
    EXPECT_EQ(outer_co->state, KCORO_SUSPENDED);
    step(2);
    kcoro_yield();
    step(4);
}

static void outer(void *arg) {
    (void)arg;
    kcoro_t *self = kcoro_current();
    kcoro_t *co = kcoro_create(inner, self, 0);
    step(1);
    kcoro_resume(co);
    EXPECT(kcoro_current() == self);
    EXPECT_EQ(self->state, KCORO_RUNNING);
    EXPECT(co->main_co == self);
    step(3);
    // It runs already: nothing happens.
    kcoro_resume(self);
    kcoro_yield();
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_destroy(co);
    step(5);
}

static void resumes_nest(void) {
    kcoro_t *co = kcoro_create(outer, NULL, 0);
    kcoro_resume(co);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    const int expected[] = {1, 2, 3, 4, 5};
    expect_steps(expected, 5);
    kcoro_destroy(co);
}

static kcoro_t *relay[3];

static void relay_run(void *arg) {
    int index = *(int *)arg;
    step(index);
    kcoro_yield_to(relay[(index + 1) % 3]);
    step(10 + index);
}

static void yield_to_goes_on_elsewhere(void) {
    static int indices[3] = {0, 1, 2};
    for (int i = 0; i < 3; i++) {
        relay[i] = kcoro_create(relay_run, &indices[i], 0);
    }
    // 0 goes on as 1, 1 as 2, 2 as 0, which ends; then control is here again.
    kcoro_resume(relay[0]);
    EXPECT_EQ(relay[0]->state, KCORO_FINISHED);
    EXPECT_EQ(relay[1]->state, KCORO_SUSPENDED);
    EXPECT_EQ(relay[2]->state, KCORO_SUSPENDED);
    kcoro_resume(relay[2]);
    kcoro_resume(relay[1]);
    const int expected[] = {0, 1, 2, 10, 12, 11};
    expect_steps(expected, 6);
    // On a plain thread it is a resume.
    kcoro_t *co = kcoro_create(three_steps, &indices[0], 0);
    kcoro_yield_to(co);
    EXPECT_EQ(co->state, KCORO_SUSPENDED);
    steps_len = 0;
    kcoro_destroy(co);
    for (int i = 0; i < 3; i++) {
        kcoro_destroy(relay[i]);
    }
}

static void switches(void *arg) {
    (void)arg;
    kcoro_t *self = kcoro_current();
    void *back = kcoro_switch(self, self->main_co);
    EXPECT(back == self);
    step(1);
}

static void the_switch_itself(void) {
    kcoro_t *main_co = kcoro_create_main();
    kcoro_t *co = kcoro_create(switches, NULL, 0);
    EXPECT(kcoro_switch(main_co, co) == main_co);
    EXPECT_EQ(co->state, KCORO_SUSPENDED);
    EXPECT(kcoro_switch(co, main_co) == NULL);
    EXPECT(kcoro_switch(main_co, NULL) == NULL);
    EXPECT(kcoro_switch(main_co, co) == main_co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    steps_len = 0;
    kcoro_destroy(co);
    kcoro_destroy(main_co);
}

static void parks_twice(void *arg) {
    (void)arg;
    step(1);
    kcoro_park();
    step(2);
    kcoro_park();
    step(3);
}

static void a_wake_only_makes_it_ready(void) {
    kcoro_t *co = kcoro_create(parks_twice, NULL, 0);
    EXPECT_EQ(kcoro_is_parked(co), 0);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_PARKED);
    EXPECT_EQ(kcoro_is_parked(co), 1);
    EXPECT_EQ(co->park_notify, 2);
    kcoro_unpark(co);
    EXPECT_EQ(co->state, KCORO_READY);
    EXPECT_EQ(kcoro_is_parked(co), 0);
    kcoro_unpark(co);
    EXPECT_EQ(steps_len, 1);
    kcoro_resume(co);
    // Both wakes were one, and it is used up.
    EXPECT_EQ(co->state, KCORO_PARKED);
    // Resuming it ends the wait as well.
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_unpark(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    const int expected[] = {1, 2, 3};
    expect_steps(expected, 3);
    EXPECT_EQ(kcoro_is_parked(NULL), 0);
    kcoro_unpark(NULL);
    kcoro_destroy(co);
}

static void a_wake_before_the_park_is_kept(void) {
    kcoro_t *co = kcoro_create(parks_twice, NULL, 0);
    kcoro_unpark(co);
    kcoro_unpark(co);
    kcoro_resume(co);
    EXPECT_EQ(steps_len, 2);
    EXPECT_EQ(co->state, KCORO_PARKED);
    steps_len = 0;
    // It is destroyed where it waits.
    kcoro_destroy(co);
}

static void *unparks(void *arg) {
    kcoro_unpark((kcoro_t *)arg);
    return NULL;
}

static void parks_many_times(void *arg) {
    for (int i = 0; i < *(int *)arg; i++) {
        kcoro_park();
    }
}

static void any_thread_may_wake(void) {
    int times = 200;
    kcoro_t *co = kcoro_create(parks_many_times, &times, 0);
    kcoro_resume(co);
    for (int i = 0; i < times; i++) {
        EXPECT_EQ(co->state, KCORO_PARKED);
        pthread_t thread;
        EXPECT_EQ(pthread_create(&thread, NULL, unparks, co), 0);
        pthread_join(thread, NULL);
        EXPECT_EQ(co->state, KCORO_READY);
        kcoro_resume(co);
    }
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_destroy(co);
}

static void *resumes(void *arg) {
    kcoro_resume((kcoro_t *)arg);
    return NULL;
}

static void one_thread_after_another(void) {
    int first = 20;
    kcoro_t *co = kcoro_create(three_steps, &first, 0);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        EXPECT_EQ(pthread_create(&thread, NULL, resumes, co), 0);
        pthread_join(thread, NULL);
    }
    EXPECT_EQ(co->state, KCORO_FINISHED);
    const int expected[] = {20, 21, 22};
    expect_steps(expected, 3);
    kcoro_destroy(co);
}

static void destroys_itself(void *arg) {
    (void)arg;
    // The resumer's hold keeps it until it gives control back.
    kcoro_destroy(kcoro_current());
    step(1);
    kcoro_yield();
    step(2);
}

static void references_keep_it(void) {
    int first = 0;
    kcoro_t *co = kcoro_create(three_steps, &first, 0);
    EXPECT_EQ(co->refcount, 1);
    kcoro_retain(co);
    EXPECT_EQ(co->refcount, 2);
    kcoro_destroy(co);
    EXPECT_EQ(co->refcount, 1);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_SUSPENDED);
    kcoro_release(co);
    kcoro_retain(NULL);
    kcoro_release(NULL);
    steps_len = 0;

    kcoro_resume(kcoro_create(destroys_itself, NULL, 0));
    const int expected[] = {1};
    expect_steps(expected, 1);
}

static void prints(void *arg) {
    char text[256];
    snprintf(text, sizeof text, "%s %d %.3f %p", (const char *)arg, 42, 2.5, arg);
    EXPECT(strstr(text, "42 2.500") != NULL);
}

static void small_stacks_are_made_to_fit(void) {
    static char what[] = "hello";
    kcoro_t *co = kcoro_create(prints, what, 1);
    EXPECT(co->stack_size >= 64 * 1024);
    kcoro_set_name(co, "printer");
    EXPECT(strcmp(co->name, "printer") == 0);
    kcoro_set_name(NULL, "none");
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_destroy(co);
}

static void many_at_once(void) {
    enum { MANY = 5000 };
    static kcoro_t *all[MANY];
    int times = 3;
    for (int i = 0; i < MANY; i++) {
        all[i] = kcoro_create(parks_many_times, &times, 0);
        EXPECT(all[i] != NULL);
        kcoro_resume(all[i]);
    }
    for (int i = 0; i < MANY; i++) {
        if (i % 2 == 0) {
            for (int turn = 0; turn < times; turn++) {
                kcoro_resume(all[i]);
            }
            EXPECT_EQ(all[i]->state, KCORO_FINISHED);
        }
        kcoro_destroy(all[i]);
    }
}

static void *parks_as_thread(void *arg) {
    kcoro_t *main_co = kcoro_create_main();
    EXPECT(main_co != NULL);
    *(kcoro_t **)arg = main_co;
    kcoro_retain(main_co);
    kcoro_unpark(main_co);
    // Was woken before.
    kcoro_park();
    return NULL;
}

static void a_main_coroutine_parks_its_thread(void) {
    kcoro_t *main_co = NULL;
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, parks_as_thread, &main_co), 0);
    pthread_join(thread, NULL);
    kcoro_release(main_co);
    kcoro_release(main_co);
}

static void the_place_behind_the_end(void) {
    int fds[2];
    EXPECT_EQ(pipe(fds), 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        dup2(fds[1], 2);
        kcoro_funcp_protector();
        _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char said[256] = "";
    EXPECT(read(fds[0], said, sizeof said - 1) > 0);
    EXPECT(strstr(said, "behind its end") != NULL);
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    RUN(the_place_behind_the_end);
    RUN(runs_where_it_is_resumed);
    RUN(nothing_to_make);
    RUN(current_is_who_runs);
    RUN(a_main_coroutine_stands_for_the_thread);
    RUN(resumes_nest);
    RUN(yield_to_goes_on_elsewhere);
    RUN(the_switch_itself);
    RUN(a_wake_only_makes_it_ready);
    RUN(a_wake_before_the_park_is_kept);
    RUN(any_thread_may_wake);
    RUN(one_thread_after_another);
    RUN(references_keep_it);
    RUN(small_stacks_are_made_to_fit);
    RUN(many_at_once);
    RUN(a_main_coroutine_parks_its_thread);
    return 0;
}
