/* SPDX-License-Identifier: BSD-3-Clause */
/* Cancel tokens as a graph: children of a token, added and removed at any time.
 *
 * Every function may be called from any thread, and in a coroutine. A token may be
 * destroyed while it is waited for; the wait continues. */
#ifndef KC_CANCEL_H
#define KC_CANCEL_H

#include "kcoro.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A new token, to be destroyed by kc_cancel_destroy. With a parent it is set when the parent is;
 * below a parent that is set it is set from the start. The parent may be destroyed first. -EINVAL:
 * `out` is NULL. */
int kc_cancel_create(kc_cancel_t **out, kc_cancel_t *parent);

/* 1 if it is set; 0 if not, and for NULL. */
int kc_cancel_is_triggered(const kc_cancel_t *t);

/* Waits until it is set: 0; KC_ETIME after the timeout (`timeout_ms`: as everywhere). Parks a
 * coroutine, blocks a plain thread. -EINVAL: NULL. */
int kc_cancel_wait(const kc_cancel_t *t, long timeout_ms);

/* From now on `child` is set when `parent` is, or at once if it is set. A token may have several
 * parents; it keeps them alive, so a cycle of tokens must be broken again. -EINVAL: NULL, or a
 * token and itself. */
int kc_cancel_add_child(kc_cancel_t *parent, kc_cancel_t *child);

/* Removes the parent relation, however it was made. -ENOENT: there was none. */
int kc_cancel_remove_child(kc_cancel_t *parent, kc_cancel_t *child);

#ifdef __cplusplus
}
#endif

#endif
