// SPDX-License-Identifier: BSD-3-Clause
//
// One call: what is asked, and the ways to answer.
//
//   Response    returned by a handler that answers at once
//   Responder   one answer, later, from anywhere
//   Stream      many frames out
//   Session     both directions: a Stream, and what the host sends
//
// Responder and Stream answer for a handler that forgets: destroyed without a
// last answer they send NR_ERR, unless the call is over or an exception is on
// its way (then the boundary answers with its status).
//
#ifndef BECKET_CALL_HPP
#define BECKET_CALL_HPP

#include <memory>
#include <mutex>
#include <unordered_map>
#include <variant>

#include "becket/host.hpp"

#pragma GCC visibility push(hidden)

namespace becket {

// Borrowed for the handler: copy what you keep.
class Request {
public:
    Request(std::uint64_t sid, const NrRequest* request, NrBytes payload)
        : sid_(sid), request_(request), payload_(view(payload)) {}

    std::uint64_t sid() const noexcept { return sid_; }
    std::string_view payload() const noexcept { return payload_; }

    // Empty in a raw call.
    std::string_view method() const { return part(&NrRequest::method); }
    std::string_view path() const { return part(&NrRequest::path); }
    std::string_view query() const { return part(&NrRequest::query); }

    std::size_t headers_len() const noexcept {
        return request_ == nullptr ? 0 : request_->headers_len;
    }

    // Name and value of header number i < headers_len().
    std::pair<std::string_view, std::string_view> header(std::size_t i) const {
        return {view(request_->headers[i].key), view(request_->headers[i].value)};
    }

    // The first of that name, without regard to ASCII case.
    std::optional<std::string_view> header(std::string_view name) const {
        for (std::size_t i = 0; i < headers_len(); i++) {
            auto [key, value] = header(i);
            if (equal_ignoring_case(key, name)) {
                return value;
            }
        }
        return std::nullopt;
    }

private:
    std::string_view part(NrStr NrRequest::*member) const {
        return request_ == nullptr ? std::string_view() : view(request_->*member);
    }

    static bool equal_ignoring_case(std::string_view a, std::string_view b) {
        auto lower = [](char c) {
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
        };
        bool equal = a.size() == b.size();
        for (std::size_t i = 0; equal && i < a.size(); i++) {
            equal = lower(a[i]) == lower(b[i]);
        }
        return equal;
    }

    std::uint64_t sid_;
    const NrRequest* request_;
    std::string_view payload_;
};

class Response {
public:
    Response(std::string body) : body_(std::move(body)) {}                // NOLINT: implicit
    Response(std::vector<std::uint8_t> body) : body_(std::move(body)) {}  // NOLINT: implicit
    Response(const char* body) : body_(std::string(body)) {}              // NOLINT: implicit
    Response(Status status, std::string body) : status_(status), body_(std::move(body)) {}

    // A view that outlives the handler: of the payload, or of static text.
    static Response borrow(std::string_view body) {
        Response response{std::string()};
        response.body_ = body;
        return response;
    }

    // As Host::send.
    Status send(const Host& host, std::uint64_t sid) && {
        if (auto* text = std::get_if<std::string>(&body_)) {
            return host.send_owned(sid, status_, std::move(*text));
        }
        if (auto* data = std::get_if<std::vector<std::uint8_t>>(&body_)) {
            return host.send_owned(sid, status_, std::move(*data));
        }
        return host.send(sid, status_, std::get<std::string_view>(body_));
    }

private:
    Status status_ = NR_OK;
    std::variant<std::string, std::vector<std::uint8_t>, std::string_view> body_;
};

// One answer, later, from any thread. Move only.
class Responder {
public:
    Responder(const Host& host, std::uint64_t sid) : host_(host), sid_(sid) {}
    Responder(Responder&& other) noexcept
        : host_(other.host_), sid_(other.sid_), open_(std::exchange(other.open_, false)),
          exceptions_(other.exceptions_) {}
    Responder& operator=(Responder&&) = delete;
    ~Responder() {
        if (open_ && std::uncaught_exceptions() <= exceptions_ && !host_.is_cancelled(sid_)) {
            host_.send(sid_, NR_ERR, "dropped without an answer");
        }
    }

    std::uint64_t sid() const noexcept { return sid_; }
    const Host& host() const noexcept { return host_; }
    bool is_cancelled() const { return host_.is_cancelled(sid_); }

    // NR_INVALID: no caller waits any more. NR_TOO_LONG: the answer is longer than the
    // host takes, and the caller got this status.
    Status answer(Response response) && {
        open_ = false;
        return std::move(response).send(host_, sid_);
    }

private:
    Host host_;
    std::uint64_t sid_;
    bool open_ = true;
    int exceptions_ = std::uncaught_exceptions();
};

class Session;

namespace detail {

// Calls of the host for a session that is still being made.
struct Early {
    bool data = false;  // it offered a message, and keeps it
    bool room = false;
    bool closed = false;
};

// The open sessions of one instance.
//
// A session is in the table from before its constructor runs: the host may react
// to a frame of the constructor at once, from another thread or from within the
// send. Until the session is made such a call is recorded here, and returns.
class Sessions {
public:
    static constexpr std::size_t sessions_max = 65536;

    // A place for sid, filled when the session is made. False: full.
    bool reserve(std::uint64_t sid) {
        std::lock_guard lock(mutex_);
        return by_sid_.size() < sessions_max && by_sid_.emplace(sid, Place()).second;
    }

    // The notes taken so far; nothing if the session ended while it was made.
    // One that the host closed meanwhile has left the table.
    std::optional<Early> fill(std::uint64_t sid, const std::shared_ptr<Session>& session) {
        std::lock_guard lock(mutex_);
        auto at = by_sid_.find(sid);
        if (at == by_sid_.end()) {
            return std::nullopt;
        }
        Early early = at->second.early;
        if (early.closed) {
            by_sid_.erase(at);
        } else {
            at->second.session = session;
        }
        return early;
    }

    struct Found {
        std::shared_ptr<Session> session;
        bool noted = false;  // no session yet
    };

    Found find(std::uint64_t sid, bool Early::*note) {
        std::lock_guard lock(mutex_);
        auto at = by_sid_.find(sid);
        if (at == by_sid_.end()) {
            return {};
        }
        return found(at->second, note);
    }

    // Takes the session out; one that is being made is only noted down.
    Found close(std::uint64_t sid) {
        std::lock_guard lock(mutex_);
        auto at = by_sid_.find(sid);
        if (at == by_sid_.end() || at->second.early.closed) {
            return {};
        }
        Found result = found(at->second, &Early::closed);
        if (!result.noted) {
            by_sid_.erase(at);
        }
        return result;
    }

    // False: no such session. It is destroyed outside the lock, here or, if it
    // is at work or being made, by the thread that is there.
    bool take(std::uint64_t sid) {
        std::shared_ptr<Session> last;
        std::lock_guard lock(mutex_);
        auto at = by_sid_.find(sid);
        if (at == by_sid_.end()) {
            return false;
        }
        last = std::move(at->second.session);
        by_sid_.erase(at);
        return true;
    }

    // Ends them all, outside the lock.
    void take_all() {
        Map last;
        std::lock_guard lock(mutex_);
        last.swap(by_sid_);
    }

private:
    struct Place {
        std::shared_ptr<Session> session;  // null while it is being made
        Early early;
    };
    using Map = std::unordered_map<std::uint64_t, Place>;

    static Found found(Place& place, bool Early::*note) {
        if (place.session == nullptr) {
            place.early.*note = true;
            return {nullptr, true};
        }
        return {place.session, false};
    }

    std::mutex mutex_;
    Map by_sid_;
};

}  // namespace detail

// Many frames out, from any thread, one at a time. Move only.
class Stream {
public:
    Stream(const Host& host, std::uint64_t sid, std::weak_ptr<detail::Sessions> sessions = {})
        : host_(host), sid_(sid), sessions_(std::move(sessions)) {}
    Stream(Stream&& other) noexcept
        : host_(other.host_), sid_(other.sid_), sessions_(std::move(other.sessions_)),
          open_(std::exchange(other.open_, false)), exceptions_(other.exceptions_) {}
    Stream& operator=(Stream&&) = delete;
    ~Stream() {
        if (open_ && std::uncaught_exceptions() <= exceptions_ && !host_.is_cancelled(sid_)) {
            host_.send(sid_, NR_ERR, "dropped without an end");
        }
    }

    std::uint64_t sid() const noexcept { return sid_; }
    const Host& host() const noexcept { return host_; }
    bool is_cancelled() const { return host_.is_cancelled(sid_); }

    // NR_BACKPRESSURE: the queue is full, the frame was not taken; on_room follows.
    // NR_INVALID: no caller reads any more. NR_TOO_LONG: the frame is longer than the host
    // takes; the stream goes on without it.
    Status send(std::string_view frame) const { return host_.send(sid_, NR_OK, frame); }

    // The frame keeps its value on NR_BACKPRESSURE.
    template <class Container>
    Status send_owned(Container&& frame) const {
        return host_.send_owned(sid_, NR_OK, std::forward<Container>(frame));
    }

    // Waits up to timeout_ms for room, then NR_BACKPRESSURE; only on a thread of the
    // plugin's own.
    Status send_wait(std::string_view frame, std::uint64_t timeout_ms) const {
        return host_.send_wait(sid_, NR_OK, frame, timeout_ms);
    }

    // The last frame: always finds room. NR_INVALID: no caller reads any more. NR_TOO_LONG:
    // it is longer than the host takes, and the stream ended with this status. Destroys
    // the Session unless the caller is one of its functions.
    Status end(std::string_view frame = {}) { return finish(NR_STREAM_END, frame); }
    Status fail(Status status, std::string_view frame = {}) {
        return finish(status == NR_OK ? NR_ERR : status, frame);
    }

    // Asks the host for the message that data refused with NR_BACKPRESSURE.
    Status ready() const { return host_.stream_ready(sid_); }

private:
    Status finish(Status status, std::string_view frame) {
        if (!open_) {
            return NR_INVALID;
        }
        open_ = false;
        Status sent = host_.send(sid_, status, frame);
        if (auto sessions = sessions_.lock()) {
            sessions->take(sid_);  // `this` may die with it: touch nothing below
        }
        return sent;
    }

    Host host_;
    std::uint64_t sid_;
    std::weak_ptr<detail::Sessions> sessions_;
    bool open_ = true;
    int exceptions_ = std::uncaught_exceptions();
};

// Both directions of one stream. Derive, with a constructor (Plugin&, const Request&, Stream).
// The host sends one message of a session at a time. The constructor may send;
// none of the functions below runs before it has returned.
class Session {
public:
    explicit Session(Stream stream) : stream(std::move(stream)) {}
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    virtual ~Session() = default;

    // NR_BACKPRESSURE: not taken; the host keeps it until stream.ready().
    // Anything else but NR_OK ends the session.
    virtual Status data(std::string_view message) = 0;

    // A frame was refused with NR_BACKPRESSURE; now there is room. Asks for the
    // message that data did not take for it. Comes on a thread of the host, also
    // while data runs, and never from a host that does not know it.
    virtual void on_room() { stream.ready(); }

    // The host sends no more. The session is destroyed when this returns; move
    // the stream elsewhere to send on.
    virtual void closed() { stream.end(); }

protected:
    Stream stream;
};

}  // namespace becket

#pragma GCC visibility pop

#endif  // BECKET_CALL_HPP
