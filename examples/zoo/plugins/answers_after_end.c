/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: ends its stream; the next call of `ok` sends a frame and an end to it all
 *         the same.
 * Host:   the stream is one frame and its end; refuses and counts the rest.
 * Where:  inline and process.
 */
#define ZOO_HIT_KIND BK_ENTRY_STREAM
#define ZOO_BEFORE_OK answer_late
#include "zoo.h"

static uint64_t late_sid;

static void answer_late(void) {
    uint64_t sid = __atomic_exchange_n(&late_sid, 0, __ATOMIC_SEQ_CST);
    if (sid != 0) {
        zoo_send(sid, NR_OK, "late");
    }
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "frame");
    zoo_send(sid, NR_STREAM_END, "");
    __atomic_store_n(&late_sid, sid, __ATOMIC_SEQ_CST);
    return NR_OK;
}

ZOO_PLUGIN("answers_after_end")
