/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Streams at their bounds: the plugin of the book's chapter "Streaming".
 *
 * Each entry runs on a coroutine of the host, so it may wait where it stands.
 */
#include "becket_plugin.h"
#include "becket_text.h"
#include "becket_wait.h"

/* ANCHOR: numbers */
/* 1, 2, 3 … until the caller has gone. Waits while the caller reads slowly. */
static NrStatus numbers(const BkCall *call) {
    NrStatus status = NR_OK;
    for (uint64_t number = 1; status == NR_OK; number++) {
        BkText text;
        bk_text_init(&text);
        bk_text_add_number(&text, number);
        bk_text_add(&text, bk_text("\n"));
        status = bk_text_stream(&text, call->plugin, call->sid, BK_FOREVER);
    }
    return status; /* NR_CANCELLED: no caller reads any more */
}
/* ANCHOR_END: numbers */

/* ANCHOR: blocks */
/* The same with 64 KiB in each frame. */
static NrStatus blocks(const BkCall *call) {
    static const uint8_t block[64 * 1024];
    NrStatus status = NR_OK;
    while (status == NR_OK) {
        NrBytes frame = bk_bytes(block, sizeof block);
        status = bk_stream_send(call->plugin, call->sid, frame, BK_FOREVER);
    }
    return status;
}
/* ANCHOR_END: blocks */

/* ANCHOR: count */
/* Counts messages until the caller closes its side, then says how many. */
static NrStatus count(const BkCall *call) {
    uint64_t messages = 0;
    NrStatus status = NR_OK;
    while (status == NR_OK) {
        NrOwnedBytes message;
        status = bk_stream_recv(call->plugin, call->sid, &message, BK_FOREVER);
        if (status == NR_OK) {
            messages++;
            bk_release(&message);
        }
    }
    if (status != NR_CLOSED) {
        return status;
    }
    BkText text;
    bk_text_init(&text);
    bk_text_add_number(&text, messages);
    bk_text_add(&text, bk_text(" messages"));
    return bk_text_answer(&text, call, NR_STREAM_END);
}
/* ANCHOR_END: count */

/* ANCHOR: cut */
/* Two frames, then a failure. */
static NrStatus cut(const BkCall *call) {
    NrStatus status = bk_stream_send(call->plugin, call->sid, bk_text("one\n"), BK_FOREVER);
    if (status == NR_OK) {
        status = bk_stream_send(call->plugin, call->sid, bk_text("two\n"), BK_FOREVER);
    }
    return status == NR_OK ? bk_answer_text(call, NR_ERR, "no three") : status;
}
/* ANCHOR_END: cut */

static const BkEntry entries[] = {
    {"numbers", BK_ENTRY_STREAM, "1, 2, 3 and on", numbers},
    {"blocks", BK_ENTRY_STREAM, "64 KiB in each frame, without end", blocks},
    {"count", BK_ENTRY_BIDIRECTIONAL, "how many messages came", count},
    {"cut", BK_ENTRY_STREAM, "fails after two frames", cut},
};

static const BkPluginDef plugin = {
    .name = "streams",
    .version = "0.1.0",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MAY_UNLOAD | BK_PLUGIN_WANTS_COROUTINE,
    BK_ENTRIES(entries),
};

BK_PLUGIN(plugin)
