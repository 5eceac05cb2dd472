/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: none: writes to stdout in each call, bytes that are no text and no line.
 * Host:   answers calls of `hit` with `hit`; other users of the same stdout have to
 *         expect such bytes.
 * Where:  inline and process.
 */
#include "zoo.h"

#include <unistd.h>

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    static const char said[] = "{\"rule\": \xff\xfe";
    ssize_t written = write(STDOUT_FILENO, said, sizeof said - 1);
    zoo_send(sid, NR_OK, written < 0 ? "stdout is closed" : "hit");
    return NR_OK;
}

ZOO_PLUGIN("writes_to_stdout")
