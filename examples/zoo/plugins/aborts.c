/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: calls abort.
 * Host:   the child ends; its calls fail at once with a typed error, and it is
 *         started again. Other plugins lose nothing.
 * Where:  process only: it takes the process with it.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    abort();
}

ZOO_PLUGIN("aborts")
