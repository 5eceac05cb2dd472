// SPDX-License-Identifier: BSD-3-Clause
//
// A plugin from a class and a table of its entries.
//
//   class Greeter : public becket::Plugin {
//   public:
//       using Plugin::Plugin;
//       becket::Response hello(const becket::Request& request) {
//           return "hello " + std::string(request.payload());
//       }
//   };
//   constexpr becket::Entry entries[] = {
//       becket::unary<&Greeter::hello>("hello", "greets the name in the payload"),
//   };
//   BECKET_PLUGIN(Greeter, entries, becket::Identity{"greeter", "1.0.0", becket::thread_safe})
//
// BECKET_PLUGIN stands in one source file of the library. Every function that
// the host calls runs inside `boundary`: no exception passes.
//
// Instances. Each load of the file gets a slot of a fixed table; the plugin's
// object lives from init to shutdown.
//
//   FREE --- nylon_ring_get_plugin_v1 ---> OFFERED --- init ---> LIVE
//    ^                                        |                   |
//    +---------------- init failed, shutdown -+-------------------+
//
// A host that only looks leaves a slot OFFERED; when none is FREE one of those
// is offered again. With all LIVE the answer is null, and the load is refused.
// A slot has no destructor: at process exit nothing is torn down under host
// threads that still run.
//
#ifndef BECKET_PLUGIN_HPP
#define BECKET_PLUGIN_HPP

#include <array>
#include <atomic>
#include <new>
#include <type_traits>

#include "becket/call.hpp"
#include "becket/wait.hpp"

#pragma GCC visibility push(hidden)

namespace becket {

inline constexpr std::uint32_t thread_safe = BK_PLUGIN_THREAD_SAFE;
inline constexpr std::uint32_t multi_instance = BK_PLUGIN_MULTI_INSTANCE;
inline constexpr std::uint32_t may_unload = BK_PLUGIN_MAY_UNLOAD;
inline constexpr std::uint32_t never_blocks = BK_PLUGIN_NEVER_BLOCKS;

inline constexpr std::uint32_t instances_max = 32;

struct Identity {
    const char* name;
    const char* version;
    std::uint32_t flags = 0;
    const char* config_default = "";  // a JSON object, or empty
    // Bytes of stack of a handler on a coroutine; 0: 64 KiB.
    std::uint64_t coroutine_stack_bytes = 0;
};

// The base of a plugin. The constructor runs in init; throwing refuses the load.
// The destructor runs in shutdown, after the last session.
class Plugin {
public:
    explicit Plugin(const Host& host) : host(host) {}
    Plugin(const Plugin&) = delete;
    Plugin& operator=(const Plugin&) = delete;
    virtual ~Plugin() = default;

    // sid, which is no session, has no caller any more. False: unknown here.
    virtual bool cancel(std::uint64_t /*sid*/) { return false; }

    // A frame to sid, which is no session, was refused with NR_BACKPRESSURE; now
    // there is room. False: unknown here.
    virtual bool on_room(std::uint64_t /*sid*/) { return false; }

    // The state for the next version, on reload; nothing: none.
    virtual std::optional<std::string> reload_export() { return std::nullopt; }
    virtual Status reload_import(std::string_view /*state*/) { return NR_UNSUPPORTED; }

protected:
    const Host host;
};

namespace detail {

// What an entry's function needs of its instance.
struct Place {
    Plugin& plugin;
    const Host& host;
    const std::shared_ptr<Sessions>& sessions;
};

template <class Owner, class Result, class... Args>
Owner owner_of(Result (Owner::*)(Args...));
template <class Owner, class Result, class... Args>
Owner owner_of(Result (Owner::*)(Args...) const);

template <auto Method>
using OwnerOf = decltype(owner_of(Method));

template <auto Method>
Status run_unary(const Place& place, const Request& request) {
    using Owner = OwnerOf<Method>;
    auto& plugin = static_cast<Owner&>(place.plugin);
    if constexpr (std::is_invocable_r_v<Response, decltype(Method), Owner&, const Request&>) {
        (plugin.*Method)(request).send(place.host, request.sid());
    } else {
        (plugin.*Method)(request, Responder(place.host, request.sid()));
    }
    return NR_OK;
}

template <auto Method>
Status run_stream(const Place& place, const Request& request) {
    auto& plugin = static_cast<OwnerOf<Method>&>(place.plugin);
    (plugin.*Method)(request, Stream(place.host, request.sid()));
    return NR_OK;
}

template <auto Method>
Status run_session(const Place& place, const Request& request) {
    auto& plugin = static_cast<OwnerOf<Method>&>(place.plugin);
    SessionStream session(place.host, request.sid());
    if (!on_coroutine(place.host)) {
        session.fail(NR_UNSUPPORTED, "needs a host with coroutines");
        return NR_OK;
    }
    (plugin.*Method)(request, session);
    session.end();
    return NR_OK;
}

// A session whose function threw, or answered an error, is over. The last frame
// says which; the host drops it if there was one.
inline Status end_session(const Place& place, std::uint64_t sid, Status status) {
    if (place.sessions->take(sid) && status == NR_PANIC) {
        place.host.send(sid, status, {});
    }
    return status;
}

// The host sends no more to a session that has left the table.
inline Status close_session(const Place& place, std::uint64_t sid, Session& session) {
    Status status = boundary(place.host, "Session::closed", [&] {
        session.closed();
        return Status(NR_OK);
    });
    if (status != NR_OK) {
        place.host.send(sid, status, {});
    }
    return status;
}

inline Status room_for_session(const Place& place, std::uint64_t sid, Session& session) {
    Status status = boundary(place.host, "Session::on_room", [&] {
        session.on_room();
        return Status(NR_OK);
    });
    return status == NR_OK ? status : end_session(place, sid, status);
}

template <class Talk, class Owner>
Status run_session(const Place& place, const Request& request) {
    std::uint64_t sid = request.sid();
    if (!place.sessions->reserve(sid)) {
        return NR_BACKPRESSURE;
    }
    std::shared_ptr<Session> session;
    try {
        session = std::make_shared<Talk>(static_cast<Owner&>(place.plugin), request,
                                         Stream(place.host, sid, place.sessions));
    } catch (...) {
        place.sessions->take(sid);
        throw;
    }
    auto early = place.sessions->fill(sid, session);
    if (early && early->closed) {
        close_session(place, sid, *session);
    } else if (early) {
        if (early->room) {
            room_for_session(place, sid, *session);
        }
        if (early->data) {
            place.host.stream_ready(sid);
        }
    }
    return NR_OK;
}

}  // namespace detail

struct Entry {
    const char* name;
    std::uint32_t kind;
    const char* help;
    Status (*run)(const detail::Place&, const Request&);
    bool waits = false;  // runs on a coroutine of the host, and may wait
};

// Method: Response (const Request&), or void (const Request&, Responder).
template <auto Method>
constexpr Entry unary(const char* name, const char* help) {
    return Entry{name, BK_ENTRY_UNARY, help, detail::run_unary<Method>, false};
}

// Method: void (const Request&, Stream).
template <auto Method>
constexpr Entry stream(const char* name, const char* help) {
    return Entry{name, BK_ENTRY_STREAM, help, detail::run_stream<Method>, false};
}

// Method: Response (const Request&), which may wait: becket/wait.hpp.
template <auto Method>
constexpr Entry coroutine(const char* name, const char* help) {
    return Entry{name, BK_ENTRY_UNARY, help, detail::run_unary<Method>, true};
}

// Method: void (const Request&, SessionStream&), which may wait.
template <auto Method>
constexpr Entry session(const char* name, const char* help) {
    return Entry{name, BK_ENTRY_BIDIRECTIONAL, help, detail::run_session<Method>, true};
}

// Talk: a Session with a constructor (Owner&, const Request&, Stream).
template <class Talk, class Owner>
constexpr Entry bidirectional(const char* name, const char* help) {
    return Entry{name, BK_ENTRY_BIDIRECTIONAL, help, detail::run_session<Talk, Owner>, false};
}

namespace detail {

// From init to shutdown.
struct Instance {
    explicit Instance(const Host& host) : host(host) {}
    Host host;
    std::shared_ptr<Sessions> sessions = std::make_shared<Sessions>();
    std::unique_ptr<Plugin> plugin;

    Place place() const { return Place{*plugin, host, sessions}; }

    ~Instance() {
        sessions->take_all();  // sessions know the plugin: they go first
        plugin.reset();
    }
};

struct Slot {
    enum State : int { free, offered, live };

    NrPluginInfo info{};
    const Entry* entries = nullptr;
    std::uint32_t entries_len = 0;
    std::unique_ptr<Plugin> (*make)(const Host&) = nullptr;
    const BkHostApi* api = nullptr;
    Instance* instance = nullptr;
    std::atomic<int> state{free};
};

inline Slot& slot_of(void* plugin_ctx) { return *static_cast<Slot*>(plugin_ctx); }

// body(instance) inside the boundary; NR_INVALID outside of init and shutdown.
template <class Body>
Status in_instance(void* plugin_ctx, const char* where, Body&& body) noexcept {
    Instance* instance = slot_of(plugin_ctx).instance;
    if (instance == nullptr) {
        return NR_INVALID;
    }
    return boundary(instance->host, where, [&] { return body(*instance); });
}

inline NrStatus vt_attach(void* plugin_ctx, void*, const BkHostApi* api) {
    slot_of(plugin_ctx).api = api;
    return NR_OK;
}

inline NrStatus vt_init(void* plugin_ctx, void* host_ctx, const NrHostVTable* vtable) {
    Slot& slot = slot_of(plugin_ctx);
    Host host(host_ctx, vtable, slot.api);
    slot.state = Slot::live;
    Status status = boundary(host, "init", [&] {
        auto instance = std::make_unique<Instance>(host);
        instance->plugin = slot.make(host);
        slot.instance = instance.release();
        return Status(NR_OK);
    });
    if (status != NR_OK) {
        slot.state = Slot::free;
    }
    return status;
}

inline void vt_shutdown(void* plugin_ctx) {
    Slot& slot = slot_of(plugin_ctx);
    delete std::exchange(slot.instance, nullptr);
    slot.state = Slot::free;
}

inline std::uint32_t vt_resolve_entry(void* plugin_ctx, NrStr name) {
    const Slot& slot = slot_of(plugin_ctx);
    for (std::uint32_t i = 0; i < slot.entries_len; i++) {
        if (view(name) == slot.entries[i].name) {
            return i;
        }
    }
    return BK_ENTRY_UNKNOWN;
}

inline NrStatus vt_handle_by_id(void* plugin_ctx, std::uint32_t id, std::uint64_t sid,
                                const NrRequest* request, NrBytes payload) {
    const Slot& slot = slot_of(plugin_ctx);
    if (id >= slot.entries_len) {
        return NR_UNSUPPORTED;
    }
    const Entry& entry = slot.entries[id];
    return in_instance(plugin_ctx, entry.name, [&](Instance& instance) {
        return entry.run(instance.place(), Request(sid, request, payload));
    });
}

inline NrStatus vt_handle(void* plugin_ctx, NrStr entry, std::uint64_t sid,
                          const NrRequest* request, NrBytes payload) {
    return vt_handle_by_id(plugin_ctx, vt_resolve_entry(plugin_ctx, entry), sid, request, payload);
}

inline NrStatus vt_handle_raw(void* plugin_ctx, NrStr entry, std::uint64_t sid, NrBytes payload) {
    return vt_handle(plugin_ctx, entry, sid, nullptr, payload);
}

inline NrStatus vt_describe(void* plugin_ctx, std::uint32_t index, BkEntryInfo* out) {
    const Slot& slot = slot_of(plugin_ctx);
    if (index >= slot.entries_len || out->struct_size < sizeof(BkEntryInfo)) {
        return NR_INVALID;
    }
    bool others_wait = (slot.info.flags & BK_PLUGIN_WANTS_COROUTINE) != 0;
    bool never_waits = others_wait && !slot.entries[index].waits;
    out->kind = slot.entries[index].kind | (never_waits ? BK_ENTRY_NEVER_WAITS : 0);
    out->name = str(slot.entries[index].name);
    out->help = str(slot.entries[index].help);
    return NR_OK;
}

inline NrStatus vt_stream_data(void* plugin_ctx, std::uint64_t sid, NrBytes data) {
    return in_instance(plugin_ctx, "stream_data", [&](Instance& instance) -> Status {
        auto [session, noted] = instance.sessions->find(sid, &Early::data);
        if (session == nullptr) {
            return noted ? NR_BACKPRESSURE : NR_INVALID;
        }
        Status status = boundary(instance.host, "Session::data",
                                 [&, session = session] { return session->data(view(data)); });
        return status == NR_OK || status == NR_BACKPRESSURE
                   ? status
                   : end_session(instance.place(), sid, status);
    });
}

inline NrStatus vt_stream_close(void* plugin_ctx, std::uint64_t sid) {
    return in_instance(plugin_ctx, "stream_close", [&](Instance& instance) -> Status {
        auto [session, noted] = instance.sessions->close(sid);
        if (session == nullptr) {
            return noted ? NR_OK : NR_INVALID;
        }
        return close_session(instance.place(), sid, *session);
    });
}

inline NrStatus vt_cancel(void* plugin_ctx, std::uint64_t sid) {
    return in_instance(plugin_ctx, "cancel", [&](Instance& instance) -> Status {
        bool known = instance.sessions->take(sid) || instance.plugin->cancel(sid);
        return known ? NR_OK : NR_INVALID;
    });
}

inline NrStatus vt_stream_room(void* plugin_ctx, std::uint64_t sid) {
    return in_instance(plugin_ctx, "stream_room", [&](Instance& instance) -> Status {
        auto [session, noted] = instance.sessions->find(sid, &Early::room);
        if (session != nullptr) {
            return room_for_session(instance.place(), sid, *session);
        }
        return noted || instance.plugin->on_room(sid) ? NR_OK : NR_INVALID;
    });
}

inline void release_string(void* owner, const std::uint8_t*, std::uint64_t) {
    delete static_cast<std::string*>(owner);
}

inline NrStatus vt_reload_export(void* plugin_ctx, NrOwnedBytes* out) {
    return in_instance(plugin_ctx, "reload_export", [&](Instance& instance) -> Status {
        auto state = instance.plugin->reload_export();
        if (!state) {
            return NR_UNSUPPORTED;
        }
        auto* owner = new std::string(std::move(*state));
        NrBytes data = bytes(*owner);
        *out = NrOwnedBytes{data.ptr, data.len, owner, release_string};
        return NR_OK;
    });
}

inline NrStatus vt_reload_import(void* plugin_ctx, NrBytes state) {
    return in_instance(plugin_ctx, "reload_import", [&](Instance& instance) {
        return instance.plugin->reload_import(view(state));
    });
}

inline constexpr NrPluginVTable vtable = {
    vt_init,          vt_handle,       vt_shutdown, vt_stream_data, vt_stream_close,  vt_handle_raw,
    vt_resolve_entry, vt_handle_by_id, vt_describe, vt_cancel,      vt_reload_export,
    vt_reload_import, vt_stream_room,
};

// A free slot, else one that was not started; null: all are LIVE.
inline Slot* claim(Slot* slots, std::uint32_t slots_len, std::uint32_t first) {
    for (std::uint32_t i = 0; i < slots_len; i++) {
        Slot& slot = slots[(first + i) % slots_len];
        int expected = Slot::free;
        if (slot.state.compare_exchange_strong(expected, Slot::offered)) {
            return &slot;
        }
    }
    for (std::uint32_t i = 0; i < slots_len; i++) {
        Slot& slot = slots[(first + i) % slots_len];
        if (slot.state == Slot::offered) {
            return &slot;
        }
    }
    return nullptr;
}

// Type: the plugin's class. One table a type, so one a library.
template <class Type>
const NrPluginInfo* offer(const Entry* entries, std::size_t entries_len,
                          const Identity& identity) noexcept {
    static Slot slots[instances_max];
    static std::atomic<std::uint32_t> turn{0};
    static_assert(std::is_trivially_destructible_v<Slot>, "nothing is torn down at exit");

    bool multi = (identity.flags & BK_PLUGIN_MULTI_INSTANCE) != 0;
    if (!multi && slots[0].state == Slot::live) {
        return &slots[0].info;  // every lookup gets it
    }
    Slot* slot = claim(slots, multi ? instances_max : 1, turn++);
    if (slot == nullptr) {
        return nullptr;
    }
    slot->api = nullptr;
    slot->entries = entries;
    slot->entries_len = static_cast<std::uint32_t>(entries_len);
    slot->make = [](const Host& host) -> std::unique_ptr<Plugin> {
        return std::make_unique<Type>(host);
    };
    std::uint32_t flags = identity.flags;
    for (std::size_t i = 0; i < entries_len; i++) {
        flags |= entries[i].waits ? BK_PLUGIN_WANTS_COROUTINE : 0;
    }
    slot->info = NrPluginInfo{NR_ABI_VERSION,
                              sizeof(NrPluginInfo),
                              str(identity.name),
                              str(identity.version),
                              slot,
                              &vtable,
                              sizeof(NrPluginVTable),
                              flags,
                              str(identity.config_default),
                              vt_attach,
                              identity.coroutine_stack_bytes};
    return &slot->info;
}

}  // namespace detail

}  // namespace becket

#pragma GCC visibility pop

// Exports the plugin: its class, its table of entries, its Identity.
#define BECKET_PLUGIN(Type, entries, ...)                                                  \
    extern "C" NR_EXPORT const NrPluginInfo* nylon_ring_get_plugin_v1(void) {              \
        return becket::detail::offer<Type>(entries, sizeof(entries) / sizeof((entries)[0]), \
                                           __VA_ARGS__);                                   \
    }

#endif  // BECKET_PLUGIN_HPP
