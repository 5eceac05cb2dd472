/* SPDX-License-Identifier: BSD-3-Clause */
/* The C half of the fake host: its tables, and calls through a plugin's. */
#ifndef BECKET_GO_FAKE_H
#define BECKET_GO_FAKE_H

#include "becket.h"

NrStatus bk_fake_load(const NrPluginInfo *info, uint32_t host, int extras);
void bk_fake_shutdown(const NrPluginInfo *info);
uint32_t bk_fake_resolve(const NrPluginInfo *info, const char *name, uint32_t len);
NrStatus bk_fake_describe(const NrPluginInfo *info, uint32_t entry, BkEntryInfo *out);
NrStatus bk_fake_handle(const NrPluginInfo *info, uint32_t entry, uint64_t sid,
                        const NrRequest *request, const uint8_t *ptr, uint64_t len);
NrStatus bk_fake_stream_data(const NrPluginInfo *info, uint64_t sid, const uint8_t *ptr,
                             uint64_t len);
NrStatus bk_fake_stream_close(const NrPluginInfo *info, uint64_t sid);
NrStatus bk_fake_stream_room(const NrPluginInfo *info, uint64_t sid);
NrStatus bk_fake_cancel(const NrPluginInfo *info, uint64_t sid);
NrStatus bk_fake_reload(const NrPluginInfo *from, const NrPluginInfo *to);
void bk_fake_str(NrStr *out, const char *text, uint32_t len);
/* Views that must be refused without a read; the number of the first that was
 * not, or 0. */
uint32_t bk_fake_hostile(const NrPluginInfo *info);

#endif /* BECKET_GO_FAKE_H */
