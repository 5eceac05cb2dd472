/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: gives the time at which it was loaded as its version.
 * Host:   shows that version; nothing else distinguishes two loads of one file.
 * Where:  inline and process.
 */
#define ZOO_VERSION version
#include "zoo.h"

#include <stdio.h>
#include <time.h>

static NrStr version(void) {
    static char text[32];
    if (text[0] == '\0') {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(text, sizeof text, "%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
    }
    return zoo_str(text);
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("version_of_each_load")
