/* SPDX-License-Identifier: BSD-3-Clause */
/* The port layer: a thin set of macros over the system, for programs that want it.
 *
 *   types       KC_MUTEX_T KC_COND_T
 *   locks       KC_MUTEX_INIT KC_MUTEX_DESTROY KC_MUTEX_LOCK KC_MUTEX_UNLOCK
 *   conditions  KC_COND_INIT (monotonic clock) KC_COND_DESTROY KC_COND_WAIT
 *               KC_COND_TIMEDWAIT_ABS(cond, mutex, timespec) KC_COND_SIGNAL KC_COND_BROADCAST
 *   memory      KC_ALLOC KC_FREE
 *   errors      KC_EAGAIN KC_EPIPE KC_ETIME KC_ECANCELED KC_ENOTSUP
 *
 * Another port: -DKCORO_PORT_HEADER=\"path\". The library itself needs none of this; it must define
 * the same error numbers, which are the library's answers. */
#ifndef KCORO_PORT_H
#define KCORO_PORT_H

#ifdef KCORO_PORT_HEADER
#include KCORO_PORT_HEADER
#else
#include "port/posix.h"
#endif

#endif
