/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: writes to address 8.
 * Host:   the child ends; its calls fail at once with a typed error, and it is
 *         started again. Other plugins lose nothing.
 * Where:  process only: it takes the process with it.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    volatile uintptr_t nowhere = 8;
    (void)sid;
    (void)payload;
    *(volatile uint64_t *)nowhere = 1;
    return NR_OK;
}

ZOO_PLUGIN("segfaults")
