/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: sends each message back, one of more than 40 bytes without its last byte.
 * Host:   hands over the frames as they were sent; that a byte is missing only a
 *         check of the contents finds.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_BIDIRECTIONAL
#define ZOO_STREAM_DATA stream_data
#define ZOO_STREAM_CLOSE stream_close
#include "zoo.h"

#define WHOLE 40

static NrStatus stream_data(void *plugin_ctx, uint64_t sid, NrBytes data) {
    (void)plugin_ctx;
    NrBytes frame = {data.ptr, data.len > WHOLE ? data.len - 1 : data.len};
    zoo_send_bytes(sid, NR_OK, frame);
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

ZOO_PLUGIN("loses_bytes")
