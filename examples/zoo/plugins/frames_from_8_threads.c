/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: none: eight threads send 128 frames `THREAD NUMBER` each, then the stream
 *         ends.
 * Host:   hands over all 1024, each once, those of one thread in order, and then the
 *         end.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_STREAM
#define ZOO_SHUTDOWN wait_for_threads
#include "zoo.h"

#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static int running;

struct sender {
    pthread_t thread;
    uint64_t sid;
    int number;
};

static void *send_frames(void *context) {
    const struct sender *sender = (const struct sender *)context;
    char text[32];
    for (int i = 0; i < 128; i++) {
        snprintf(text, sizeof text, "%d %d", sender->number, i);
        zoo_send(sender->sid, NR_OK, text);
    }
    return NULL;
}

static void conducted(void) {
    pthread_mutex_lock(&lock);
    running--;
    pthread_cond_broadcast(&idle);
    pthread_mutex_unlock(&lock);
}

static void *conduct(void *context) {
    uint64_t *sid = (uint64_t *)context;
    struct sender senders[8];
    int started = 0;
    for (; started < 8; started++) {
        senders[started].sid = *sid;
        senders[started].number = started;
        if (pthread_create(&senders[started].thread, NULL, send_frames, &senders[started]) != 0) {
            break;
        }
    }
    for (int i = 0; i < started; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    zoo_send(*sid, started == 8 ? NR_STREAM_END : NR_ERR, "");
    free(sid);
    conducted();
    return NULL;
}

static void wait_for_threads(void *plugin_ctx) {
    (void)plugin_ctx;
    pthread_mutex_lock(&lock);
    while (running > 0) {
        pthread_cond_wait(&idle, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    pthread_t thread;
    uint64_t *owned = (uint64_t *)malloc(sizeof *owned);
    (void)payload;
    if (owned == NULL) {
        return NR_ERR;
    }
    *owned = sid;
    pthread_mutex_lock(&lock);
    running++;
    pthread_mutex_unlock(&lock);
    if (pthread_create(&thread, NULL, conduct, owned) != 0) {
        conducted();
        free(owned);
        return NR_ERR;
    }
    pthread_detach(thread);
    return NR_OK;
}

ZOO_PLUGIN("frames_from_8_threads")
