/* SPDX-License-Identifier: BSD-3-Clause */
/* The port layer for POSIX systems: what kcoro_port.h promises, and the error numbers.
 *
 * The lock and condition macros use pthread functions at the place where they are written; compile
 * with _POSIX_C_SOURCE=200809L (or the compiler's GNU mode) if you use them. */
#ifndef KCORO_PORT_POSIX_H
#define KCORO_PORT_POSIX_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define KC_MUTEX_T pthread_mutex_t
#define KC_COND_T pthread_cond_t

#define KC_MUTEX_INIT(m) pthread_mutex_init((m), NULL)
#define KC_MUTEX_DESTROY(m) pthread_mutex_destroy(m)
#define KC_MUTEX_LOCK(m) pthread_mutex_lock(m)
#define KC_MUTEX_UNLOCK(m) pthread_mutex_unlock(m)

/* A condition whose deadlines are CLOCK_MONOTONIC's. */
#define KC_COND_INIT(c)                                           \
    do {                                                          \
        pthread_condattr_t kc_attr_;                              \
        pthread_condattr_init(&kc_attr_);                         \
        pthread_condattr_setclock(&kc_attr_, CLOCK_MONOTONIC);    \
        pthread_cond_init((c), &kc_attr_);                        \
        pthread_condattr_destroy(&kc_attr_);                      \
    } while (0)
#define KC_COND_DESTROY(c) pthread_cond_destroy(c)
#define KC_COND_WAIT(c, m) pthread_cond_wait((c), (m))
#define KC_COND_TIMEDWAIT_ABS(c, m, ts) pthread_cond_timedwait((c), (m), (ts))
#define KC_COND_SIGNAL(c) pthread_cond_signal(c)
#define KC_COND_BROADCAST(c) pthread_cond_broadcast(c)

#define KC_ALLOC(size) malloc(size)
#define KC_FREE(p) free(p)

#ifndef KC_EAGAIN
#define KC_EAGAIN (-EAGAIN) /* the operation would have to wait */
#endif
#ifndef KC_EPIPE
#define KC_EPIPE (-EPIPE) /* closed, and nothing is left */
#endif
#ifndef KC_ETIME
#define KC_ETIME (-ETIME) /* the bounded wait elapsed; not ETIMEDOUT */
#endif
#ifndef KC_ECANCELED
#define KC_ECANCELED (-ECANCELED) /* the token is set */
#endif
#ifndef KC_ENOTSUP
#define KC_ENOTSUP (-ENOTSUP) /* a feature or a backend that is not there */
#endif

#endif
