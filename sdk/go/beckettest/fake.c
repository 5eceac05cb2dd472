/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake.h"

#include "_cgo_export.h"

NrStatus bk_test_stream_ready(void *host_ctx, uint64_t sid) {
    BkFakeHost *host = host_ctx;
    NrStatus status = bk_fake_api_stream_ready(host, sid);
    if (status == NR_OK)
        bkFakeReady(host->user, sid);
    return status;
}

uint32_t bk_test_describe(BkFakeHost *host, const char *name, BkEntryInfo *out) {
    void *ctx = host->info->plugin_ctx;
    uint32_t id = host->vtable.resolve_entry(ctx, bk_fake_str(name));
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    if (id != BK_ENTRY_UNKNOWN && host->vtable.describe(ctx, id, out) != NR_OK)
        return BK_ENTRY_UNKNOWN;
    return id;
}

void bk_test_handle(BkFakeHost *host, uint32_t entry, uint64_t sid, const NrRequest *request,
                    const uint8_t *ptr, uint64_t len) {
    NrStatus status = host->vtable.handle_by_id(host->info->plugin_ctx, entry, sid, request,
                                                bk_fake_bytes(ptr, len));
    bk_fake_handled(host, sid, status);
}

NrStatus bk_test_reload(const NrPluginInfo *from, const NrPluginInfo *to) {
    if (from->vtable->reload_export == NULL || to->vtable->reload_import == NULL)
        return NR_UNSUPPORTED;
    NrOwnedBytes state;
    NrStatus status = from->vtable->reload_export(from->plugin_ctx, &state);
    if (status != NR_OK)
        return status;
    NrBytes view = {state.ptr, state.len};
    status = to->vtable->reload_import(to->plugin_ctx, view);
    if (state.release != NULL)
        state.release(state.owner_ctx, state.ptr, state.len);
    return status;
}

uint32_t bk_test_hostile(const NrPluginInfo *info) {
    void *ctx = info->plugin_ctx;
    const NrPluginVTable *v = info->vtable;
    const uint8_t *dangling = (const uint8_t *)1;
    NrStr name = {NULL, 0, 0};
    NrBytes none = {dangling, 0}; /* empty: its address is never looked at */
    NrBytes null = {NULL, 8};
    NrBytes wraps = {(const uint8_t *)(UINTPTR_MAX - 3), 8};
    NrBytes huge = {dangling, UINT64_MAX};
    NrStr null_text = {NULL, 8, 0};
    NrRequest no_headers = {.headers_len = 1};
    NrHeader header = {.value = null_text};
    NrRequest bad_header = {.headers = &header, .headers_len = 1};
    NrRequest flood = {.headers = &header, .headers_len = UINT32_MAX};
    NrRequest bad_path = {.path = null_text};
    uint32_t step = 0;
#define REFUSED(expression, expected) \
    do {                              \
        step++;                       \
        if ((expression) != (expected)) \
            return step;              \
    } while (0)
    REFUSED(v->handle(ctx, null_text, 1, NULL, none), NR_INVALID);
    REFUSED(v->handle(ctx, name, 1, NULL, none), NR_UNSUPPORTED);
    REFUSED(v->handle_by_id(ctx, 0, 1, NULL, null), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, NULL, wraps), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, NULL, huge), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, UINT32_MAX, 1, NULL, none), NR_UNSUPPORTED);
    REFUSED(v->handle_by_id(ctx, 0, 1, &no_headers, none), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, &bad_header, none), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, &flood, none), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, &bad_path, none), NR_INVALID);
    REFUSED(v->handle_raw(ctx, null_text, 1, none), NR_INVALID);
    REFUSED(v->resolve_entry(ctx, null_text), BK_ENTRY_UNKNOWN);
    REFUSED(v->stream_data(ctx, 77, null), NR_INVALID);
    REFUSED(v->stream_data(ctx, 77, none), NR_INVALID);
    REFUSED(v->stream_close(ctx, 77), NR_INVALID);
    REFUSED(v->stream_room(ctx, 77), NR_INVALID);
    REFUSED(v->cancel(ctx, 77), NR_INVALID);
    REFUSED(v->reload_import(ctx, null), NR_INVALID);
    REFUSED(v->describe(ctx, 0, NULL), NR_INVALID);
    REFUSED(v->handle_by_id(NULL, 0, 1, NULL, none), NR_INVALID);
#undef REFUSED
    return 0;
}

/* The status of the last answer to a host that is the number 5. */
static NrStatus answered;

static NrStatus take_answer(void *host_ctx, uint64_t sid, NrStatus status, NrBytes data) {
    (void)data;
    if (host_ctx != (void *)5 || sid != 77)
        return NR_INVALID;
    answered = status;
    return NR_OK;
}

static void take_result(void *host_ctx, uint64_t sid, NrStatus status, NrBytes data) {
    take_answer(host_ctx, sid, status, data);
}

NrStatus bk_test_small_host_ctx(const NrPluginInfo *info, const char *entry) {
    static const BkHostApi api = {
        .struct_size = offsetof(BkHostApi, send_wait),
        .api_version = BK_HOST_API_VERSION,
        .send = take_answer,
    };
    static const NrHostVTable host = {take_result};
    void *ctx = info->plugin_ctx, *five = (void *)5;
    answered = NR_ERR;
    NrStatus status = info->attach(ctx, five, &api);
    if (status == NR_OK)
        status = info->vtable->init(ctx, five, &host);
    if (status != NR_OK)
        return status;
    info->vtable->handle(ctx, bk_fake_str(entry), 77, NULL, bk_fake_bytes(NULL, 0));
    info->vtable->shutdown(ctx); /* waits for the handler */
    return answered;
}
