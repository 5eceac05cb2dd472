/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers Backpressure to every frame from the host and never says that there
 *         is room.
 * Host:   the sender gets Backpressure or its deadline; memory stays within the
 *         bound, closing and dropping the stream work.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_BIDIRECTIONAL
#define ZOO_STREAM_DATA stream_data
#define ZOO_STREAM_CLOSE stream_close
#include "zoo.h"

static NrStatus stream_data(void *plugin_ctx, uint64_t sid, NrBytes data) {
    (void)plugin_ctx;
    (void)sid;
    (void)data;
    return NR_BACKPRESSURE;
}

static NrStatus stream_close(void *plugin_ctx, uint64_t sid) {
    (void)plugin_ctx;
    zoo_send(sid, NR_STREAM_END, "closed");
    return NR_OK;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "open");
    return NR_OK;
}

ZOO_PLUGIN("never_takes_frames")
