// SPDX-License-Identifier: BSD-3-Clause
//
// channel<T>.
//
//   T                                            travels as
//   trivially copyable                           a copy of its bytes
//   any other that moves without exceptions      a pointer to a parcel that holds it
//
// A parcel has two holders, the sender and the channel, and is freed by the last of them:
//
//   send succeeded    the receiver, or the hook of the channel, has the value; the sender lets go
//   send failed       the value is moved back to the sender, and the parcel is freed: the channel does not
//                     have it, and a hook that ran for it, ran inside the send
//   undelivered       the channel's hook lets go of it: the value is destroyed with the parcel
//
// So a value that was never delivered is destroyed exactly once: by its sender if the send failed, else by
// the channel. Elements that are pointers to parcels are elements like others: select works, and statistics
// count the bytes of a pointer.
#ifndef KCORO_CHANNEL_HPP
#define KCORO_CHANNEL_HPP

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <new>
#include <type_traits>

#include "operation.hpp"

namespace kc {

template <class T>
concept copied = std::is_trivially_copyable_v<T> && std::is_object_v<T> && !std::is_const_v<T>;

template <class T>
concept moved = !copied<T> && std::is_object_v<T> && std::is_nothrow_move_constructible_v<T> &&
                std::is_nothrow_move_assignable_v<T> && std::is_nothrow_destructible_v<T>;

enum class kind : int {
    rendezvous = KC_RENDEZVOUS,  ///< a send completes when its element is received
    buffered = KC_BUFFERED,      ///< holds exactly `capacity` elements
    conflated = KC_CONFLATED,    ///< holds the latest
    unlimited = KC_UNLIMITED     ///< holds any number
};

namespace detail {

template <class T>
struct parcel {
    std::atomic<int> holders{2};
    T value;

    explicit parcel(T &&from) noexcept : value(std::move(from)) {}

    void let_go() noexcept {
        if (holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
};

/// An element on its way out: `load`, then the C function with `place`, then `settle`.
template <class T>
class outgoing {
  public:
    using source = const T;

    explicit outgoing(const T &value) noexcept : value_(&value) {}
    bool load() noexcept { return true; }
    const void *place() const noexcept { return value_; }
    void settle(bool) noexcept {}

  private:
    const T *value_;
};

template <moved T>
class outgoing<T> {
  public:
    using source = T;

    explicit outgoing(T &value) noexcept : value_(&value) {}
    bool load() noexcept {
        parcel_ = new (std::nothrow) parcel<T>(std::move(*value_));
        return parcel_ != nullptr;
    }
    const void *place() const noexcept { return &parcel_; }
    void settle(bool sent) noexcept {
        if (sent) return parcel_->let_go();
        *value_ = std::move(parcel_->value);
        delete parcel_;
    }

  private:
    T *value_;
    parcel<T> *parcel_ = nullptr;
};

/// A place for an element: the C function with `place`, then `take` if it succeeded.
template <class T>
class incoming {
  public:
    void *place() noexcept { return &bytes_; }
    T take() noexcept { return std::bit_cast<T>(bytes_); }

  private:
    alignas(T) std::array<std::byte, sizeof(T)> bytes_;
};

template <moved T>
class incoming<T> {
  public:
    void *place() noexcept { return &parcel_; }
    T take() noexcept {
        T value(std::move(parcel_->value));
        parcel_->let_go();
        return value;
    }

  private:
    parcel<T> *parcel_ = nullptr;
};

}  // namespace detail

template <class T>
class channel;

template <class T>
class [[nodiscard]] send_operation : public operation<send_operation<T>> {
    friend class channel<T>;
    friend class operation<send_operation<T>>;

    send_operation(kc_chan_t *chan, typename detail::outgoing<T>::source &value) noexcept
        : chan_(chan), value_(value) {}

    result<void> perform(long timeout_ms, const kc_cancel_t *token) noexcept {
        if (!value_.load()) return errc::no_memory;
        int code = kc_chan_send_c(chan_, value_.place(), timeout_ms, token);
        value_.settle(code == 0);
        return static_cast<errc>(code);
    }

    kc_chan_t *chan_;
    detail::outgoing<T> value_;
};

template <class T>
class [[nodiscard]] recv_operation : public operation<recv_operation<T>> {
    friend class channel<T>;
    friend class operation<recv_operation<T>>;

    explicit recv_operation(kc_chan_t *chan) noexcept : chan_(chan) {}

    result<T> perform(long timeout_ms, const kc_cancel_t *token) noexcept {
        detail::incoming<T> element;
        int code = kc_chan_recv_c(chan_, element.place(), timeout_ms, token);
        if (code != 0) return static_cast<errc>(code);
        return element.take();
    }

    kc_chan_t *chan_;
};

/// A channel, closed and destroyed with this handle. Any number of threads and tasks may use it at once.
/// One that was moved from answers errc::invalid.
template <class T>
class channel {
    static_assert(copied<T> || moved<T>,
                  "an element is trivially copyable, or moves and is destroyed without exceptions");

  public:
    /// errc::no_memory: none for the capacity, which is that of a buffered channel alone.
    static result<channel> make(kind kind, std::size_t capacity = 0) noexcept {
        kc_chan_t *made = nullptr;
        int code = 0;
        if constexpr (moved<T>) {
            code = kc_chan_make_ex(&made, static_cast<int>(kind), sizeof(detail::parcel<T> *), capacity,
                                   undelivered, nullptr, nullptr);
        } else {
            code = kc_chan_make(&made, static_cast<int>(kind), sizeof(T), capacity);
        }
        if (code != 0) return static_cast<errc>(code);
        return channel(made);
    }

    static result<channel> rendezvous() noexcept { return make(kind::rendezvous); }
    static result<channel> buffered(std::size_t capacity) noexcept {
        return make(kind::buffered, capacity);
    }
    static result<channel> conflated() noexcept { return make(kind::conflated); }
    static result<channel> unlimited() noexcept { return make(kind::unlimited); }

    /// Takes over a channel of the C interface, of elements of T's size.
    static channel adopt(kc_chan_t *chan) noexcept
        requires copied<T>
    {
        return channel(chan);
    }

    /// Sends a copy.
    send_operation<T> send(const T &value) noexcept
        requires copied<T>
    {
        return {chan_.get(), value};
    }
    /// Sends the value. A send that failed has left it where it was.
    send_operation<T> send(T &&value) noexcept
        requires moved<T>
    {
        return {chan_.get(), value};
    }

    /// Receives an element. errc::closed: closed, and drained.
    recv_operation<T> recv() noexcept { return recv_operation<T>(chan_.get()); }

    /// Later sends fail; held elements can still be received; waits for more end. Again: no effect.
    void close() noexcept { kc_chan_close(chan_.get()); }

    /// The number of elements held.
    std::size_t size() const noexcept { return kc_chan_len(chan_.get()); }

    /// Counters and rates since the start. errc::invalid: moved from.
    result<kc_chan_stats> stats() const noexcept { return counted<kc_chan_stats, kc_chan_get_stats>(); }
    result<struct kc_chan_snapshot> snapshot() const noexcept {
        return counted<struct kc_chan_snapshot, ::kc_chan_snapshot>();
    }

    /// The handle of the C interface, borrowed.
    kc_chan_t *get() const noexcept { return chan_.get(); }

  private:
    explicit channel(kc_chan_t *chan) noexcept : chan_(chan) {}

    template <class Counters, auto Read>
    result<Counters> counted() const noexcept {
        Counters counters{};
        if (int code = Read(chan_.get(), &counters); code != 0) return static_cast<errc>(code);
        return counters;
    }

    static void undelivered(void *element, std::size_t, void *) noexcept {
        (*static_cast<detail::parcel<T> **>(element))->let_go();
    }

    detail::owned<kc_chan_t, kc_chan_destroy> chan_;
};

}  // namespace kc

#endif  // KCORO_CHANNEL_HPP
