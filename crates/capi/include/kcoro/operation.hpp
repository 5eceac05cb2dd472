// SPDX-License-Identifier: BSD-3-Clause
//
// Operations: a timeout, a token or a std::stop_token, then `wait`, `attempt` or `co_await`.
//
// A stop token and a cancel token of libkcoro are joined by a link: a token of the C interface, below the
// other token if there is one, and a callback that sets it. The link lives as long as the wait. Its members
// are destroyed in reverse order, the callback first: the destructor of std::stop_callback returns when a
// callback in progress on another thread has returned, so the token outlives every call that sets it.
#ifndef KCORO_OPERATION_HPP
#define KCORO_OPERATION_HPP

#include <chrono>
#include <stop_token>

#include "result.hpp"

namespace kc {

/// A cancel token. Destroying it does not set it; waits that use it continue without it.
class cancel {
  public:
    static result<cancel> make() noexcept { return below(nullptr); }

    /// Set when its parent is, which may be destroyed first. The parent may be null.
    static result<cancel> below(const kc_cancel_t *parent) noexcept {
        kc_cancel_ctx_t made = {nullptr, nullptr};
        if (int code = kc_cancel_ctx_init(&made, parent); code != 0) return static_cast<errc>(code);
        return cancel(made.token);
    }

    static result<cancel> below(const cancel &parent) noexcept { return below(parent.get()); }

    /// Ends the waits on it, and on those below it. Again: no effect.
    void trigger() const noexcept { kc_cancel_trigger(token_.get()); }
    bool is_set() const noexcept { return kc_cancel_is_set(token_.get()) != 0; }
    kc_cancel_t *get() const noexcept { return token_.get(); }

  private:
    explicit cancel(kc_cancel_t *token) noexcept : token_(token) {}

    detail::owned<kc_cancel_t, kc_cancel_destroy> token_;
};

/// A cancel token that is set when a stop is requested: for many waits, where a `cancel_on(stop)` each
/// would make a token each.
class stop_link {
  public:
    /// Below `parent`, which may be null. Without memory it is not made.
    explicit stop_link(std::stop_token stop, const kc_cancel_t *parent = nullptr) noexcept
        : token_(parent), callback_(std::move(stop), setter{token_.made.token}) {}
    stop_link(const stop_link &) = delete;
    stop_link &operator=(const stop_link &) = delete;

    explicit operator bool() const noexcept { return get() != nullptr; }
    const kc_cancel_t *get() const noexcept { return token_.made.token; }

  private:
    struct setter {
        kc_cancel_t *token;
        void operator()() const noexcept { kc_cancel_trigger(token); }
    };
    struct token {
        kc_cancel_ctx_t made = {nullptr, nullptr};

        explicit token(const kc_cancel_t *parent) noexcept {
            if (kc_cancel_ctx_init(&made, parent) != 0) made.token = nullptr;
        }
        token(const token &) = delete;
        token &operator=(const token &) = delete;
        ~token() {
            if (made.token != nullptr) kc_cancel_ctx_destroy(&made);
        }
    };

    token token_;
    std::stop_callback<setter> callback_;
};

/// What every operation has. It refers to its channel, its arguments and its tokens: use it in the
/// expression that makes it.
template <class Self>
class operation {
  public:
    operation(const operation &) = delete;
    operation &operator=(const operation &) = delete;

    /// errc::timed_out after this time; 0 or less: errc::again if it would have to wait.
    Self &&timeout(std::chrono::milliseconds limit) && noexcept {
        timeout_ms_ = limit.count() > 0 ? static_cast<long>(limit.count()) : 0;
        return static_cast<Self &&>(*this);
    }
    /// errc::cancelled when it is set; whatever else is possible, if it is set before.
    Self &&cancel_on(const kc_cancel_t *token) && noexcept {
        token_ = token;
        return static_cast<Self &&>(*this);
    }
    Self &&cancel_on(const cancel &token) && noexcept {
        return std::move(*this).cancel_on(token.get());
    }
    Self &&cancel_on(const stop_link &link) && noexcept {
        return std::move(*this).cancel_on(link.get());
    }
    /// errc::cancelled when a stop is requested, beside a token that was given. errc::no_memory: there is
    /// none for the link.
    Self &&cancel_on(std::stop_token stop) && noexcept {
        stop_ = std::move(stop);
        return static_cast<Self &&>(*this);
    }

    /// Runs it; waits if it must.
    auto wait() && noexcept {
        Self &self = static_cast<Self &>(*this);
        using answer = decltype(self.perform(timeout_ms_, token_));
        if (!stop_.stop_possible()) return self.perform(timeout_ms_, token_);
        stop_link link(std::move(stop_), token_);
        if (!link) return answer(errc::no_memory);
        return self.perform(timeout_ms_, link.get());
    }

    /// Runs it without waiting: errc::again.
    auto attempt() && noexcept {
        return std::move(*this).timeout(std::chrono::milliseconds(0)).wait();
    }

  protected:
    operation() noexcept = default;

  private:
    long timeout_ms_ = -1;
    const kc_cancel_t *token_ = nullptr;
    std::stop_token stop_;
};

}  // namespace kc

#endif  // KCORO_OPERATION_HPP
