/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin in C from a table of its entries.
 *
 *     static NrStatus hello(const BkCall *call) {
 *         return bk_answer_text(call, NR_OK, "hello");
 *     }
 *     static const BkEntry entries[] = {
 *         {"hello", BK_ENTRY_UNARY, "says hello", hello},
 *     };
 *     static const BkPluginDef def = {
 *         .name = "greeter", .version = "1.0.0", .flags = BK_PLUGIN_THREAD_SAFE,
 *         BK_ENTRIES(entries),
 *     };
 *     BK_PLUGIN(def)
 *
 * BK_PLUGIN, in one source file of the library, makes the exported function,
 * the vtable, the lookup of entries by name and by id, and describe.
 *
 * Instances. A host may load one file under several names if the plugin sets
 * BK_PLUGIN_MULTI_INSTANCE. Then each load gets a slot of a fixed table:
 *
 *     FREE -- nylon_ring_get_plugin_v1 --> OFFERED -- attach --> CLAIMED -- init --> LIVE
 *      ^                                      |                                       ^ |
 *      |                                      +------- init, without attach ----------+ |
 *      +------------------------- init failed, shutdown --------------------------------+
 *
 * A host that only inspects and never calls init leaves a slot OFFERED; when no
 * slot is FREE one of those is offered again, also to two loads at once: the
 * first that attaches has it, and the other is refused with BACKPRESSURE. With
 * none FREE or OFFERED the answer is NULL, and the load is refused. A plugin
 * without the flag has one slot, which every lookup gets.
 *
 * A load that a host gives up between attach and init (load_timeout_ms) leaves
 * its slot CLAIMED: nothing of the plugin is called any more. Each load of
 * Becket maps a copy with a table of its own, so that this costs the next load
 * nothing; with private_copy = false it costs the slot.
 *
 * Threads. Lookups may run at once, and loads too: a slot is offered under a
 * lock, its state is atomic, and its words are written by the attach and the
 * init that have claimed it, and only read later. A thread that outlives
 * shutdown may go on calling the host through them, also after the slot was
 * offered again: the host refuses what is not its instance's.
 */
#ifndef BECKET_PLUGIN_H
#define BECKET_PLUGIN_H

#include <pthread.h>

#include "becket_call.h"
#include "becket_wait.h"

#ifndef BK_INSTANCES_MAX
#define BK_INSTANCES_MAX 32
#endif

/* NR_OK: answered, or will be. Anything else fails the call with that status. */
typedef NrStatus (*BkHandler)(const BkCall *call);

typedef struct BkEntry {
    const char *name;
    uint32_t kind; /* BK_ENTRY_*, perhaps | BK_ENTRY_NEVER_WAITS */
    const char *help;
    BkHandler handle;
} BkEntry;

/* The plugin. Whatever is NULL is not supported. */
typedef struct BkPluginDef {
    const char *name;
    const char *version;
    uint32_t flags;             /* BK_PLUGIN_* */
    const char *config_default; /* a JSON object, or NULL */
    const BkEntry *entries;
    uint32_t entries_len;
    /* Once, before any call. Anything but NR_OK refuses the load. */
    NrStatus (*start)(BkPlugin *plugin);
    /* Once, after every call; not if start failed. */
    void (*stop)(BkPlugin *plugin);
    /* A frame from the host. BACKPRESSURE: not taken; the host offers it again
     * after bk_stream_ready. */
    NrStatus (*stream_data)(BkPlugin *plugin, uint64_t sid, NrBytes data);
    /* A frame to sid was refused with BACKPRESSURE; now there is room. It may
     * come before the call that was refused has returned. An older host never
     * calls it. */
    NrStatus (*stream_room)(BkPlugin *plugin, uint64_t sid);
    /* The host sends no more; the plugin may still. */
    NrStatus (*stream_close)(BkPlugin *plugin, uint64_t sid);
    /* sid has no caller any more. */
    NrStatus (*cancel)(BkPlugin *plugin, uint64_t sid);
    NrStatus (*reload_export)(BkPlugin *plugin, NrOwnedBytes *out);
    NrStatus (*reload_import)(BkPlugin *plugin, NrBytes state);
    /* Bytes of stack of a handler on a coroutine; 0: 64 KiB. */
    uint64_t coroutine_stack_bytes;
} BkPluginDef;

#define BK_ENTRIES(table) \
    .entries = (table), .entries_len = (uint32_t)(sizeof(table) / sizeof((table)[0]))

/* Slots. */

#define BK_SLOT_FREE 0
#define BK_SLOT_OFFERED 1
#define BK_SLOT_CLAIMED 2
#define BK_SLOT_LIVE 3

typedef struct BkSlot {
    BkPlugin plugin; /* first: plugin_ctx is both */
    NrPluginInfo info;
    int state; /* BK_SLOT_*; through __atomic only */
} BkSlot;

static inline void bk_slot_settle(void *plugin_ctx, int state) {
    __atomic_store_n(&((BkSlot *)plugin_ctx)->state, state, __ATOMIC_SEQ_CST);
}

/* 1: the state was `from`, and is `to` from now on. */
static inline int bk_slot_moves(void *plugin_ctx, int from, int to) {
    return __atomic_compare_exchange_n(&((BkSlot *)plugin_ctx)->state, &from, to, 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* The vtable's functions; plugin_ctx is the slot. */

static inline uint32_t bk_vt_resolve_entry(void *plugin_ctx, NrStr name) {
    const BkPluginDef *def = ((BkPlugin *)plugin_ctx)->def;
    for (uint32_t i = 0; i < def->entries_len; i++) {
        if (bk_str_eq(name, def->entries[i].name)) {
            return i;
        }
    }
    return BK_ENTRY_UNKNOWN;
}

static inline NrStatus bk_vt_handle_by_id(void *plugin_ctx, uint32_t id, uint64_t sid,
                                          const NrRequest *request, NrBytes payload) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    if (id >= plugin->def->entries_len) {
        return NR_UNSUPPORTED;
    }
    const BkEntry *entry = &plugin->def->entries[id];
    int is_stream = (entry->kind & ~BK_ENTRY_NEVER_WAITS) != BK_ENTRY_UNARY;
    BkCall call = {plugin, sid, request, payload, is_stream};
    return entry->handle(&call);
}

static inline NrStatus bk_vt_handle(void *plugin_ctx, NrStr entry, uint64_t sid,
                                    const NrRequest *request, NrBytes payload) {
    return bk_vt_handle_by_id(plugin_ctx, bk_vt_resolve_entry(plugin_ctx, entry), sid, request,
                              payload);
}

static inline NrStatus bk_vt_handle_raw(void *plugin_ctx, NrStr entry, uint64_t sid,
                                        NrBytes payload) {
    return bk_vt_handle(plugin_ctx, entry, sid, NULL, payload);
}

static inline NrStatus bk_vt_describe(void *plugin_ctx, uint32_t index, BkEntryInfo *out) {
    const BkPluginDef *def = ((BkPlugin *)plugin_ctx)->def;
    if (index >= def->entries_len || out->struct_size < sizeof(BkEntryInfo)) {
        return NR_INVALID;
    }
    out->kind = def->entries[index].kind;
    out->name = bk_str(def->entries[index].name);
    out->help = bk_str(def->entries[index].help);
    return NR_OK;
}

static inline NrStatus bk_vt_attach(void *plugin_ctx, void *host_ctx, const BkHostApi *api) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    if (!bk_slot_moves(plugin_ctx, BK_SLOT_OFFERED, BK_SLOT_CLAIMED)) {
        return NR_BACKPRESSURE; /* another load was faster */
    }
    plugin->host_ctx = host_ctx;
    plugin->api = api;
    return NR_OK;
}

static inline NrStatus bk_vt_init(void *plugin_ctx, void *host_ctx, const NrHostVTable *host) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    if (!bk_slot_moves(plugin_ctx, BK_SLOT_CLAIMED, BK_SLOT_LIVE)) {
        if (!bk_slot_moves(plugin_ctx, BK_SLOT_OFFERED, BK_SLOT_LIVE)) {
            return NR_BACKPRESSURE;
        }
        plugin->api = NULL; /* of the instance before */
    }
    plugin->host_ctx = host_ctx;
    plugin->host = host;
    plugin->user = NULL;
    NrStatus status = plugin->def->start == NULL ? NR_OK : plugin->def->start(plugin);
    if (status != NR_OK) {
        bk_slot_settle(plugin_ctx, BK_SLOT_FREE);
    }
    return status;
}

static inline void bk_vt_shutdown(void *plugin_ctx) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    if (plugin->def->stop != NULL) {
        plugin->def->stop(plugin);
    }
    bk_slot_settle(plugin_ctx, BK_SLOT_FREE);
}

static inline NrStatus bk_vt_stream_data(void *plugin_ctx, uint64_t sid, NrBytes data) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    return plugin->def->stream_data == NULL ? NR_UNSUPPORTED
                                            : plugin->def->stream_data(plugin, sid, data);
}

static inline NrStatus bk_vt_stream_close(void *plugin_ctx, uint64_t sid) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    return plugin->def->stream_close == NULL ? NR_UNSUPPORTED
                                             : plugin->def->stream_close(plugin, sid);
}

static inline NrStatus bk_vt_cancel(void *plugin_ctx, uint64_t sid) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    return plugin->def->cancel == NULL ? NR_UNSUPPORTED : plugin->def->cancel(plugin, sid);
}

static inline NrStatus bk_vt_reload_export(void *plugin_ctx, NrOwnedBytes *out) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    return plugin->def->reload_export == NULL ? NR_UNSUPPORTED
                                              : plugin->def->reload_export(plugin, out);
}

static inline NrStatus bk_vt_reload_import(void *plugin_ctx, NrBytes state) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    return plugin->def->reload_import == NULL ? NR_UNSUPPORTED
                                              : plugin->def->reload_import(plugin, state);
}

static inline NrStatus bk_vt_stream_room(void *plugin_ctx, uint64_t sid) {
    BkPlugin *plugin = (BkPlugin *)plugin_ctx;
    return plugin->def->stream_room == NULL ? NR_UNSUPPORTED
                                            : plugin->def->stream_room(plugin, sid);
}

static const NrPluginVTable bk_vtable = {
    bk_vt_init,         bk_vt_handle,     bk_vt_shutdown,      bk_vt_stream_data,
    bk_vt_stream_close, bk_vt_handle_raw, bk_vt_resolve_entry, bk_vt_handle_by_id,
    bk_vt_describe,     bk_vt_cancel,     bk_vt_reload_export, bk_vt_reload_import,
    bk_vt_stream_room,
};

/* The first slot of this state, from `first` on; NULL: there is none. */
static inline BkSlot *bk_slot_find(BkSlot *slots, uint32_t slots_len, uint32_t first, int state) {
    for (uint32_t i = 0; i < slots_len; i++) {
        BkSlot *slot = &slots[(first + i) % slots_len];
        if (__atomic_load_n(&slot->state, __ATOMIC_SEQ_CST) == state) {
            return slot;
        }
    }
    return NULL;
}

/* Takes a slot and makes its info; NULL: every slot is CLAIMED or LIVE. A
 * plugin without several instances has one slot, which every lookup gets. The
 * caller holds the lock of the slots. */
static inline const NrPluginInfo *bk_slot_offer(BkSlot *slots, uint32_t slots_len,
                                                uint32_t *turn, const BkPluginDef *def) {
    uint32_t first = (*turn)++ % slots_len;
    BkSlot *slot = bk_slot_find(slots, slots_len, first, BK_SLOT_FREE);
    if (slot == NULL) {
        /* Its info is made, and a host may be reading it. */
        slot = slots_len == 1 ? slots
                              : bk_slot_find(slots, slots_len, first, BK_SLOT_OFFERED);
        return slot == NULL ? NULL : &slot->info;
    }
    /* host, host_ctx and api of the instance before stay: a late thread of it
     * may still call the host. attach and init write the new ones. */
    slot->plugin.def = def;
    NrPluginInfo *info = &slot->info;
    info->abi_version = NR_ABI_VERSION;
    info->struct_size = sizeof(NrPluginInfo);
    info->name = bk_str(def->name);
    info->version = bk_str(def->version);
    info->plugin_ctx = slot;
    info->vtable = &bk_vtable;
    info->vtable_size = sizeof(NrPluginVTable);
    info->flags = def->flags;
    info->config_default = bk_str(def->config_default);
    info->attach = bk_vt_attach;
    info->coroutine_stack_bytes = def->coroutine_stack_bytes;
    bk_slot_settle(slot, BK_SLOT_OFFERED);
    return info;
}

#define BK_PLUGIN(definition)                                                               \
    NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {                          \
        static BkSlot slots[BK_INSTANCES_MAX];                                              \
        static uint32_t turn;                                                               \
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;                            \
        uint32_t slots_len =                                                                \
            ((definition).flags & BK_PLUGIN_MULTI_INSTANCE) != 0 ? BK_INSTANCES_MAX : 1;    \
        pthread_mutex_lock(&lock);                                                          \
        const NrPluginInfo *info = bk_slot_offer(slots, slots_len, &turn, &(definition));   \
        pthread_mutex_unlock(&lock);                                                        \
        return info;                                                                        \
    }

#endif /* BECKET_PLUGIN_H */
