/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: exports a function under another name.
 * Host:   refuses the load, saying what the file exports.
 * Where:  inline and process; it never loads.
 */
#include "nylon_ring.h"

NR_EXPORT const NrPluginInfo *get_my_plugin(void);
NR_EXPORT const NrPluginInfo *get_my_plugin(void) { return NULL; }
