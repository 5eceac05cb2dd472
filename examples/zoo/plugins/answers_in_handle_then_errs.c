/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers in handle, and then returns Err.
 * Host:   takes one of the two, the answer `answered` or Err, and frees everything
 *         once.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "answered");
    return NR_ERR;
}

ZOO_PLUGIN("answers_in_handle_then_errs")
