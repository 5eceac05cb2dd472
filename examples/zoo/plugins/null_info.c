/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: the exported function returns NULL.
 * Host:   refuses the load.
 * Where:  inline and process; it never loads.
 */
#include "nylon_ring.h"

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) { return NULL; }
