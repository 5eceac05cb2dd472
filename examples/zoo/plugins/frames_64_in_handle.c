/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: none: 64 frames and the end, all inside handle.
 * Host:   hands over 64 frames `0` to `63`, in order, and the end.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_STREAM
#include "zoo.h"

#include <stdio.h>

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    char text[24];
    (void)payload;
    for (int i = 0; i < 64; i++) {
        snprintf(text, sizeof text, "%d", i);
        zoo_send(sid, NR_OK, text);
    }
    zoo_send(sid, NR_STREAM_END, "");
    return NR_OK;
}

ZOO_PLUGIN("frames_64_in_handle")
