// SPDX-License-Identifier: BSD-3-Clause
// A credit window over two channels of libkcoro, which do the waiting:
//
//   send: takes a credit ──► puts the descriptor      credits + slots in use + owed = window
//            ▲                     │
//         credits                slots                So there is a slot for each credit,
//            │                     ▼                  and nothing grows beyond the window.
//   recv: grants, in batches ◄── takes the descriptor
//
// Waits park coroutines and threads alike, because the channels do; they end by their time, their
// token, or the close. `slots` is a channel with zero copy of its own (zref), so that a registered region
// counts what is under way in it. What comes from another place (a device, a network) would fill `slots`
// from there.

#include "memory_ring.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct ring {
    struct ring *next; // in its bucket
    kc_chan_t *ch;
    kc_chan_t *credits; // a char each
    kc_chan_t *slots;   // descriptors
    struct memory_ring_opts opts;
    size_t owed; // taken, and not granted yet; under `lock`, as the rest below
    long users;  // calls in progress, and one for the channel
} ring_t;

// Rings by channel. A call finds its ring in O(1), and keeps it until it returns: the channel may be
// destroyed meanwhile.
enum { BUCKETS = 64 };
static ring_t *buckets[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ring_t **bucket_of(const kc_chan_t *ch) {
    return &buckets[((uintptr_t)ch >> 6) % BUCKETS];
}

static ring_t *find(const kc_chan_t *ch) {
    ring_t *ring;
    pthread_mutex_lock(&lock);
    for (ring = *bucket_of(ch); ring != NULL && ring->ch != ch; ring = ring->next) {
    }
    if (ring != NULL) {
        ring->users++;
    }
    pthread_mutex_unlock(&lock);
    return ring;
}

static void let_go(ring_t *ring) {
    pthread_mutex_lock(&lock);
    long users = --ring->users;
    pthread_mutex_unlock(&lock);
    if (users == 0) {
        kc_chan_destroy(ring->credits);
        kc_chan_destroy(ring->slots);
        free(ring);
    }
}

// Each credit has a place, and each descriptor with a credit has a slot. A send waits all the same: a
// receive on another thread that has begun to take from that place may not have left it yet.
static int grant(ring_t *ring, size_t count) {
    int answer = 0;
    for (const char credit = 0; count > 0 && answer == 0; count--) {
        answer = kc_chan_send(ring->credits, &credit, -1);
    }
    return answer;
}

static int ring_attach(kc_chan_t *ch, const void *opts) {
    const struct memory_ring_opts *asked = (const struct memory_ring_opts *)opts;
    if (asked == NULL || asked->window == 0 || asked->grant == 0 || asked->grant > asked->window) {
        return -EINVAL;
    }
    ring_t *ring = (ring_t *)calloc(1, sizeof *ring);
    if (ring == NULL) {
        return -ENOMEM;
    }
    ring->ch = ch;
    ring->opts = *asked;
    ring->users = 1;
    int answer = kc_chan_make(&ring->credits, KC_BUFFERED, sizeof(char), asked->window);
    if (answer == 0) {
        answer = kc_chan_make_ptr(&ring->slots, KC_BUFFERED, asked->window);
    }
    if (answer == 0) {
        answer = kc_chan_enable_zero_copy(ring->slots);
    }
    if (answer == 0) {
        answer = grant(ring, asked->window);
    }
    if (answer != 0) {
        let_go(ring);
        return answer;
    }
    pthread_mutex_lock(&lock);
    ring->next = *bucket_of(ch);
    *bucket_of(ch) = ring;
    pthread_mutex_unlock(&lock);
    return 0;
}

// Once, when the channel is destroyed.
static void ring_detach(kc_chan_t *ch) {
    ring_t **at, *ring;
    pthread_mutex_lock(&lock);
    for (at = bucket_of(ch); *at != NULL && (*at)->ch != ch; at = &(*at)->next) {
    }
    ring = *at;
    if (ring != NULL) {
        *at = ring->next;
    }
    pthread_mutex_unlock(&lock);
    if (ring != NULL) {
        kc_chan_close(ring->credits);
        kc_chan_close(ring->slots);
        let_go(ring);
    }
}

// ANCHOR: window
// Puts a descriptor into a slot, once there is a credit. On failure nothing has happened to it.
static int put(ring_t *ring, const kc_zdesc_t *d, long tmo_ms, const kc_cancel_t *cancel) {
    if (d->len > ring->opts.bytes_max) {
        return -EINVAL;
    }
    char credit = 0;
    int answer = kc_chan_recv_c(ring->credits, &credit, tmo_ms, cancel);
    if (answer != 0) {
        return answer;
    }
    // Each credit has a slot: this waits at most until a receive has left it.
    answer = kc_chan_send_desc(ring->slots, d, -1);
    if (answer != 0) {
        (void)grant(ring, 1);
    }
    return answer;
}

static int take(ring_t *ring, kc_zdesc_t *d, long tmo_ms, const kc_cancel_t *cancel) {
    int answer = kc_chan_recv_desc_c(ring->slots, d, tmo_ms, cancel);
    if (answer != 0) {
        return answer;
    }
    // With its batch, or when the ring is empty: otherwise a producer could wait for ever for credits
    // that are kept back.
    size_t due = 0;
    pthread_mutex_lock(&lock);
    ring->owed++;
    if (ring->owed >= ring->opts.grant || kc_chan_len(ring->slots) == 0) {
        due = ring->owed;
        ring->owed = 0;
    }
    pthread_mutex_unlock(&lock);
    (void)grant(ring, due); // closed: no sender is left
    return 0;
}
// ANCHOR_END: window

static int ring_send_c(kc_chan_t *ch, const kc_zdesc_t *d, long tmo_ms, const kc_cancel_t *cancel) {
    ring_t *ring = find(ch);
    if (ring == NULL) {
        return KC_EPIPE;
    }
    int answer = put(ring, d, tmo_ms, cancel);
    if (answer == 0) {
        (void)kc_zcopy_count(ch, KC_ZCOPY_SENT, d->len);
    } else {
        (void)kc_zcopy_count_failure(ch, 0, answer);
    }
    let_go(ring);
    return answer;
}

static int ring_recv_c(kc_chan_t *ch, kc_zdesc_t *d, long tmo_ms, const kc_cancel_t *cancel) {
    ring_t *ring = find(ch);
    if (ring == NULL) {
        return KC_EPIPE;
    }
    int answer = take(ring, d, tmo_ms, cancel);
    if (answer == 0) {
        (void)kc_zcopy_count(ch, KC_ZCOPY_RECEIVED, d->len);
    } else {
        (void)kc_zcopy_count_failure(ch, 1, answer);
    }
    let_go(ring);
    return answer;
}

static int ring_send(kc_chan_t *ch, const kc_zdesc_t *d, long tmo_ms) {
    return ring_send_c(ch, d, tmo_ms, NULL);
}

static int ring_recv(kc_chan_t *ch, kc_zdesc_t *d, long tmo_ms) {
    return ring_recv_c(ch, d, tmo_ms, NULL);
}

kc_zcopy_backend_id memory_ring_register(void) {
    static const kc_zcopy_backend_ops_t ops = {ring_attach, ring_detach, ring_send,
                                               ring_recv,   ring_send_c, ring_recv_c};
    return kc_zcopy_register(MEMORY_RING_NAME, &ops, 0);
}

int memory_ring_close(kc_chan_t *ch) {
    ring_t *ring = find(ch);
    if (ring == NULL) {
        return -EINVAL;
    }
    // First the slots: a send that finds a credit after that finds them closed.
    kc_chan_close(ring->slots);
    kc_chan_close(ring->credits);
    kc_chan_close(ch);
    let_go(ring);
    return 0;
}
