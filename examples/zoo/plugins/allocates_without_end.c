/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: allocates memory until there is none.
 * Host:   the child ends at its memory limit; its calls fail at once with a typed
 *         error, and it is started again. Other plugins lose nothing.
 * Where:  process only: it takes the process with it.
 */
#include "zoo.h"

static void *volatile kept; /* or the compiler would leave it all out */

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    for (;;) {
        void *block = malloc(1 << 20);
        if (block == NULL) {
            abort();
        }
        /* Or it could be left out. All of it would only take the machine's time. */
        *(char *)block = 1;
        kept = block;
    }
}

ZOO_PLUGIN("allocates_without_end")
