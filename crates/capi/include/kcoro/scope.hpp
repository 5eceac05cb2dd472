// SPDX-License-Identifier: BSD-3-Clause
//
// scope: tasks that end before it does, so that they may refer to what is declared before the scope.
#ifndef KCORO_SCOPE_HPP
#define KCORO_SCOPE_HPP

#include "task.hpp"

namespace kc {

/// Its tasks run on the default scheduler. Its end cancels them and waits for them. They are not interrupted:
/// they pass its token to their waits (`cancel_on(scope.token())`).
class scope {
  public:
    /// Below `parent`, which may be null.
    static result<scope> make(const kc_cancel_t *parent = nullptr) noexcept {
        kc_scope_t *made = nullptr;
        if (int code = kc_scope_init(&made, parent); code != 0) return static_cast<errc>(code);
        return scope(made);
    }
    static result<scope> make(const kc::cancel &parent) noexcept { return make(parent.get()); }

    /// Starts a task, or a function without arguments. errc::cancelled: the scope is.
    template <class Body>
    auto spawn(Body body, std::size_t stack_bytes = 0) noexcept {
        return detail::spawn_by(std::move(body), [&](kcoro_fn_t entry, void *argument) {
            return kc_scope_launch(scope_.get(), entry, argument, stack_bytes, nullptr);
        });
    }

    /// Sets its token.
    void cancel() noexcept { kc_scope_cancel(scope_.get()); }
    /// Valid as long as the scope.
    const kc_cancel_t *token() const noexcept { return kc_scope_token(scope_.get()); }

    /// Waits until all its tasks have ended. errc::deadlock: the caller is one of them.
    result<void> wait_all() noexcept { return static_cast<errc>(kc_scope_wait_all(scope_.get(), -1)); }
    /// errc::timed_out, or errc::again for a limit of 0: some have not.
    result<void> wait_all(std::chrono::milliseconds limit) noexcept {
        long ms = limit.count() > 0 ? static_cast<long>(limit.count()) : 0;
        return static_cast<errc>(kc_scope_wait_all(scope_.get(), ms));
    }

    kc_scope_t *get() const noexcept { return scope_.get(); }

  private:
    explicit scope(kc_scope_t *made) noexcept : scope_(made) {}

    detail::owned<kc_scope_t, kc_scope_destroy> scope_;
};

}  // namespace kc

#endif  // KCORO_SCOPE_HPP
