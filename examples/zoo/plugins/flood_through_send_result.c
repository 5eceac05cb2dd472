/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: sends a million frames of 1 KiB in handle through send_result, which cannot
 *         say Backpressure.
 * Host:   hands over what its queue holds and ends the stream with Backpressure; does
 *         not wait, memory stays within the bound.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_STREAM
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    static const uint8_t block[1024];
    NrBytes frame = {block, sizeof block};
    (void)payload;
    for (int i = 0; i < 1000000; i++) {
        zoo_send_bytes(sid, NR_OK, frame);
    }
    zoo_send(sid, NR_STREAM_END, "");
    return NR_OK;
}

ZOO_PLUGIN("flood_through_send_result")
