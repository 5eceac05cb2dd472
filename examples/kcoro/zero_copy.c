// SPDX-License-Identifier: BSD-3-Clause
// Pictures go from a camera to a printer by address: no byte of them is copied. The sender gives the
// memory away; the receiver returns it through a second channel, so that three frames are enough
// for any number of pictures.

#include <stdio.h>
#include <string.h>

#include "kcoro.h"
#include "kcoro_sched.h"

enum { FRAMES = 3, PICTURES = 500, BYTES = 1 << 16 };

static unsigned char frames[FRAMES][BYTES];

struct studio {
    kc_chan_t *pictures; // from the camera to the printer
    kc_chan_t *empty;    // and back
    unsigned long printed;
    unsigned long wrong;
};

static void camera(void *arg) {
    struct studio *studio = (struct studio *)arg;
    for (int picture = 0; picture < PICTURES; picture++) {
        void *frame = NULL;
        size_t len = 0;
        if (kc_chan_recv_zref(studio->empty, &frame, &len, -1) != 0) {
            return;
        }
        memset(frame, picture, len);
        if (kc_chan_send_zref(studio->pictures, frame, len, -1) != 0) {
            return;
        }
    }
    kc_chan_close(studio->pictures);
}

static void printer(void *arg) {
    struct studio *studio = (struct studio *)arg;
    void *frame = NULL;
    size_t len = 0;
    while (kc_chan_recv_zref(studio->pictures, &frame, &len, -1) == 0) {
        const unsigned char *bytes = (const unsigned char *)frame;
        unsigned char colour = (unsigned char)studio->printed;
        studio->wrong += len != BYTES || bytes[0] != colour || bytes[len - 1] != colour;
        studio->printed++;
        if (kc_chan_send_zref(studio->empty, frame, len, -1) != 0) {
            return;
        }
    }
}

int main(void) {
    struct studio studio = {NULL, NULL, 0, 0};
    kc_sched_t *sched = kc_sched_default();
    if (kc_chan_make_ptr(&studio.pictures, KC_RENDEZVOUS, 0) != 0 ||
        kc_chan_make_ptr(&studio.empty, KC_BUFFERED, FRAMES) != 0 ||
        kc_chan_enable_zero_copy(studio.pictures) != 0 ||
        kc_chan_enable_zero_copy(studio.empty) != 0) {
        return 1;
    }
    for (int i = 0; i < FRAMES; i++) {
        if (kc_chan_send_zref(studio.empty, frames[i], BYTES, -1) != 0) {
            return 1;
        }
    }
    if (kc_spawn_co(sched, camera, &studio, 0, NULL) != 0 ||
        kc_spawn_co(sched, printer, &studio, 0, NULL) != 0) {
        return 1;
    }
    kc_sched_drain(sched, -1);
    struct kc_chan_zstats stats;
    int counted = kc_chan_get_zstats(studio.pictures, &stats);
    printf("%lu pictures printed, %lu wrong, %lu sent by address, through %d frames\n",
           studio.printed, studio.wrong, stats.zref_sent, FRAMES);
    kc_sched_shutdown(sched);
    kc_chan_destroy(studio.pictures);
    kc_chan_destroy(studio.empty);
    return counted == 0 && studio.printed == PICTURES && studio.wrong == 0 ? 0 : 1;
}
