// SPDX-License-Identifier: BSD-3-Clause
//
// The host, as a plugin sees it.
//
// Host is three pointers: copy it freely, use it from any thread, also after
// shutdown. A function that an older host lacks returns NR_UNSUPPORTED or an
// empty value; an answer falls back to send_result.
//
// Ownership. What goes in as std::string_view is copied by the host before the
// call returns. What goes in as an rvalue string or vector is handed over
// without a copy; if the host returns NR_BACKPRESSURE, the argument has its value
// back.
//
#ifndef BECKET_HOST_HPP
#define BECKET_HOST_HPP

#include <becket.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#pragma GCC visibility push(hidden)

namespace becket {

using Status = NrStatus;

// Shorter bodies are copied: cheaper than an allocation that changes hands.
inline constexpr std::size_t owned_bytes_min = 512;

inline std::string_view view(NrStr text) {
    return text.ptr == nullptr ? std::string_view()
                               : std::string_view(reinterpret_cast<const char*>(text.ptr), text.len);
}

inline std::string_view view(NrBytes bytes) {
    return bytes.ptr == nullptr
               ? std::string_view()
               : std::string_view(reinterpret_cast<const char*>(bytes.ptr), bytes.len);
}

inline NrBytes bytes(std::string_view text) {
    return NrBytes{text.empty() ? nullptr : reinterpret_cast<const std::uint8_t*>(text.data()),
                   text.size()};
}

// Text beyond 4 GiB becomes the empty view.
inline NrStr str(std::string_view text) {
    if (text.empty() || text.size() > UINT32_MAX) {
        return NrStr{nullptr, 0, 0};
    }
    return NrStr{reinterpret_cast<const std::uint8_t*>(text.data()),
                 static_cast<std::uint32_t>(text.size()), 0};
}

// Well-formed: no overlong form, no surrogate, nothing above U+10FFFF.
inline bool is_utf8(std::string_view text) {
    std::size_t i = 0;
    while (i < text.size()) {
        auto lead = static_cast<unsigned char>(text[i++]);
        unsigned low = 0x80, high = 0xBF;  // of the byte after lead
        int more = 0;
        if (lead < 0x80) {
            continue;
        } else if (lead >= 0xC2 && lead <= 0xDF) {
            more = 1;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            more = 2;
            low = lead == 0xE0 ? 0xA0 : 0x80;
            high = lead == 0xED ? 0x9F : 0xBF;
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            more = 3;
            low = lead == 0xF0 ? 0x90 : 0x80;
            high = lead == 0xF4 ? 0x8F : 0xBF;
        } else {
            return false;
        }
        for (; more > 0; more--, i++, low = 0x80, high = 0xBF) {
            auto next = i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
            if (next < low || next > high) {
                return false;
            }
        }
    }
    return true;
}

// Thrown by a handler: the call fails with this status. The text is logged at
// level debug. Any other exception becomes NR_PANIC.
class Error : public std::exception {
public:
    explicit Error(Status status, std::string message = {})
        : status_(status == NR_OK ? NR_ERR : status), message_(std::move(message)) {}

    Status status() const noexcept { return status_; }
    const char* what() const noexcept override { return message_.c_str(); }

private:
    Status status_;
    std::string message_;
};

class Host;

// A buffer of the host that becomes the answer, or a frame, without a copy.
// Given back when it goes out of scope uncommitted.
class Lease {
public:
    Lease(Lease&& other) noexcept
        : ctx_(other.ctx_), api_(other.api_), sid_(other.sid_),
          lease_(std::exchange(other.lease_, NrBufferLease{nullptr, 0, 0})) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
        if (lease_.token != 0) {
            api_->lease_release(ctx_, lease_.token);
        }
    }

    // False: refused, by the host or because it has no leases.
    explicit operator bool() const noexcept { return lease_.token != 0; }
    std::uint8_t* data() const noexcept { return lease_.ptr; }
    std::uint64_t capacity() const noexcept { return lease_.cap; }

    // Sends the first len bytes. On NR_BACKPRESSURE, and on NR_INVALID because len exceeds
    // capacity(), the lease is kept. Otherwise it is over, sent or not: operator bool is false,
    // data() is null, and pointers into the buffer are invalid.
    Status commit(Status status, std::uint64_t len) {
        if (lease_.token == 0 || len > lease_.cap) {
            return NR_INVALID;
        }
        Status sent = api_->lease_commit(ctx_, sid_, status, lease_.token, len);
        if (sent != NR_BACKPRESSURE) {
            lease_ = NrBufferLease{nullptr, 0, 0};
        }
        return sent;
    }

private:
    friend class Host;
    Lease(void* ctx, const BkHostApi* api, std::uint64_t sid, NrBufferLease lease)
        : ctx_(ctx), api_(api), sid_(sid), lease_(lease) {}

    void* ctx_;
    const BkHostApi* api_;
    std::uint64_t sid_;
    NrBufferLease lease_;
};

class Host {
public:
    Host() = default;
    Host(void* ctx, const NrHostVTable* vtable, const BkHostApi* api)
        : ctx_(ctx), vtable_(vtable), api_(api) {}

    // The table itself, for what has no wrapper; null on a host without one.
    const BkHostApi* api() const noexcept { return api_; }
    void* context() const noexcept { return ctx_; }

    // Answers.

    // NR_INVALID: no caller waits any more. NR_TOO_LONG: the host takes no body of that
    // length; of an answer or a last frame the caller gets this status then, and a
    // stream goes on without any other frame.
    Status send(std::uint64_t sid, Status status, std::string_view body) const {
        if (BK_HAS(api_, send)) {
            return api_->send(ctx_, sid, status, bytes(body));
        }
        vtable_->send_result(ctx_, sid, status, bytes(body));
        return NR_OK;
    }

    // Waits up to timeout_ms for room, then NR_BACKPRESSURE; only on a thread of the
    // plugin's own.
    Status send_wait(std::uint64_t sid, Status status, std::string_view body,
                     std::uint64_t timeout_ms) const {
        return BK_HAS(api_, send_wait)
                   ? api_->send_wait(ctx_, sid, status, bytes(body), timeout_ms)
                   : send(sid, status, body);
    }

    // Container: std::string or std::vector<std::uint8_t>.
    template <class Container>
    Status send_owned(std::uint64_t sid, Status status, Container&& body) const {
        static_assert(std::is_rvalue_reference_v<Container&&>, "move the body in");
        auto text = std::string_view(reinterpret_cast<const char*>(body.data()), body.size());
        if (body.size() < owned_bytes_min || !BK_HAS(api_, send_owned)) {
            return send(sid, status, text);
        }
        auto owner = std::make_unique<Container>(std::move(body));
        NrOwnedBytes owned{reinterpret_cast<const std::uint8_t*>(owner->data()), owner->size(),
                           owner.get(), release<Container>};
        Status sent = api_->send_owned(ctx_, sid, status, owned);
        if (sent == NR_BACKPRESSURE) {
            body = std::move(*owner);
        } else {
            owner.release();
        }
        return sent;
    }

    Lease lease(std::uint64_t sid, std::uint64_t capacity) const {
        bool has = BK_HAS(api_, lease_release);
        return Lease(ctx_, api_, sid,
                     has ? api_->lease_acquire(ctx_, sid, capacity) : NrBufferLease{nullptr, 0, 0});
    }

    Status stream_ready(std::uint64_t sid) const {
        return BK_HAS(api_, stream_ready) ? api_->stream_ready(ctx_, sid) : NR_UNSUPPORTED;
    }

    // sid has no caller any more; false also on a host without this function.
    bool is_cancelled(std::uint64_t sid) const {
        return BK_HAS(api_, is_cancelled) && api_->is_cancelled(ctx_, sid) != 0;
    }

    // Nothing: no deadline, or a host without this function.
    std::optional<std::uint64_t> remaining_ms(std::uint64_t sid) const {
        std::uint64_t ms = BK_HAS(api_, remaining_ms) ? api_->remaining_ms(ctx_, sid)
                                                      : BK_NO_DEADLINE;
        return ms == BK_NO_DEADLINE ? std::nullopt : std::optional(ms);
    }

    // State of a call, gone when the call ends.

    bool has_state() const noexcept { return BK_HAS(api_, state_get); }

    Status state_set(std::uint64_t sid, std::string_view key, std::string_view value) const {
        return BK_HAS(api_, state_set) ? api_->state_set(ctx_, sid, str(key), bytes(value))
                                       : NR_UNSUPPORTED;
    }

    std::optional<std::string> state_get(std::uint64_t sid, std::string_view key) const {
        std::uint64_t len = 0;
        if (!has_state() || api_->state_get(ctx_, sid, str(key), nullptr, 0, &len) != NR_OK) {
            return std::nullopt;
        }
        std::string value(len, '\0');
        std::uint64_t now = 0;
        if (api_->state_get(ctx_, sid, str(key), reinterpret_cast<std::uint8_t*>(value.data()),
                            len, &now) != NR_OK) {
            return std::nullopt;
        }
        value.resize(now < len ? now : len);
        return value;
    }

    // Logs. level is BK_LOG_*.

    bool log_enabled(std::uint32_t level) const {
        return BK_HAS(api_, log) && api_->log_enabled(ctx_, level) != 0;
    }

    void log(std::uint32_t level, std::string_view target, std::string_view message) const {
        if (log_enabled(level)) {
            api_->log(ctx_, level, str(target), str(message));
        }
    }

    // Metrics: see Counter, Gauge, Histogram below.

    std::uint32_t metric(std::uint32_t kind, std::string_view name, std::string_view help) const {
        return BK_HAS(api_, metric_register)
                   ? api_->metric_register(ctx_, kind, str(name), str(help))
                   : BK_METRIC_UNKNOWN;
    }

    // Configuration; the views live as long as the plugin.

    std::string_view config() const {
        return BK_HAS(api_, config) ? view(api_->config(ctx_)) : std::string_view();
    }

    // One value by its dotted key: text bare, anything else as JSON; empty if unset.
    std::string_view config_get(std::string_view key) const {
        return BK_HAS(api_, config_get) ? view(api_->config_get(ctx_, str(key)))
                                        : std::string_view();
    }

private:
    template <class Container>
    static void release(void* owner, const std::uint8_t*, std::uint64_t) {
        delete static_cast<Container*>(owner);
    }

    void* ctx_ = nullptr;
    const NrHostVTable* vtable_ = nullptr;
    const BkHostApi* api_ = nullptr;
};

// Registered once, in the plugin's constructor. Nothing happens where the host
// has no metrics or refused the name.

class Counter {
public:
    Counter(const Host& host, std::string_view name, std::string_view help)
        : host_(host), id_(host.metric(BK_METRIC_COUNTER, name, help)) {}
    void add(std::uint64_t delta = 1) const {
        if (id_ != BK_METRIC_UNKNOWN && BK_HAS(host_.api(), counter_add)) {
            host_.api()->counter_add(host_.context(), id_, delta);
        }
    }

private:
    Host host_;
    std::uint32_t id_;
};

class Gauge {
public:
    Gauge(const Host& host, std::string_view name, std::string_view help)
        : host_(host), id_(host.metric(BK_METRIC_GAUGE, name, help)) {}
    void set(double value) const {
        if (id_ != BK_METRIC_UNKNOWN && BK_HAS(host_.api(), gauge_set)) {
            host_.api()->gauge_set(host_.context(), id_, value);
        }
    }

private:
    Host host_;
    std::uint32_t id_;
};

class Histogram {
public:
    Histogram(const Host& host, std::string_view name, std::string_view help)
        : host_(host), id_(host.metric(BK_METRIC_HISTOGRAM, name, help)) {}
    void record(double value) const {
        if (id_ != BK_METRIC_UNKNOWN && BK_HAS(host_.api(), histogram_record)) {
            host_.api()->histogram_record(host_.context(), id_, value);
        }
    }

private:
    Host host_;
    std::uint32_t id_;
};

// Runs body, which answers a Status. No exception passes: an Error becomes its
// status, anything else NR_PANIC and a log line.
template <class Body>
Status boundary(const Host& host, const char* where, Body&& body) noexcept {
    char message[512];
    Status status = NR_PANIC;
    std::uint32_t level = BK_LOG_ERROR;
    try {
        return body();
    } catch (const Error& error) {
        status = error.status();
        level = BK_LOG_DEBUG;
        std::snprintf(message, sizeof message, "%s: status %u: %s", where, status, error.what());
    } catch (const std::exception& error) {
        std::snprintf(message, sizeof message, "%s: exception: %s", where, error.what());
    } catch (...) {
        std::snprintf(message, sizeof message, "%s: exception of unknown type", where);
    }
    host.log(level, "becket", message);
    return status;
}

}  // namespace becket

#pragma GCC visibility pop

#endif  // BECKET_HOST_HPP
