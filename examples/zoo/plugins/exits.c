/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: calls exit(0).
 * Host:   the child ends; its calls fail at once with a typed error, and it is
 *         started again. Other plugins lose nothing.
 * Where:  process only: it takes the process with it.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    exit(0);
}

ZOO_PLUGIN("exits")
