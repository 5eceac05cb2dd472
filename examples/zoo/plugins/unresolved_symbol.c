/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: calls a function that no library has.
 * Host:   refuses the load with the loader's message, which names the function.
 * Where:  inline and process; it never loads.
 */
#include "zoo.h"

void zoo_function_that_nobody_has(void);

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    zoo_function_that_nobody_has();
    return NR_OK;
}

ZOO_PLUGIN("unresolved_symbol")
