// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_unified.h
 * @brief Channels and schedulers in one include.
 */
#ifndef KCORO_UNIFIED_H
#define KCORO_UNIFIED_H

#include "kcoro.h"
#include "kcoro_sched.h"

#endif
