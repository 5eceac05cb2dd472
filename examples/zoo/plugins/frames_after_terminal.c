/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: sends frames, ends and errors after the end, in the same handle.
 * Host:   the stream is `frame` and its end; refuses and counts the four others.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_STREAM
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "frame");
    zoo_send(sid, NR_STREAM_END, "");
    zoo_send(sid, NR_OK, "after");
    zoo_send(sid, NR_STREAM_END, "after");
    zoo_send(sid, NR_ERR, "after");
    zoo_send(sid, 99, "after");
    return NR_OK;
}

ZOO_PLUGIN("frames_after_terminal")
