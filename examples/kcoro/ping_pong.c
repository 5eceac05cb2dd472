// SPDX-License-Identifier: BSD-3-Clause
// Two coroutines hand a number back and forth over two rendezvous channels.

#include <stdio.h>

#include "kcoro.h"
#include "kcoro_sched.h"

enum { ROUNDS = 100000 };

struct table {
    kc_chan_t *there;
    kc_chan_t *back;
    int last;
};

static void ping(void *arg) {
    struct table *table = (struct table *)arg;
    for (int ball = 0; ball < ROUNDS; ball++) {
        // Each of these waits for the other side, and leaves the worker to it meanwhile.
        if (kc_chan_send(table->there, &ball, -1) != 0 ||
            kc_chan_recv(table->back, &table->last, -1) != 0) {
            return;
        }
    }
    kc_chan_close(table->there);
}

static void pong(void *arg) {
    struct table *table = (struct table *)arg;
    int ball;
    while (kc_chan_recv(table->there, &ball, -1) == 0) {
        ball++;
        if (kc_chan_send(table->back, &ball, -1) != 0) {
            return;
        }
    }
}

int main(void) {
    struct table table = {NULL, NULL, 0};
    // Two that only wait for each other gain nothing from a second thread.
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    if (sched == NULL || kc_chan_make(&table.there, KC_RENDEZVOUS, sizeof(int), 0) != 0 ||
        kc_chan_make(&table.back, KC_RENDEZVOUS, sizeof(int), 0) != 0) {
        return 1;
    }
    if (kc_spawn_co(sched, ping, &table, 0, NULL) != 0 ||
        kc_spawn_co(sched, pong, &table, 0, NULL) != 0) {
        return 1;
    }
    kc_sched_drain(sched, -1);
    printf("%d rounds, the last ball is %d\n", ROUNDS, table.last);
    kc_sched_shutdown(sched);
    kc_chan_destroy(table.there);
    kc_chan_destroy(table.back);
    return table.last == ROUNDS ? 0 : 1;
}
