// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_task.h
 * @brief Removed. There is no task layer; this file only says so.
 */
#error "kcoro_task.h is gone: use kc_spawn and kc_spawn_co of kcoro_sched.h"
