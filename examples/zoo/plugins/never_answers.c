/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: returns Ok and never answers.
 * Host:   fails the call at its deadline, or as not answered where only an answer
 *         inside handle counts.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    return NR_OK;
}

ZOO_PLUGIN("never_answers")
