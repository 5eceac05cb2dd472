/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: sends each message back in frames of 64 bytes, and now and then the second
 *         of them before the first.
 * Host:   hands over the frames in the order in which they were sent; what they
 *         carry is wrong, which only a check of the contents finds.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_BIDIRECTIONAL
#define ZOO_STREAM_DATA stream_data
#define ZOO_STREAM_CLOSE stream_close
#include "zoo.h"

#define FRAME 64

static void send_part(uint64_t sid, NrBytes data, uint64_t part) {
    uint64_t from = part * FRAME;
    uint64_t len = data.len - from < FRAME ? data.len - from : FRAME;
    NrBytes frame = {data.ptr + from, len};
    zoo_send_bytes(sid, NR_OK, frame);
}

static NrStatus stream_data(void *plugin_ctx, uint64_t sid, NrBytes data) {
    uint64_t parts = (data.len + FRAME - 1) / FRAME;
    (void)plugin_ctx;
    /* By the length, so that it is wrong in the same places each time. */
    uint64_t part = 0;
    if (parts >= 2 && data.len % 3 == 2) {
        send_part(sid, data, 1);
        send_part(sid, data, 0);
        part = 2;
    }
    for (; part < parts; part++) {
        send_part(sid, data, part);
    }
    return NR_OK;
}

static NrStatus stream_close(void *plugin_ctx, uint64_t sid) {
    (void)plugin_ctx;
    zoo_send(sid, NR_STREAM_END, "");
    return NR_OK;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    return NR_OK;
}

ZOO_PLUGIN("stream_order")
