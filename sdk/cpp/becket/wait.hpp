// SPDX-License-Identifier: BSD-3-Clause
//
// What a handler on a coroutine of the host waits for, in straight-line C++.
//
//   Message         bytes that were received, released when it goes out of scope
//   SessionStream   both directions of one stream
//   Channel         messages between handlers
//
// Entries made with becket::coroutine and becket::session run so. Where a wait
// fails it throws Error: NR_CANCELLED when the call has no caller any more, or
// the plugin is about to end. Let it pass: the stack is unwound, and the call
// ends. A handler that goes on waiting all the same is given up by the host where
// it stands, and no destructor runs.
//
// Never wait in a catch block, or while an exception is on its way: the C++
// runtime keeps those by thread, and others run on the thread meanwhile. Hold no
// lock across a wait, for the same reason.
//
#ifndef BECKET_WAIT_HPP
#define BECKET_WAIT_HPP

#include <chrono>

#include "becket/call.hpp"

#pragma GCC visibility push(hidden)

namespace becket {

using Nanoseconds = std::chrono::nanoseconds;

// Without a limit.
inline constexpr Nanoseconds forever = Nanoseconds::max();

namespace detail {

inline std::uint64_t timeout_ns(Nanoseconds timeout) {
    return timeout == forever ? BK_FOREVER
                              : static_cast<std::uint64_t>(timeout.count() < 0 ? 0 : timeout.count());
}

// The status of a wait that may only succeed.
inline void check(Status status, const char* what) {
    if (status != NR_OK) {
        throw Error(status, what);
    }
}

}  // namespace detail

// Bytes of the host, read in place. Move only.
class Message {
public:
    explicit Message(NrOwnedBytes owned) : owned_(owned) {}
    Message(Message&& other) noexcept : owned_(std::exchange(other.owned_, NrOwnedBytes{})) {}
    Message& operator=(Message&&) = delete;
    ~Message() {
        if (owned_.release != nullptr) {
            owned_.release(owned_.owner_ctx, owned_.ptr, owned_.len);
        }
    }

    std::string_view view() const { return becket::view(NrBytes{owned_.ptr, owned_.len}); }

private:
    NrOwnedBytes owned_;
};

// True on a coroutine of the host; false on a thread, or on a host without any.
inline bool on_coroutine(const Host& host) {
    return BK_HAS(host.api(), coroutine_current)
           && host.api()->coroutine_current(host.context()) != 0;
}

inline void sleep_for(const Host& host, Nanoseconds duration) {
    detail::check(BK_HAS(host.api(), coroutine_sleep)
                      ? host.api()->coroutine_sleep(host.context(), detail::timeout_ns(duration))
                      : NR_UNSUPPORTED,
                  "sleep");
}

inline void yield(const Host& host) {
    detail::check(BK_HAS(host.api(), coroutine_yield)
                      ? host.api()->coroutine_yield(host.context())
                      : NR_UNSUPPORTED,
                  "yield");
}

// Runs work on a coroutine that serves the same call. What it throws is logged.
template <class Work>
void spawn(const Host& host, Work work) {
    struct Task {
        Host host;
        Work work;
        static void run(void* argument) {
            std::unique_ptr<Task> task(static_cast<Task*>(argument));
            boundary(task->host, "spawn", [&] {
                task->work();
                return Status(NR_OK);
            });
        }
    };
    auto task = std::make_unique<Task>(Task{host, std::move(work)});
    Status status = BK_HAS(host.api(), coroutine_spawn)
                        ? host.api()->coroutine_spawn(host.context(), Task::run, task.get(), 0)
                        : NR_UNSUPPORTED;
    detail::check(status, "spawn");
    task.release();
}

// Both directions of one stream; for the handler that serves it.
class SessionStream {
public:
    SessionStream(const Host& host, std::uint64_t sid) : host_(host), sid_(sid) {}
    SessionStream(const SessionStream&) = delete;
    SessionStream& operator=(const SessionStream&) = delete;

    std::uint64_t sid() const noexcept { return sid_; }

    // The next frame from the caller; nothing when it has closed.
    std::optional<Message> recv(Nanoseconds timeout = forever) {
        NrOwnedBytes owned{};
        Status status = BK_HAS(host_.api(), stream_recv)
                            ? host_.api()->stream_recv(host_.context(), sid_, &owned,
                                                       detail::timeout_ns(timeout))
                            : NR_UNSUPPORTED;
        if (status == NR_CLOSED) {
            return std::nullopt;
        }
        detail::check(status, "recv");
        return Message(owned);
    }

    // A frame, when there is room. Error(NR_TOO_LONG): it is longer than the host
    // takes, and the stream goes on without it.
    void send(std::string_view frame, Nanoseconds timeout = forever) {
        detail::check(BK_HAS(host_.api(), stream_send)
                          ? host_.api()->stream_send(host_.context(), sid_, bytes(frame),
                                                     detail::timeout_ns(timeout))
                          : NR_UNSUPPORTED,
                      "send");
    }

    // The end, with a last frame; returns as Stream::end does. A handler that
    // returns without it ends the stream with an empty one.
    Status end(std::string_view last = {}) { return finish(NR_STREAM_END, last); }

    // The end with an error.
    Status fail(Status status, std::string_view text) { return finish(status, text); }

private:
    Status finish(Status status, std::string_view last) {
        return std::exchange(ended_, true) ? NR_INVALID : host_.send(sid_, status, last);
    }

    Host host_;
    std::uint64_t sid_;
    bool ended_ = false;
};

// Byte messages between handlers that share it; destroying it closes it.
class Channel {
public:
    // With capacity 0 each send waits for its receiver.
    Channel(const Host& host, std::uint64_t capacity)
        : host_(host),
          id_(BK_HAS(host.api(), channel_make) ? host.api()->channel_make(host.context(), capacity)
                                               : 0) {
        detail::check(id_ == 0 ? NR_BACKPRESSURE : NR_OK, "channel");
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    ~Channel() { host_.api()->channel_destroy(host_.context(), id_); }

    void send(std::string_view message, Nanoseconds timeout = forever) {
        detail::check(host_.api()->channel_send(host_.context(), id_, bytes(message),
                                                detail::timeout_ns(timeout)),
                      "channel send");
    }

    // Nothing: closed, and empty.
    std::optional<Message> recv(Nanoseconds timeout = forever) {
        NrOwnedBytes owned{};
        Status status = host_.api()->channel_recv(host_.context(), id_, &owned,
                                                  detail::timeout_ns(timeout));
        if (status == NR_CLOSED) {
            return std::nullopt;
        }
        detail::check(status, "channel recv");
        return Message(owned);
    }

    // Nothing more is sent; what was sent can be received.
    void close() { host_.api()->channel_close(host_.context(), id_); }

private:
    Host host_;
    std::uint64_t id_;
};

}  // namespace becket

#pragma GCC visibility pop

#endif  // BECKET_WAIT_HPP
