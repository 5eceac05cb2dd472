// SPDX-License-Identifier: BSD-3-Clause
// What the environment variables of debugging show: the test of the lines is in channels.rs.

#include "expect.h"
#include "kcoro.h"
#include "kcoro_core.h"
#include "kcoro_ext.h"
#include "kcoro_sched.h"

static void ends(void *arg) {
    (void)arg;
}

int main(void) {
    kc_sched_opts_t opts = {1, 1, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    kc_chan_t *ch = NULL;
    kcoro_t *co = NULL;
    EXPECT_EQ(kc_chan_make(&ch, KC_BUFFERED, sizeof(int), 3), 0);
    EXPECT_EQ(kc_chan_close_ex(ch, -5), 0);
    kc_chan_close(ch);
    kc_chan_destroy(ch);
    EXPECT_EQ(kc_spawn_co(sched, ends, NULL, 0, &co), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    kcoro_retain(co);
    kcoro_release(co);
    kcoro_release(co);
    EXPECT_EQ(kc_spawn(sched, ends, NULL), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    kc_sched_shutdown(sched);
    return 0;
}
