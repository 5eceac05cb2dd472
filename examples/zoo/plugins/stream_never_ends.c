/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: sends a frame, and never the end of its stream.
 * Host:   ends the stream at its idle limit or its deadline, and tells the
 *         plugin.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_STREAM
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "frame");
    return NR_OK;
}

ZOO_PLUGIN("stream_never_ends")
