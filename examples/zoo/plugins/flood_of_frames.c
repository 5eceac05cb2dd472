/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: sends a million frames of 1 KiB in handle and does not look at the answers.
 * Host:   takes what its queue holds, says Backpressure to the rest, lets the end
 *         through; memory stays within the stream's bound.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_STREAM
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    static const uint8_t block[1024];
    NrBytes frame = {block, sizeof block};
    (void)payload;
    for (int i = 0; i < 1000000; i++) {
        if (BK_HAS(zoo_api, send)) {
            zoo_api->send(zoo_host_ctx, sid, NR_OK, frame);
        } else {
            zoo_send_bytes(sid, NR_OK, frame);
        }
    }
    zoo_send(sid, NR_STREAM_END, "");
    return NR_OK;
}

ZOO_PLUGIN("flood_of_frames")
