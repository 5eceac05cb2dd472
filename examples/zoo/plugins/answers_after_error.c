/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: handle returns Err; the next call of `ok` answers that call all the same.
 * Host:   fails the call with Err at once; refuses and counts the answer.
 * Where:  inline and process.
 */
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
    __atomic_store_n(&late_sid, sid, __ATOMIC_SEQ_CST);
    return NR_ERR;
}

ZOO_PLUGIN("answers_after_error")
