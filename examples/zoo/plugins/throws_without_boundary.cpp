/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: throws a C++ exception out of handle, with no SDK in between.
 * Host:   the child ends; its calls fail at once with a typed error, and it is
 *         started again.
 * Where:  process only: an exception that meets a frame of another language ends the
 *         process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    throw 42;
}

ZOO_PLUGIN("throws_without_boundary")
