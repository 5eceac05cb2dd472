// SPDX-License-Identifier: BSD-3-Clause
// What the headers of coroutines promise of sizes, offsets and numbers, as a C compiler sees them.
// The Rust side asserts the same numbers. Each header is included twice.

#include "kc_actor_bench.h"
#include "kc_actor_bench.h"
#include "kc_blocking.h"
#include "kc_blocking.h"
#include "kc_context.h"
#include "kc_context.h"
#include "kc_job.h"
#include "kc_job.h"
#include "kcoro_bench.h"
#include "kcoro_bench.h"
#include "kcoro_core.h"
#include "kcoro_core.h"
#include "kcoro_dispatch.h"
#include "kcoro_dispatch.h"
#include "kcoro_sched.h"
#include "kcoro_sched.h"
#include "kcoro_unified.h"
#include "kcoro_unified.h"

#include <stddef.h>

#ifdef __cplusplus
#define HOLDS(condition) static_assert(condition, #condition)
#else
#define HOLDS(condition) _Static_assert(condition, #condition)
#endif

#define AT(field, offset) HOLDS(offsetof(struct kcoro, field) == offset)

AT(reg, 0);
AT(state, 256);
AT(fn, 264);
AT(arg, 272);
AT(id, 280);
AT(main_co, 288);
AT(scheduler, 296);
AT(ready_enqueued, 304);
AT(running_flag, 308);
AT(park_notify, 312);
AT(refcount, 316);
AT(stack_ptr, 320);
AT(stack_size, 328);
AT(next, 336);
AT(prev, 344);
AT(name, 352);
AT(last_send_delivered, 360);
HOLDS(sizeof(struct kcoro) == 368);
HOLDS(sizeof(kcoro_state_t) == 4);
HOLDS(KCORO_CREATED == 0 && KCORO_READY == 1 && KCORO_RUNNING == 2);
HOLDS(KCORO_SUSPENDED == 3 && KCORO_PARKED == 4 && KCORO_FINISHED == 5);

HOLDS(sizeof(kc_sched_opts_t) == 12);
HOLDS(sizeof(kc_sched_stats_t) == 72);
HOLDS(sizeof(kc_timer_handle_t) == 8);
HOLDS(sizeof(kc_actor_ctx_t) == 40);
HOLDS(offsetof(kc_actor_ctx_t, process) == 24 && offsetof(kc_actor_ctx_t, user) == 32);
HOLDS(sizeof(kc_actor_ctx_ex_t) == 48);
HOLDS(offsetof(kc_actor_ctx_ex_t, cancel) == 40);
HOLDS(sizeof(kc_bench_params_t) == 48);
HOLDS(offsetof(kc_bench_params_t, packet_size) == 32);
HOLDS(sizeof(kc_actor_bench_config_t) == 48);
HOLDS(sizeof(kc_actor_bench_result_t) == 56);
HOLDS(KC_JOB_ACTIVE == 0 && KC_JOB_CANCELLING == 1 && KC_JOB_CANCELLED == 2);
HOLDS(KC_JOB_COMPLETED == 3 && KC_JOB_FAILED == 4);
HOLDS(KC_JOB_F_SUPERVISOR == 1 && KC_JOB_F_DETACHED == 2 && KC_JOB_F_TIMEOUT_WRP == 4);

int main(void) {
    return 0;
}
