// SPDX-License-Identifier: BSD-3-Clause
// A plugin in C++ with a static of each kind of vague linkage. Its entry counts in all of them, and answers the three
// counts.
#include <cstdio>
#include <string>

#include "becket.h"
#include "nylon_ring.h"

#define SEEN __attribute__((visibility("default")))

SEEN inline std::string inline_variable;
template <class T> struct SEEN OfTemplate { static std::string value; };
template <class T> std::string OfTemplate<T>::value;
SEEN inline std::string &of_function() {
    static std::string value;
    return value;
}

static void *host_ctx;
static const BkHostApi *api;

static NrStatus attach(void *, void *context, const BkHostApi *offered) {
    host_ctx = context;
    api = offered;
    return NR_OK;
}

static NrStatus init(void *, void *, const NrHostVTable *) { return NR_OK; }

static NrStatus handle(void *, NrStr, uint64_t sid, const NrRequest *, NrBytes) {
    inline_variable += 'x';
    OfTemplate<int>::value += 'x';
    of_function() += 'x';
    char text[96];
    int len = std::snprintf(text, sizeof text, "%zu %zu %zu", inline_variable.size(), OfTemplate<int>::value.size(),
                            of_function().size());
    NrBytes answer = {reinterpret_cast<const uint8_t *>(text), static_cast<uint64_t>(len)};
    return api->send(host_ctx, sid, NR_OK, answer);
}

static void stop(void *) {}

extern "C" NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1() {
    static NrPluginVTable vtable = {};
    static NrPluginInfo info = {};
    vtable.init = init;
    vtable.handle = handle;
    vtable.shutdown = stop;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("statics");
    info.version = NR_STR("1");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD;
    info.attach = attach;
    return &info;
}
