// SPDX-License-Identifier: BSD-3-Clause
//
// What an operation returns: a value or an error number.
#ifndef KCORO_RESULT_HPP
#define KCORO_RESULT_HPP

#include <cerrno>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "../kcoro.h"

namespace kc {

/// The numbers of the C interface. Other numbers of the system are possible too.
enum class errc : int {
    none = 0,
    again = KC_EAGAIN,          ///< it would have to wait
    closed = KC_EPIPE,          ///< the channel is closed, and empty
    timed_out = KC_ETIME,       ///< the timeout has elapsed
    cancelled = KC_ECANCELED,   ///< the token is set, or a stop was requested
    unsupported = KC_ENOTSUP,   ///< this channel does not support it
    invalid = -EINVAL,          ///< an argument, or a handle that was moved from
    no_memory = -ENOMEM,        ///< no memory, or no thread
    deadlock = -EDEADLK,        ///< the caller would wait for itself
    internal = -EIO             ///< a defect of the library, reported on standard error
};

/// A short text for logs.
constexpr const char *text(errc error) noexcept {
    switch (error) {
    case errc::none: return "success";
    case errc::again: return "the operation would have to wait";
    case errc::closed: return "the channel is closed";
    case errc::timed_out: return "the timeout has elapsed";
    case errc::cancelled: return "cancelled";
    case errc::unsupported: return "not supported by this channel";
    case errc::invalid: return "an argument is invalid";
    case errc::no_memory: return "no memory";
    case errc::deadlock: return "the caller would wait for itself";
    case errc::internal: return "an internal failure of the library";
    }
    return "an error of the system";
}

/// A value, or why there is none.
template <class T>
class [[nodiscard]] result {
    static_assert(!std::is_same_v<T, errc>, "an errc is an error: its value would be one too");

  public:
    result(T value) noexcept : value_(std::move(value)) {}
    result(errc error) noexcept : error_(error) {}

    explicit operator bool() const noexcept { return value_.has_value(); }
    bool has_value() const noexcept { return value_.has_value(); }
    /// errc::none if there is a value.
    errc error() const noexcept { return error_; }

    /// The value, which must be there.
    T &operator*() & noexcept { return *value_; }
    const T &operator*() const & noexcept { return *value_; }
    T &&operator*() && noexcept { return std::move(*value_); }
    T *operator->() noexcept { return &*value_; }
    const T *operator->() const noexcept { return &*value_; }

    T value_or(T other) && noexcept { return value_ ? std::move(*value_) : std::move(other); }

  private:
    std::optional<T> value_;
    errc error_ = errc::none;
};

/// Success, or an error.
template <>
class [[nodiscard]] result<void> {
  public:
    result() noexcept = default;
    result(errc error) noexcept : error_(error) {}

    explicit operator bool() const noexcept { return error_ == errc::none; }
    bool has_value() const noexcept { return error_ == errc::none; }
    errc error() const noexcept { return error_; }

  private:
    errc error_ = errc::none;
};

namespace detail {

template <auto Destroy>
struct destroyer {
    template <class Handle>
    void operator()(Handle *handle) const noexcept {
        Destroy(handle);
    }
};

/// A handle of the C interface, and the function that ends it.
template <class Handle, auto Destroy>
using owned = std::unique_ptr<Handle, destroyer<Destroy>>;

}  // namespace detail
}  // namespace kc

#endif  // KCORO_RESULT_HPP
