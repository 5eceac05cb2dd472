/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The C half of the Go SDK: the vtable's functions and the calls back into the
 * host. See abi.c for why neither is in Go.
 */
#ifndef BECKET_GO_ABI_H
#define BECKET_GO_ABI_H

#include "becket.h"

/* One plugin as the host sees it. Go holds its address, and never the host's
 * pointers: those may be any number, which Go's garbage collector dies of. */
typedef struct BkGoInstance {
    NrPluginInfo info;
    NrPluginVTable vtable; /* NULL where the plugin has no hook */
    uint32_t index; /* into Go's list of plugins */
    void *host_ctx;
    const NrHostVTable *host;
    BkHostApi api;     /* a copy; what the host does not have is NULL */
    uint32_t attached; /* atomic: host_ctx, host and api can be read */
    uint32_t has_api;  /* attach came since the last init */
} BkGoInstance;

typedef struct BkGoState {
    NrStatus status;
    uint64_t len;
} BkGoState;

/* NULL: out of memory. The texts must stay. */
BkGoInstance *bk_go_instance_new(uint32_t index, const char *name, uint32_t name_len,
                                 const char *version, uint32_t version_len, const char *config,
                                 uint32_t config_len, int exports, int imports,
                                 int never_blocks);
void bk_go_set_str(NrStr *out, const char *text, uint32_t len);
NrStatus bk_go_export(NrOwnedBytes *out, const uint8_t *bytes, uint64_t len);

/* Calls into the host. */
NrStatus bk_go_send(BkGoInstance *self, uint64_t sid, NrStatus status, const uint8_t *ptr,
                    uint64_t len);
NrBufferLease bk_go_lease_acquire(BkGoInstance *self, uint64_t sid, uint64_t cap);
NrStatus bk_go_lease_commit(BkGoInstance *self, uint64_t sid, NrStatus status, uint64_t token,
                            uint64_t len);
NrStatus bk_go_lease_release(BkGoInstance *self, uint64_t token);
NrStatus bk_go_stream_ready(BkGoInstance *self, uint64_t sid);
NrStatus bk_go_state_set(BkGoInstance *self, uint64_t sid, const char *key, uint32_t key_len,
                         const uint8_t *ptr, uint64_t len);
BkGoState bk_go_state_get(BkGoInstance *self, uint64_t sid, const char *key, uint32_t key_len,
                          uint8_t *buf, uint64_t cap);
uint32_t bk_go_is_cancelled(BkGoInstance *self, uint64_t sid);
uint64_t bk_go_remaining_ms(BkGoInstance *self, uint64_t sid);
uint32_t bk_go_log_enabled(BkGoInstance *self, uint32_t level);
void bk_go_log(BkGoInstance *self, uint32_t level, const char *target, uint32_t target_len,
               const char *message, uint32_t message_len);
uint32_t bk_go_metric_register(BkGoInstance *self, uint32_t kind, const char *name,
                               uint32_t name_len, const char *help, uint32_t help_len);
NrStatus bk_go_counter_add(BkGoInstance *self, uint32_t metric, uint64_t delta);
NrStatus bk_go_gauge_set(BkGoInstance *self, uint32_t metric, double value);
NrStatus bk_go_histogram_record(BkGoInstance *self, uint32_t metric, double value);
NrStr bk_go_config(BkGoInstance *self);
NrStr bk_go_config_get(BkGoInstance *self, const char *key, uint32_t key_len);

#endif /* BECKET_GO_ABI_H */
