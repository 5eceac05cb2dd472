// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kc_blocking.h
 * @brief Blocking calls, and waits for file descriptors, without blocking a worker.
 *
 * Each parks the calling coroutine, or the thread. timeout_ms < 0: without a limit. A timeout is
 * -ETIMEDOUT here, not KC_ETIME. If the current context has a token under
 * KC_CTX_KEY_CANCEL (kc_context.h), setting it ends the wait with KC_ECANCELED (-125); if it has a
 * deadline under KC_CTX_KEY_DEADLINE, the wait ends with -ETIMEDOUT then.
 *
 * Every function may be called by any thread.
 */
#ifndef KC_BLOCKING_H
#define KC_BLOCKING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int (*kc_block_fn)(void *arg);

/**
 * Runs fn(arg) on a thread for such calls, and waits for it. out_status may be NULL; it gets the
 * result of fn. 0; -EINVAL: fn is NULL; -ETIMEDOUT, KC_ECANCELED: the wait ended first.
 *
 * A call that had not started by then never will. One that had started continues: the object at arg
 * must live until fn has returned.
 */
int kc_block_call(kc_block_fn fn, void *arg, long timeout_ms, int *out_status);

/**
 * Waits until fd can be read, or is at its end, or has an error to report. 0; -ETIMEDOUT;
 * KC_ECANCELED; -EBADF or another -errno. A regular file is always ready.
 */
int kc_io_wait_readable(int fd, long timeout_ms);

/** The same for writing. */
int kc_io_wait_writable(int fd, long timeout_ms);

/**
 * Reads len bytes, waiting in between. Fewer: the file ended, or an error occurred after some were
 * read. A negative number: an error before any byte. timeout_ms is for the whole call. fd may be in
 * blocking mode or not.
 */
ssize_t kc_io_read(int fd, void *buf, size_t len, long timeout_ms);

/** Writes len bytes, likewise. SIGPIPE is up to the caller. */
ssize_t kc_io_write(int fd, const void *buf, size_t len, long timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
