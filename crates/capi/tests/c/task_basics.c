// SPDX-License-Identifier: BSD-3-Clause
// The running task by its handle: which one it is, blocking, waking.

#include "expect.h"
#include "kcoro_abi.h"
#include "kcoro_sched.h"
#include "kcoro_task.h"

#if KCORO_ABI_MAJOR != 0 || KCORO_ABI_MINOR < 2
#error "the interface has another version"
#endif

static kc_sched_t *sched;

struct blocked {
    kc_task_t *task;
    counter_t stage;
    counter_t woken;
};

static void blocks(void *arg) {
    struct blocked *blocked = (struct blocked *)arg;
    blocked->task = kc_current_task();
    kc_task_ctx_t *ctx = kc_current_task_ctx();
    EXPECT(ctx != NULL && ctx->current_task == blocked->task && blocked->task != NULL);
    EXPECT(ctx->scheduler == sched && ctx->scheduler == kc_sched_current());
    EXPECT(ctx->worker_id == 0 || ctx->worker_id == 1);
    int worker = ctx->worker_id;
    counter_add(&blocked->stage, 1);
    while (counter_get(&blocked->woken) == 0) {
        kc_task_block();
    }
    kc_task_yield();
    kc_task_sleep_ms(1);
    // What has started stays on its worker.
    EXPECT_EQ(kc_current_task_ctx()->worker_id, worker);
    EXPECT(kc_current_task() == blocked->task);
    counter_add(&blocked->stage, 1);
}

static void wakes(int as_coroutine) {
    struct blocked blocked = {NULL, COUNTER_INIT, COUNTER_INIT};
    if (as_coroutine) {
        EXPECT_EQ(kc_spawn_co(sched, blocks, &blocked, 0, NULL), 0);
    } else {
        EXPECT_EQ(kc_spawn(sched, blocks, &blocked), 0);
    }
    counter_wait(&blocked.stage, 1);
    // Early, spurious.
    kc_task_wake(blocked.task);
    counter_add(&blocked.woken, 1);
    kc_task_wake(blocked.task);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&blocked.stage), 2);
    // It has ended.
    kc_task_wake(blocked.task);
}

static void a_task_is_woken_by_its_handle(void) {
    wakes(0);
}

static void a_coroutine_is_a_task_too(void) {
    wakes(1);
}

static void is_no_task(void *arg) {
    EXPECT(kc_current_task() == NULL && kc_current_task_ctx() == NULL);
    kc_task_block();
    kc_task_yield();
    *(int *)arg += 1;
}

static void others_are_none(void) {
    int ran = 0;
    is_no_task(&ran);
    kc_task_wake(NULL);
    kc_task_sleep_ms(1);
    kcoro_t *main_co = kcoro_create_main();
    kcoro_t *manual = kcoro_create(is_no_task, &ran, 0);
    kcoro_resume(manual);
    kcoro_destroy(manual);
    kcoro_release(main_co);
    EXPECT_EQ(ran, 2);
}

int main(void) {
    kc_sched_opts_t opts = {2, 0, 0};
    sched = kc_sched_init(&opts);
    EXPECT(sched != NULL);
    RUN(a_task_is_woken_by_its_handle);
    RUN(a_coroutine_is_a_task_too);
    RUN(others_are_none);
    kc_sched_shutdown(sched);
    return 0;
}
