/* SPDX-License-Identifier: BSD-3-Clause */
/* What the fake host in C lacks for a test in Go. */
#ifndef BECKET_GO_FAKE_H
#define BECKET_GO_FAKE_H

#include "becket_fake_host.h"

/* The fake host's stream_ready, which also notifies the test in Go. */
NrStatus bk_test_stream_ready(void *host_ctx, uint64_t sid);
/* The id of an entry, and its description; BK_ENTRY_UNKNOWN: it has none. */
uint32_t bk_test_describe(BkFakeHost *host, const char *name, BkEntryInfo *out);
/* By id, as a host calls what it has resolved. */
void bk_test_handle(BkFakeHost *host, uint32_t entry, uint64_t sid, const NrRequest *request,
                    const uint8_t *ptr, uint64_t len);
NrStatus bk_test_reload(const NrPluginInfo *from, const NrPluginInfo *to);
/* Views that must be refused without a read; the number of the first that was
 * not, or 0. */
uint32_t bk_test_hostile(const NrPluginInfo *info);
/* Loads a plugin whose host_ctx is a small number, calls its entry and shuts it
 * down. The status of its answer; NR_ERR: there was none. */
NrStatus bk_test_small_host_ctx(const NrPluginInfo *info, const char *entry);

#endif /* BECKET_GO_FAKE_H */
