/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An answer put together from pieces: in place while it is short, on the heap
 * when it grows, and then handed to the host without a copy.
 *
 *     BkText text;
 *     bk_text_init(&text);
 *     bk_text_add(&text, bk_text("hello "));
 *     bk_text_add(&text, call->payload);
 *     return bk_text_answer(&text, call, NR_OK);
 */
#ifndef BECKET_TEXT_H
#define BECKET_TEXT_H

#include <stdlib.h>

#include "becket_wait.h"

#define BK_TEXT_INLINE_BYTES_MAX 512

typedef struct BkText {
    uint8_t *heap; /* NULL: in place */
    uint64_t len;
    uint64_t cap;
    int failed; /* no memory; the answer becomes NR_ERR */
    uint8_t in_place[BK_TEXT_INLINE_BYTES_MAX];
} BkText;

static inline void bk_text_init(BkText *text) {
    text->heap = NULL;
    text->len = 0;
    text->cap = sizeof text->in_place;
    text->failed = 0;
}

static inline uint8_t *bk_text_data(BkText *text) {
    return text->heap != NULL ? text->heap : text->in_place;
}

/* Room for more bytes behind the text; NULL: no memory. */
static inline uint8_t *bk_text_reserve(BkText *text, uint64_t more) {
    if (text->failed || more > UINT64_MAX / 2 - text->len) {
        text->failed = 1;
        return NULL;
    }
    uint64_t need = text->len + more;
    if (need > text->cap) {
        uint64_t cap = need > text->cap * 2 ? need : text->cap * 2;
        uint8_t *grown = (uint8_t *)realloc(text->heap, cap);
        if (grown == NULL) {
            text->failed = 1;
            return NULL;
        }
        if (text->heap == NULL) {
            memcpy(grown, text->in_place, text->len);
        }
        text->heap = grown;
        text->cap = cap;
    }
    return bk_text_data(text) + text->len;
}

static inline void bk_text_add(BkText *text, NrBytes piece) {
    uint8_t *room = piece.len == 0 ? NULL : bk_text_reserve(text, piece.len);
    if (room != NULL) {
        memcpy(room, piece.ptr, piece.len);
        text->len += piece.len;
    }
}

static inline void bk_text_add_number(BkText *text, uint64_t number) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    bk_text_add(text, bk_bytes(digits, len > 0 ? (uint64_t)len : 0));
}

static inline void bk_text_free(BkText *text) {
    free(text->heap);
    bk_text_init(text);
}

static inline void bk_text_release(void *owner_ctx, const uint8_t *ptr, uint64_t len) {
    (void)ptr;
    (void)len;
    free(owner_ctx);
}

/* Sends it, as bk_send. Afterwards the text is empty, also when the host did not take it. */
static inline NrStatus bk_text_send(BkText *text, const BkPlugin *plugin, uint64_t sid,
                                    NrStatus status) {
    NrStatus sent;
    if (text->failed) {
        sent = NR_ERR;
    } else if (text->heap == NULL) {
        sent = bk_send(plugin, sid, status, bk_bytes(text->in_place, text->len));
    } else {
        NrOwnedBytes owned = {text->heap, text->len, text->heap, bk_text_release};
        sent = bk_send_owned(plugin, sid, status, owned);
        if (sent != NR_BACKPRESSURE) {
            text->heap = NULL; /* the host's now */
        }
    }
    bk_text_free(text);
    return sent;
}

/* Sends it as a frame, when there is room. Afterwards the text is empty. */
static inline NrStatus bk_text_stream(BkText *text, const BkPlugin *plugin, uint64_t sid,
                                      uint64_t timeout_ns) {
    NrStatus sent = text->failed ? NR_ERR
                                 : bk_stream_send(plugin, sid,
                                                  bk_bytes(bk_text_data(text), text->len),
                                                  timeout_ns);
    bk_text_free(text);
    return sent;
}

/* The answer to a call, or the last frame of a stream. A text for which there was no memory ends it
 * with NR_ERR, without bytes. */
static inline NrStatus bk_text_end(BkText *text, const BkPlugin *plugin, uint64_t sid,
                                   NrStatus status) {
    int failed = text->failed;
    NrStatus sent = bk_text_send(text, plugin, sid, status);
    if (failed) {
        bk_send(plugin, sid, sent, bk_bytes(NULL, 0));
    }
    return sent;
}

/* In a handler: the answer, as by bk_text_end, or a frame. */
static inline NrStatus bk_text_answer(BkText *text, const BkCall *call, NrStatus status) {
    return call->is_stream && status == NR_OK ? bk_text_send(text, call->plugin, call->sid, status)
                                              : bk_text_end(text, call->plugin, call->sid, status);
}

#endif /* BECKET_TEXT_H */
