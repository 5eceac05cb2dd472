/* SPDX-License-Identifier: BSD-3-Clause */
/* A zero-copy backend outside libkcoro, over kcoro_zcopy.h alone: the template for one's own. The same
 * adapter in Rust is beside it, in ../memory-ring. */
#ifndef MEMORY_RING_H
#define MEMORY_RING_H

#include <stddef.h>

#include "kcoro.h"
#include "kcoro_zcopy.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MEMORY_RING_NAME "memory-ring-c"

/* The `opts` of kc_chan_enable_zero_copy_backend. */
struct memory_ring_opts {
    size_t window;    /* descriptors that may be in flight; at least 1 */
    size_t grant;     /* credits are returned in batches of this size; 1 to `window` */
    size_t bytes_max; /* descriptors of more bytes are refused (-EINVAL) */
};

/* Registers the backend. Returns its id, the same at each call. */
kc_zcopy_backend_id memory_ring_register(void);

/* Closes the ring and its channel. (kc_chan_close alone does not reach into a backend of C.) Sends fail
 * with KC_EPIPE from here on; receives take what is there, and then fail; all waits wake. -EINVAL:
 * the channel has no ring. */
int memory_ring_close(kc_chan_t *ch);

#ifdef __cplusplus
}
#endif

#endif
