/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: handle returns 99.
 * Host:   fails the call with status 99, as it is.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    return 99;
}

ZOO_PLUGIN("status_99_returned")
