/* SPDX-License-Identifier: BSD-3-Clause */
/* Loads at once, of more instances than there are slots: each that succeeds has
 * a slot of its own, and the others are refused. */
#define _POSIX_C_SOURCE 200809L /* barriers */
#define BK_INSTANCES_MAX 4
#include <sched.h>

#include "becket_plugin.h"

#include "becket_fake_host.h"

#define LOADS 8
#define ROUNDS 3000

static NrStatus hello(const BkCall *call) { return bk_answer_text(call, NR_OK, "hello"); }

static const BkEntry entries[] = {
    {"hello", BK_ENTRY_UNARY, "says hello", hello},
};
static const BkPluginDef def = {
    .name = "slots",
    .version = "1",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE,
    BK_ENTRIES(entries),
};
BK_PLUGIN(def)

static const BkHostApi api;
static const NrHostVTable host;
static int host_ctx[LOADS];
static const NrPluginInfo *loaded[LOADS];
static pthread_barrier_t together;

/* NULL: refused. Other loads get their turn between the steps. */
static const NrPluginInfo *load(int number) {
    const NrPluginInfo *info = nylon_ring_get_plugin_v1();
    sched_yield();
    if (info == NULL || info->attach(info->plugin_ctx, &host_ctx[number], &api) != NR_OK) {
        return NULL;
    }
    sched_yield();
    return info->vtable->init(info->plugin_ctx, &host_ctx[number], &host) == NR_OK ? info : NULL;
}

static void all_have_their_own(void) {
    int count = 0;
    for (int i = 0; i < LOADS; i++) {
        if (loaded[i] == NULL) {
            continue;
        }
        count++;
        const BkPlugin *plugin = (const BkPlugin *)loaded[i]->plugin_ctx;
        BK_CHECK(plugin->host_ctx == &host_ctx[i]);
        BK_CHECK(plugin->api == &api && plugin->def == &def);
        for (int k = 0; k < i; k++) {
            BK_CHECK(loaded[k] != loaded[i]);
        }
    }
    BK_CHECK(count >= 1 && count <= BK_INSTANCES_MAX);
}

static void *loads(void *arg) {
    int number = (int)((int *)arg - host_ctx);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&together);
        loaded[number] = load(number);
        pthread_barrier_wait(&together);
        if (number == 0) {
            all_have_their_own();
        }
        pthread_barrier_wait(&together);
        if (loaded[number] != NULL) {
            loaded[number]->vtable->shutdown(loaded[number]->plugin_ctx);
        }
    }
    return NULL;
}

int main(void) {
    pthread_t threads[LOADS];
    BK_CHECK(pthread_barrier_init(&together, NULL, LOADS) == 0);
    for (int i = 0; i < LOADS; i++) {
        BK_CHECK(pthread_create(&threads[i], NULL, loads, &host_ctx[i]) == 0);
    }
    for (int i = 0; i < LOADS; i++) {
        BK_CHECK(pthread_join(threads[i], NULL) == 0);
    }
    /* No slot was lost; one that was only looked up is offered again. */
    for (int i = 0; i < BK_INSTANCES_MAX; i++) {
        BK_CHECK(nylon_ring_get_plugin_v1() != NULL);
    }
    for (int i = 0; i < BK_INSTANCES_MAX; i++) {
        BK_CHECK(load(i) != NULL);
    }
    BK_CHECK(load(BK_INSTANCES_MAX) == NULL);
    return 0;
}
