/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers with status 99.
 * Host:   hands over status 99 and the body; it counts as an error.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, 99, "ninety-nine");
    return NR_OK;
}

ZOO_PLUGIN("status_99_sent")
