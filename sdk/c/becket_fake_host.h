/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host for unit tests of a plugin, linked into the test: nothing is loaded,
 * and no clock runs. C11 and C++17.
 *
 *     BkFakeHost *host = bk_fake_new();
 *     BK_CHECK(bk_fake_load(host, nylon_ring_get_plugin_v1(), 1) == NR_OK);
 *     uint64_t sid = bk_fake_call(host, "echo", NULL, bk_fake_text("hi"));
 *     BK_CHECK_FRAME(host, sid, NR_OK, "hi");
 *     BK_CHECK(bk_fake_unload(host) == 0);
 *     bk_fake_free(host);
 *
 * It keeps the rules that a plugin can notice: the first answer wins and later
 * ones get Invalid; nothing passes after a terminal frame; a full stream queue
 * answers Backpressure but lets the terminal frame through; state ends with its
 * call; a lease is used once. Timers run in bk_fake_advance, in the order of
 * their times, on the caller's thread. config_get knows the keys that
 * bk_fake_config set, and reads no JSON.
 *
 * Threads: the host's callbacks may come from any thread of the plugin; the
 * bk_fake functions are the test's, one thread at a time. bk_fake_wait waits for
 * a frame that another thread sends.
 *
 * A handler that may wait (BK_PLUGIN_WANTS_COROUTINE) runs on a thread, one step
 * at a time: each bk_fake function returns when every handler waits or is done.
 *
 * Memory: frames, logs and leases live until bk_fake_free.
 */
#ifndef BECKET_FAKE_HOST_H
#define BECKET_FAKE_HOST_H

#include "becket_fake_api.h"  /* the plugin's side */
#include "becket_fake_core.h" /* what the host keeps */
#include "becket_fake_test.h" /* the test's side */
#include "becket_fake_wait.h" /* handlers that wait */

#endif /* BECKET_FAKE_HOST_H */
