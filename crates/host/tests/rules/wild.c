/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that hands its host the address that the payload names, wherever the
 * host takes a pointer. Entry `wild` answers how many of its calls were not
 * refused, and, behind a space, how many it made. Stands behind frame.c.
 */
static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx, (void)entry, (void)request;
    char text[64] = {0};
    if (payload.len >= sizeof text) {
        return NR_INVALID;
    }
    memcpy(text, payload.ptr, payload.len);
    const uintptr_t address = (uintptr_t)strtoull(text, NULL, 0);
    void *const wild = (void *)address;
    const NrBytes bytes = {wild, 8};
    const NrStr string = {wild, 8, 0};
    const NrStr key = NR_STR("key");
    BkTimerFn timer;
    BkCoroutineFn coroutine;
    void (*release)(void *, const uint8_t *, uint64_t);
    memcpy(&timer, &address, sizeof timer);
    memcpy(&coroutine, &address, sizeof coroutine);
    memcpy(&release, &address, sizeof release);
    const NrOwnedBytes owned = {(const uint8_t *)text, 1, NULL, release};
    const NrOwnedBytes lost = {wild, 8, NULL, NULL};
    uint8_t buffer[8];
    uint64_t len;
    int made = 0, passed = 0;
#define REFUSED(call) (made++, passed += !(call))
    REFUSED(api->send(host_ctx, sid, NR_OK, bytes) == NR_INVALID);
    REFUSED(api->send_wait(host_ctx, sid, NR_OK, bytes, 1) == NR_INVALID);
    REFUSED(api->send_owned(host_ctx, sid, NR_OK, owned) == NR_INVALID);
    REFUSED(api->send_owned(host_ctx, sid, NR_OK, lost) == NR_INVALID);
    REFUSED(api->state_set(host_ctx, sid, string, bytes) == NR_INVALID);
    REFUSED(api->state_set(host_ctx, sid, key, bytes) == NR_INVALID);
    REFUSED(api->state_get(host_ctx, sid, string, buffer, 8, &len) == NR_INVALID);
    REFUSED(api->state_get(host_ctx, sid, key, wild, 8, &len) == NR_INVALID);
    REFUSED(api->state_get(host_ctx, sid, key, buffer, 8, wild) == NR_INVALID);
    REFUSED(api->host_ext->get_state(host_ctx, sid, string).len == 0);
    REFUSED(api->metric_register(host_ctx, BK_METRIC_COUNTER, string, NR_STR("help")) == BK_METRIC_UNKNOWN);
    REFUSED(api->timer_start(host_ctx, 0, timer, NULL) == 0);
    REFUSED(api->config_get(host_ctx, string).len == 0);
    REFUSED(api->coroutine_spawn(host_ctx, coroutine, NULL, 0) == NR_INVALID);
    api->log(host_ctx, BK_LOG_INFO, string, string);
    made++;
    /* Counted by none, since there is no plugin to count it for. */
    passed += api->send(wild, sid, NR_OK, bytes) != NR_INVALID;
    host->send_result(wild, sid, NR_OK, bytes);
    snprintf(text, sizeof text, "%d %d", passed, made);
    const NrBytes answer = {(const uint8_t *)text, strlen(text)};
    return api->send(host_ctx, sid, NR_OK, answer);
}
