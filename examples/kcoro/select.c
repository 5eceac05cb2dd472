// SPDX-License-Identifier: BSD-3-Clause
// One coroutine serves whichever of two channels has something, until both are closed; then it
// waits in vain for a third, until a token says that it is enough.

#include <stdio.h>

#include "kcoro.h"
#include "kcoro_sched.h"

struct desk {
    kc_chan_t *letters;
    kc_chan_t *parcels;
    kc_chan_t *nothing;
    kc_cancel_t *closing_time;
    int letters_seen;
    int parcels_seen;
    int last;
};

static void serve(void *arg) {
    struct desk *desk = (struct desk *)arg;
    kc_chan_t *open[2] = {desk->letters, desk->parcels};
    int *seen[2] = {&desk->letters_seen, &desk->parcels_seen};
    int left = 2;
    kc_select_t *select = NULL;
    if (kc_select_create(&select, NULL) != 0) {
        return;
    }
    while (left > 0) {
        int item = 0, which = -1, result = 0;
        int places[2], count = 0;
        kc_select_reset(select);
        for (int i = 0; i < 2; i++) {
            if (open[i] != NULL) {
                kc_select_add_recv(select, open[i], &item);
                places[count++] = i;
            }
        }
        // Exactly one happens; the other channel is left as it is.
        result = kc_select_wait(select, -1, &which, NULL);
        int place = places[which];
        if (result == 0) {
            ++*seen[place];
        } else if (result == KC_EPIPE) {
            open[place] = NULL;
            left--;
        }
    }
    kc_select_destroy(select);
    int item = 0;
    if (kc_select_create(&select, desk->closing_time) != 0) {
        return;
    }
    kc_select_add_recv(select, desk->nothing, &item);
    desk->last = kc_select_wait(select, -1, NULL, NULL);
    kc_select_destroy(select);
}

static int sends(kc_chan_t *chan, int count) {
    int failed = 0;
    for (int i = 0; i < count; i++) {
        failed |= kc_chan_send(chan, &i, -1);
    }
    kc_chan_close(chan);
    return failed;
}

int main(void) {
    struct desk desk = {NULL, NULL, NULL, NULL, 0, 0, 0};
    if (kc_chan_make(&desk.letters, KC_RENDEZVOUS, sizeof(int), 0) != 0 ||
        kc_chan_make(&desk.parcels, KC_BUFFERED, sizeof(int), 2) != 0 ||
        kc_chan_make(&desk.nothing, KC_CONFLATED, sizeof(int), 0) != 0 ||
        kc_cancel_init(&desk.closing_time) != 0) {
        return 1;
    }
    kc_sched_t *sched = kc_sched_default();
    if (kc_spawn_co(sched, serve, &desk, 0, NULL) != 0) {
        return 1;
    }
    // A plain thread may wait on channels as well: it parks the thread.
    int failed = sends(desk.letters, 30) | sends(desk.parcels, 20);
    kc_cancel_trigger(desk.closing_time);
    kc_sched_drain(sched, -1);
    printf("%d letters, %d parcels, then %s\n", desk.letters_seen, desk.parcels_seen,
           desk.last == KC_ECANCELED ? "closing time" : "something else");
    kc_sched_shutdown(sched);
    kc_cancel_destroy(desk.closing_time);
    kc_chan_destroy(desk.letters);
    kc_chan_destroy(desk.parcels);
    kc_chan_destroy(desk.nothing);
    return failed == 0 && desk.last == KC_ECANCELED ? 0 : 1;
}
