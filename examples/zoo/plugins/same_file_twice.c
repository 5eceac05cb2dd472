/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: one set of statics, and no flag that several instances may live.
 * Host:   a second load under another name is refused or gets an image of its own;
 *         each answers the calls since its own load, `1`, `2`, ….
 * Where:  inline and process.
 */
#include "zoo.h"

#include <stdio.h>

static uint64_t calls;

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    char text[24];
    (void)payload;
    snprintf(text, sizeof text, "%llu",
             (unsigned long long)__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST));
    zoo_send(sid, NR_OK, text);
    return NR_OK;
}

ZOO_PLUGIN("same_file_twice")
