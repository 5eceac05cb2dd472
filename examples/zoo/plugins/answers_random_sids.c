/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers 100000 made-up sids: 0, the largest, the neighbours of its own,
 *         each bit of it flipped, and random ones.
 * Host:   refuses and counts all of them; the answer is `done`.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    uint64_t random = sid | 1;
    (void)payload;
    zoo_send(0, NR_OK, "forged");
    zoo_send(UINT64_MAX, NR_OK, "forged");
    zoo_send(sid + 1, NR_OK, "forged");
    zoo_send(sid - 1, NR_OK, "forged");
    for (int bit = 0; bit < 64; bit++) {
        zoo_send(sid ^ UINT64_C(1) << bit, NR_OK, "forged");
    }
    for (int i = 0; i < 100000 - 68; i++) {
        random ^= random << 13; /* xorshift64 */
        random ^= random >> 7;
        random ^= random << 17;
        if (random != sid) {
            zoo_send(random, NR_OK, "forged");
        }
    }
    zoo_send(sid, NR_OK, "done");
    return NR_OK;
}

ZOO_PLUGIN("answers_random_sids")
