// SPDX-License-Identifier: BSD-3-Clause
// Pointer channels, zref, descriptors, backends, regions.

#include <string.h>

#include "expect.h"
#include "kcoro.h"
#include "kcoro_zcopy.h"

static char memory[4096];

static kc_chan_t *make(int kind, size_t elem_sz, size_t capacity) {
    kc_chan_t *ch = NULL;
    EXPECT_EQ(kc_chan_make(&ch, kind, elem_sz, capacity), 0);
    return ch;
}

static kc_chan_t *make_ptr(int kind, size_t capacity) {
    kc_chan_t *ch = NULL;
    EXPECT_EQ(kc_chan_make_ptr(&ch, kind, capacity), 0);
    return ch;
}

static void pointers_through_each_kind(void) {
    static const int kinds[] = {KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED};
    void *ptr = NULL;
    size_t len = 0;
    EXPECT_EQ(kc_chan_make_ptr(NULL, KC_BUFFERED, 1), -22);
    for (int at = 0; at < 3; at++) {
        kc_chan_t *ch = make_ptr(kinds[at], 1);
        EXPECT_EQ(kc_chan_capabilities(ch), KC_CHAN_CAP_PTR);
        EXPECT_EQ(kc_chan_recv_ptr(ch, &ptr, &len, 0), KC_EAGAIN);
        EXPECT_EQ(kc_chan_recv_ptr(ch, &ptr, &len, 1), KC_ETIME);
        EXPECT_EQ(kc_chan_send_ptr(ch, memory, 100, -1), 0);
        EXPECT_EQ(kc_chan_len(ch), 1);
        if (kinds[at] == KC_BUFFERED) {
            EXPECT_EQ(kc_chan_send_ptr(ch, memory, 1, 0), KC_EAGAIN);
            EXPECT_EQ(kc_chan_send_ptr(ch, memory, 1, 1), KC_ETIME);
        }
        EXPECT_EQ(kc_chan_recv_ptr(ch, &ptr, &len, -1), 0);
        EXPECT(ptr == memory && len == 100);
        kc_chan_close(ch);
        EXPECT_EQ(kc_chan_send_ptr(ch, memory, 1, -1), KC_EPIPE);
        EXPECT_EQ(kc_chan_recv_ptr(ch, &ptr, &len, 0), KC_EPIPE);
        struct kc_chan_snapshot snapshot;
        EXPECT_EQ(kc_chan_snapshot(ch, &snapshot), 0);
        EXPECT_EQ(snapshot.ptr_mode, 1);
        EXPECT_EQ(snapshot.elem_sz, sizeof(struct kc_chan_ptrmsg));
        EXPECT_EQ(snapshot.total_bytes_sent, 100);
        EXPECT_EQ(snapshot.total_bytes_recv, 100);
        kc_chan_destroy(ch);
    }
}

static void refuses_what_makes_no_sense(void) {
    void *ptr = NULL;
    size_t len = 0;
    kc_zdesc_t desc = {memory, 8, 0, 0, 0};
    kc_cancel_t *token = NULL;
    EXPECT_EQ(kc_cancel_init(&token), 0);
    kc_cancel_trigger(token);
    kc_chan_t *pointers = make_ptr(KC_BUFFERED, 2), *ints = make(KC_BUFFERED, sizeof(int), 2);
    EXPECT_EQ(kc_chan_send_ptr(NULL, memory, 1, 0), -22);
    EXPECT_EQ(kc_chan_send_ptr(pointers, NULL, 1, 0), -22);
    EXPECT_EQ(kc_chan_send_ptr(pointers, memory, 0, 0), -22);
    EXPECT_EQ(kc_chan_recv_ptr(NULL, &ptr, &len, 0), -22);
    EXPECT_EQ(kc_chan_recv_ptr(pointers, NULL, &len, 0), -22);
    EXPECT_EQ(kc_chan_recv_ptr(pointers, &ptr, NULL, 0), -22);
    EXPECT_EQ(kc_chan_send_ptr(ints, memory, 1, 0), -22);
    EXPECT_EQ(kc_chan_recv_ptr(ints, &ptr, &len, 0), -22);
    EXPECT_EQ(kc_chan_send_ptr_c(NULL, NULL, 0, -1, token), KC_ECANCELED);
    EXPECT_EQ(kc_chan_recv_ptr_c(pointers, &ptr, &len, -1, token), KC_ECANCELED);

    // Without a backend.
    EXPECT_EQ(kc_chan_send_zref(pointers, memory, 1, 0), KC_ENOTSUP);
    EXPECT_EQ(kc_chan_recv_zref(pointers, &ptr, &len, 0), KC_ENOTSUP);
    EXPECT_EQ(kc_chan_send_desc(pointers, &desc, 0), KC_ENOTSUP);
    EXPECT_EQ(kc_chan_recv_desc(pointers, &desc, 0), KC_ENOTSUP);
    EXPECT_EQ(kc_chan_send_desc_c(pointers, &desc, 0, token), KC_ECANCELED);
    EXPECT_EQ(kc_chan_recv_desc_c(pointers, &desc, 0, token), KC_ECANCELED);
    EXPECT_EQ(kc_chan_send_zref_c(pointers, memory, 1, 0, token), KC_ECANCELED);
    EXPECT_EQ(kc_chan_recv_zref_c(pointers, &ptr, &len, 0, token), KC_ECANCELED);

    EXPECT_EQ(kc_chan_enable_zero_copy(NULL), -22);
    EXPECT_EQ(kc_chan_enable_zero_copy(pointers), 0);
    EXPECT_EQ(kc_chan_enable_zero_copy(pointers), 0);
    EXPECT_EQ(kc_chan_capabilities(pointers), KC_CHAN_CAP_PTR | KC_CHAN_CAP_ZERO_COPY);
    EXPECT(kc_chan_is_zero_copy(pointers) && !kc_chan_is_zero_copy(ints));
    EXPECT_EQ(kc_chan_send_zref(pointers, NULL, 1, 0), -22);
    EXPECT_EQ(kc_chan_send_zref(pointers, memory, 0, 0), -22);
    EXPECT_EQ(kc_chan_send_desc(pointers, NULL, 0), -22);
    EXPECT_EQ(kc_chan_recv_desc(pointers, NULL, 0), -22);
    EXPECT_EQ(kc_chan_recv_zref(pointers, NULL, &len, 0), -22);
    EXPECT_EQ(kc_chan_recv_zref(pointers, &ptr, NULL, 0), -22);

    // A queue of elements that are no pointers.
    EXPECT_EQ(kc_chan_enable_zero_copy(ints), 0);
    EXPECT_EQ(kc_chan_send_zref(ints, memory, 1, 0), -22);
    EXPECT_EQ(kc_chan_recv_zref(ints, &ptr, &len, 0), -22);
    int value = 4;
    EXPECT_EQ(kc_chan_try_send(ints, &value), 0);
    kc_chan_destroy(pointers);
    kc_chan_destroy(ints);
    kc_cancel_destroy(token);
}

static void whole_descriptors_through_queues(void) {
    kc_chan_t *chans[] = {make_ptr(KC_BUFFERED, 4),
                          make(KC_BUFFERED, sizeof(struct kc_chan_ptrmsg), 4)};
    for (int at = 0; at < 2; at++) {
        kc_chan_t *ch = chans[at];
        kc_zdesc_t sent = {memory + 3, 77, 1234567, 89, 42}, got;
        void *ptr = NULL;
        size_t len = 0;
        memset(&got, 0, sizeof got);
        EXPECT_EQ(kc_chan_enable_zero_copy(ch), 0);
        EXPECT_EQ(kc_chan_send_desc(ch, &sent, -1), 0);
        EXPECT_EQ(kc_chan_send_zref(ch, memory, 5, -1), 0);
        EXPECT_EQ(kc_chan_recv_desc(ch, &got, -1), 0);
        EXPECT(got.addr == sent.addr && got.len == 77 && got.region_id == 1234567 &&
               got.offset == 89 && got.flags == 42);
        EXPECT_EQ(kc_chan_recv_zref(ch, &ptr, &len, -1), 0);
        EXPECT(ptr == memory && len == 5);
        if (at == 1) {
            // Its elements are the same thing.
            struct kc_chan_ptrmsg message = {memory, 9};
            EXPECT_EQ(kc_chan_try_send(ch, &message), 0);
            EXPECT_EQ(kc_chan_recv_zref(ch, &ptr, &len, 0), 0);
            EXPECT(ptr == memory && len == 9);
            EXPECT_EQ(kc_chan_send_zref(ch, memory + 1, 6, 0), 0);
            EXPECT_EQ(kc_chan_try_recv(ch, &message), 0);
            EXPECT(message.ptr == memory + 1 && message.len == 6);
        }
        struct kc_chan_zstats zstats;
        struct kc_chan_stats stats;
        EXPECT_EQ(kc_chan_get_zstats(ch, &zstats), 0);
        EXPECT_EQ(kc_chan_get_stats(ch, &stats), 0);
        EXPECT_EQ(zstats.zref_sent, at == 0 ? 2 : 3);
        EXPECT_EQ(zstats.zref_received, at == 0 ? 2 : 3);
        EXPECT_EQ(stats.total_sends, at == 0 ? 2 : 4);
        EXPECT_EQ(stats.total_recvs, at == 0 ? 2 : 4);
        EXPECT_EQ(stats.total_bytes_sent, 77 + 5 + (at == 0 ? 0 : 16 + 6));
        EXPECT_EQ(stats.total_bytes_recv, 77 + 5 + (at == 0 ? 0 : 16 + 6));
        kc_chan_destroy(ch);
    }
    EXPECT_EQ(kc_chan_get_zstats(NULL, NULL), -22);
}

typedef struct {
    kc_chan_t *ch;
    void *ptr;
    size_t len;
    int answer;
} zref_t;

static void *recv_zref(void *arg) {
    zref_t *zref = (zref_t *)arg;
    zref->answer = kc_chan_recv_zref(zref->ch, &zref->ptr, &zref->len, -1);
    return NULL;
}

static void *send_zref(void *arg) {
    zref_t *zref = (zref_t *)arg;
    zref->answer = kc_chan_send_zref(zref->ch, zref->ptr, zref->len, -1);
    return NULL;
}

static void rendezvous_turns_to_descriptors(void) {
    int value = 0, index, result;
    kc_chan_t *ch = make(KC_RENDEZVOUS, sizeof(int), 0);
    EXPECT_EQ(kc_chan_send_zref(ch, memory, 1, 0), KC_ENOTSUP);
    EXPECT_EQ(kc_chan_try_recv(ch, &value), KC_EAGAIN);
    EXPECT_EQ(kc_chan_enable_zero_copy(ch), 0);
    // Not before the first operation.
    EXPECT_EQ(kc_chan_try_recv(ch, &value), KC_EAGAIN);
    EXPECT_EQ(kc_chan_send_zref(ch, memory, 1, 0), KC_EAGAIN);
    EXPECT_EQ(kc_chan_send_zref(ch, memory, 1, 1), KC_ETIME);
    EXPECT_EQ(kc_chan_try_recv(ch, &value), -22);
    EXPECT_EQ(kc_chan_try_send(ch, &value), -22);
    kc_select_t *set = NULL;
    EXPECT_EQ(kc_select_create(&set, NULL), 0);
    EXPECT_EQ(kc_select_add_recv(set, ch, &value), KC_ENOTSUP);
    EXPECT_EQ(kc_select_wait(set, 0, &index, &result), -22);
    kc_select_destroy(set);

    zref_t zref = {ch, NULL, 0, 1};
    pthread_t thread;
    pthread_create(&thread, NULL, recv_zref, &zref);
    EXPECT_EQ(kc_chan_send_zref(ch, memory + 7, 1000, -1), 0);
    pthread_join(thread, NULL);
    EXPECT(zref.answer == 0 && zref.ptr == memory + 7 && zref.len == 1000);
    EXPECT_EQ(kc_chan_len(ch), 0);

    pthread_create(&thread, NULL, send_zref, &zref);
    kc_zdesc_t got;
    EXPECT_EQ(kc_chan_recv_desc(ch, &got, -1), 0);
    pthread_join(thread, NULL);
    EXPECT(got.addr == memory + 7 && got.len == 1000);
    EXPECT_EQ(zref.answer, 0);

    struct kc_chan_snapshot snapshot;
    EXPECT_EQ(kc_chan_snapshot(ch, &snapshot), 0);
    EXPECT_EQ(snapshot.zref_mode, 1);
    EXPECT_EQ(snapshot.total_sends, 2);
    EXPECT_EQ(snapshot.total_bytes_sent, 2000);
    EXPECT_EQ(snapshot.total_bytes_recv, 2000);
    EXPECT_EQ(snapshot.zref_sent, 2);
    EXPECT_EQ(snapshot.zref_received, 2);
    EXPECT_EQ(snapshot.rv_matches, 2);
    EXPECT_EQ(snapshot.rv_zdesc_matches, 2);
    EXPECT_EQ(snapshot.send_eagain, 1);
    EXPECT_EQ(snapshot.send_etime, 1);
    EXPECT_EQ(snapshot.recv_eagain, 2);

    kc_chan_close(ch);
    EXPECT_EQ(kc_chan_send_zref(ch, memory, 1, -1), KC_EPIPE);
    EXPECT_EQ(kc_chan_recv_zref(ch, &zref.ptr, &zref.len, 0), KC_EPIPE);
    kc_chan_destroy(ch);
}

// A backend with a queue of its own, and without send_c and recv_c.
static struct {
    int attached, detached;
    kc_chan_t *queue;
    const void *opts;
} custom;

static int custom_attach(kc_chan_t *ch, const void *opts) {
    (void)ch;
    if (opts == NULL) {
        return -13;
    }
    custom.attached++;
    custom.opts = opts;
    return kc_chan_make(&custom.queue, KC_BUFFERED, sizeof(kc_zdesc_t), 2);
}

static void custom_detach(kc_chan_t *ch) {
    int value = 0;
    EXPECT_EQ(kc_chan_send(ch, &value, 0), KC_EPIPE);
    custom.detached++;
    kc_chan_destroy(custom.queue);
}

static int custom_send(kc_chan_t *ch, const kc_zdesc_t *d, long tmo_ms) {
    int answer = kc_chan_send(custom.queue, d, tmo_ms);
    if (answer == 0) {
        EXPECT_EQ(kc_zcopy_count(ch, KC_ZCOPY_SENT, d->len), 0);
    } else {
        EXPECT_EQ(kc_zcopy_count_failure(ch, 0, answer), 0);
    }
    return answer;
}

static int custom_recv(kc_chan_t *ch, kc_zdesc_t *d, long tmo_ms) {
    int answer = kc_chan_recv(custom.queue, d, tmo_ms);
    if (answer == 0) {
        EXPECT_EQ(kc_zcopy_count(ch, KC_ZCOPY_RECEIVED, d->len), 0);
    } else {
        EXPECT_EQ(kc_zcopy_count_failure(ch, 1, answer), 0);
    }
    return answer;
}

typedef struct {
    kc_chan_t *ch;
    kc_cancel_t *token;
    int answer;
} desc_waiter_t;

static void *recv_desc(void *arg) {
    desc_waiter_t *waiter = (desc_waiter_t *)arg;
    kc_zdesc_t got;
    waiter->answer = kc_chan_recv_desc_c(waiter->ch, &got, -1, waiter->token);
    return NULL;
}

static void a_backend_of_one_s_own(void) {
    char name[] = "custom";
    kc_zcopy_backend_ops_t ops = {custom_attach, custom_detach, custom_send,
                                  custom_recv,   NULL,          NULL};
    EXPECT_EQ(kc_zcopy_register(NULL, &ops, 0), -22);
    EXPECT_EQ(kc_zcopy_register("x", NULL, 0), -22);
    EXPECT_EQ(kc_zcopy_resolve("custom"), -2);
    EXPECT_EQ(kc_zcopy_resolve(NULL), -22);
    int zref = kc_zcopy_resolve("zref");
    EXPECT(zref >= 0);
    int id = kc_zcopy_register(name, &ops, 5);
    EXPECT(id >= 0 && id != zref);
    memset(name, 'x', sizeof name - 1);
    memset(&ops, 0, sizeof ops);
    EXPECT_EQ(kc_zcopy_resolve("custom"), id);
    EXPECT_EQ(kc_zcopy_register("custom", &ops, 0), id);
    uint32_t caps = 0;
    EXPECT_EQ(kc_zcopy_caps(id, &caps), 0);
    EXPECT_EQ(caps, 5);
    EXPECT_EQ(kc_zcopy_caps(1000000, &caps), -2);

    int opts = 3;
    kc_chan_t *ch = make(KC_RENDEZVOUS, sizeof(int), 0);
    EXPECT_EQ(kc_chan_enable_zero_copy_backend(ch, 1000000, NULL), -2);
    EXPECT_EQ(kc_chan_enable_zero_copy_backend(ch, -1, NULL), -2);
    EXPECT_EQ(kc_chan_enable_zero_copy_backend(NULL, id, NULL), -22);
    EXPECT_EQ(kc_chan_enable_zero_copy_backend(ch, id, NULL), -13);
    EXPECT(!kc_chan_is_zero_copy(ch));
    EXPECT_EQ(kc_chan_enable_zero_copy_backend(ch, id, &opts), 0);
    EXPECT_EQ(kc_chan_enable_zero_copy_backend(ch, id, &opts), 0);
    EXPECT(kc_chan_is_zero_copy(ch) && custom.opts == &opts);
    EXPECT_EQ(custom.attached, 1);

    kc_zdesc_t sent = {memory, 12, 1, 2, 3}, got;
    void *ptr = NULL;
    size_t len = 0;
    EXPECT_EQ(kc_chan_send_desc(ch, &sent, 0), 0);
    EXPECT_EQ(kc_chan_send_zref(ch, memory + 1, 13, 0), 0);
    EXPECT_EQ(kc_chan_send_zref(ch, memory + 1, 13, 0), KC_EAGAIN);
    EXPECT_EQ(kc_chan_recv_desc(ch, &got, 0), 0);
    EXPECT(got.addr == memory && got.len == 12 && got.region_id == 1 && got.offset == 2);
    EXPECT_EQ(kc_chan_recv_zref(ch, &ptr, &len, 0), 0);
    EXPECT(ptr == memory + 1 && len == 13);

    // Its wait knows no token, and yet ends.
    desc_waiter_t waiter = {ch, NULL, 1};
    EXPECT_EQ(kc_cancel_init(&waiter.token), 0);
    pthread_t thread;
    pthread_create(&thread, NULL, recv_desc, &waiter);
    kc_cancel_trigger(waiter.token);
    pthread_join(thread, NULL);
    EXPECT_EQ(waiter.answer, KC_ECANCELED);
    kc_cancel_destroy(waiter.token);

    EXPECT_EQ(kc_zcopy_count(ch, KC_ZCOPY_FALLBACK_SMALL, 0), 0);
    EXPECT_EQ(kc_zcopy_count(ch, 77, 0), -22);
    EXPECT_EQ(kc_zcopy_count(NULL, KC_ZCOPY_SENT, 0), -22);
    EXPECT_EQ(kc_zcopy_count_failure(ch, 0, -1), -22);
    struct kc_chan_zstats zstats;
    struct kc_chan_snapshot snapshot;
    EXPECT_EQ(kc_chan_get_zstats(ch, &zstats), 0);
    EXPECT_EQ(kc_chan_snapshot(ch, &snapshot), 0);
    EXPECT_EQ(zstats.zref_sent, 2);
    EXPECT_EQ(zstats.zref_received, 2);
    EXPECT_EQ(zstats.zref_fallback_small, 1);
    EXPECT_EQ(snapshot.total_sends, 2);
    EXPECT_EQ(snapshot.total_bytes_recv, 25);
    EXPECT_EQ(snapshot.send_eagain, 1);
    EXPECT_EQ(custom.detached, 0);
    kc_chan_destroy(ch);
    EXPECT_EQ(custom.detached, 1);
}

static void *send_desc(void *arg) {
    desc_waiter_t *waiter = (desc_waiter_t *)arg;
    kc_zdesc_t desc = {memory, 8, 0, 0, 0};
    waiter->answer = kc_chan_send_desc(waiter->ch, &desc, -1);
    return NULL;
}

// The backend has no function for it: its queue stays open, and its waits end all the same.
static void closing_reaches_a_backend(void) {
    int opts = 3, id = kc_zcopy_resolve("custom");
    kc_zdesc_t desc = {memory, 8, 0, 0, 0}, got;
    for (int i = 0; i < 4; i++) {
        int sends = i % 2, has_token = i / 2;
        kc_chan_t *ch = make(KC_RENDEZVOUS, sizeof(int), 0);
        EXPECT_EQ(kc_chan_enable_zero_copy_backend(ch, id, &opts), 0);
        for (int held = 0; sends && held < 2; held++) {
            EXPECT_EQ(kc_chan_send_desc(ch, &desc, 0), 0);
        }
        desc_waiter_t waiter = {ch, NULL, 1};
        if (has_token) {
            EXPECT_EQ(kc_cancel_init(&waiter.token), 0);
        }
        pthread_t thread;
        pthread_create(&thread, NULL, sends ? send_desc : recv_desc, &waiter);
        sleep_ms(5);
        kc_chan_close(ch);
        pthread_join(thread, NULL);
        EXPECT_EQ(waiter.answer, KC_EPIPE);
        EXPECT_EQ(kc_chan_send_desc(ch, &desc, -1), KC_EPIPE);
        EXPECT_EQ(kc_chan_send_desc(ch, &desc, 0), KC_EPIPE);
        for (int held = 0; sends && held < 2; held++) {
            EXPECT_EQ(kc_chan_recv_desc(ch, &got, -1), 0);
        }
        EXPECT_EQ(kc_chan_recv_desc(ch, &got, -1), KC_EPIPE);
        EXPECT_EQ(kc_chan_recv_desc(ch, &got, 0), KC_EPIPE);
        if (has_token) {
            kc_cancel_destroy(waiter.token);
        }
        kc_chan_destroy(ch);
    }
    // Bound after the close: closed too.
    kc_chan_t *ch = make(KC_RENDEZVOUS, sizeof(int), 0);
    kc_chan_close(ch);
    EXPECT_EQ(kc_chan_enable_zero_copy_backend(ch, id, &opts), 0);
    EXPECT_EQ(kc_chan_send_desc(ch, &desc, -1), KC_EPIPE);
    EXPECT_EQ(kc_chan_recv_desc(ch, &got, -1), KC_EPIPE);
    kc_chan_destroy(ch);
}

static void many_backends(void) {
    kc_zcopy_backend_ops_t ops = {NULL, NULL, NULL, NULL, NULL, NULL};
    char name[32];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "backend %d", i);
        int id = kc_zcopy_register(name, &ops, 0);
        EXPECT(id > 0);
        EXPECT_EQ(kc_zcopy_resolve(name), id);
    }
    // One that can do nothing says so.
    kc_chan_t *ch = make_ptr(KC_BUFFERED, 1);
    kc_zdesc_t desc = {memory, 8, 0, 0, 0};
    EXPECT_EQ(kc_chan_enable_zero_copy_backend(ch, kc_zcopy_resolve(name), NULL), 0);
    EXPECT_EQ(kc_chan_send_desc(ch, &desc, 0), KC_ENOTSUP);
    EXPECT_EQ(kc_chan_recv_desc(ch, &desc, 0), KC_ENOTSUP);
    kc_chan_destroy(ch);
}

static void *deregister(void *region) {
    EXPECT_EQ(kc_region_deregister((kc_region_t *)region), 0);
    return NULL;
}

static void a_region_waits_for_what_is_in_flight(void) {
    kc_region_t *region = NULL;
    unsigned long id = 0;
    EXPECT_EQ(kc_region_register(NULL, memory, sizeof memory, 0), -22);
    EXPECT_EQ(kc_region_register(&region, NULL, sizeof memory, 0), -22);
    EXPECT_EQ(kc_region_register(&region, memory, 0, 0), -22);
    EXPECT_EQ(kc_region_register(&region, memory, sizeof memory, 8), -22);
    EXPECT_EQ(kc_region_deregister(NULL), -22);
    EXPECT_EQ(kc_region_register(&region, memory, sizeof memory, KC_REGION_F_NONE), 0);
    EXPECT_EQ(kc_region_export_id(NULL, &id), -22);
    EXPECT_EQ(kc_region_export_id(region, NULL), -22);
    EXPECT_EQ(kc_region_export_id(region, &id), 0);
    EXPECT(id != 0);

    kc_chan_t *ch = make_ptr(KC_BUFFERED, 4);
    kc_zdesc_t got;
    void *ptr = NULL;
    size_t len = 0;
    char elsewhere[4];
    EXPECT_EQ(kc_chan_enable_zero_copy(ch), 0);
    EXPECT_EQ(kc_chan_send_ptr(ch, memory + 10, 5, 0), 0);
    EXPECT_EQ(kc_chan_send_zref(ch, memory + 4095, 1, 0), 0);
    EXPECT_EQ(kc_chan_send_zref(ch, elsewhere, 4, 0), 0);
    kc_zdesc_t named = {memory, 8, id, 0, 0};
    EXPECT_EQ(kc_chan_send_desc(ch, &named, 0), 0);
    EXPECT_EQ(kc_chan_send_desc(ch, &named, 0), KC_EAGAIN);

    pthread_t thread;
    pthread_create(&thread, NULL, deregister, region);
    EXPECT_EQ(kc_chan_recv_desc(ch, &got, 0), 0);
    EXPECT(got.addr == memory + 10 && got.region_id == id && got.offset == 10);
    EXPECT_EQ(kc_chan_recv_ptr(ch, &ptr, &len, 0), 0);
    EXPECT_EQ(kc_chan_recv_desc(ch, &got, 0), 0);
    EXPECT(got.addr == elsewhere && got.region_id == 0);
    // The last one is lost, not received.
    kc_chan_destroy(ch);
    pthread_join(thread, NULL);

    // Now the memory belongs to no region.
    ch = make_ptr(KC_BUFFERED, 4);
    EXPECT_EQ(kc_chan_send_ptr(ch, memory, 8, 0), 0);
    kc_chan_destroy(ch);
}

static void a_descriptor_is_within_its_region(void) {
    static char memory[64];
    kc_region_t *region = NULL;
    unsigned long id = 0;
    EXPECT_EQ(kc_region_register(&region, memory, sizeof memory, KC_REGION_F_NONE), 0);
    EXPECT_EQ(kc_region_export_id(region, &id), 0);
    kc_chan_t *ch = make_ptr(KC_BUFFERED, 8);
    EXPECT_EQ(kc_chan_enable_zero_copy(ch), 0);

    // Past its end, by name and by address.
    kc_zdesc_t refused[] = {
        {memory + 60, 5, id, 60, 0},
        {memory, 65, 0, 0, 0},
        {memory, 1, id, 64, 0},
        {memory, 1, id, UINT64_MAX, 0},
        // Beyond all addresses.
        {memory, SIZE_MAX, id, 0, 0},
        {memory, SIZE_MAX, 0, 0, 0},
        // The address and the offset are of different bytes.
        {memory + 8, 8, id, 0, 0},
        {memory, 8, id, 8, 0},
        // A region's number that no region has had.
        {memory, 8, id + 1, 0, 0},
        {memory, 8, (uint64_t)1 << 63, 0, 0},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        EXPECT_EQ(kc_chan_send_desc(ch, &refused[i], 0), -22);
    }
    EXPECT_EQ(kc_chan_send_zref(ch, memory + 1, 64, 0), -22);
    EXPECT_EQ(kc_chan_send_ptr(ch, memory + 1, SIZE_MAX, 0), -22);
    EXPECT_EQ(kc_chan_len(ch), 0);

    // All of it, and a backend's own number.
    kc_zdesc_t sent[] = {{memory, 64, id, 0, 0}, {memory, 8, 1234567, 99, 0}};
    kc_zdesc_t got;
    for (size_t i = 0; i < 2; i++) {
        EXPECT_EQ(kc_chan_send_desc(ch, &sent[i], 0), 0);
        EXPECT_EQ(kc_chan_recv_desc(ch, &got, 0), 0);
        EXPECT(got.region_id == sent[i].region_id && got.offset == sent[i].offset);
    }
    kc_chan_destroy(ch);
    EXPECT_EQ(kc_region_deregister(region), 0);

    // No region is there: a number of one is refused, and so is one that is gone.
    ch = make_ptr(KC_BUFFERED, 8);
    EXPECT_EQ(kc_chan_enable_zero_copy(ch), 0);
    EXPECT_EQ(kc_chan_send_desc(ch, &sent[0], 0), -22);
    EXPECT_EQ(kc_chan_send_ptr(ch, memory, SIZE_MAX, 0), -22);
    kc_chan_destroy(ch);
}

int main(void) {
    RUN(pointers_through_each_kind);
    RUN(refuses_what_makes_no_sense);
    RUN(whole_descriptors_through_queues);
    RUN(rendezvous_turns_to_descriptors);
    RUN(a_backend_of_one_s_own);
    RUN(closing_reaches_a_backend);
    RUN(many_backends);
    RUN(a_region_waits_for_what_is_in_flight);
    RUN(a_descriptor_is_within_its_region);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
