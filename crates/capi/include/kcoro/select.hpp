// SPDX-License-Identifier: BSD-3-Clause
//
// select: waits until one of several sends and receives completes, and runs that one alone.
#ifndef KCORO_SELECT_HPP
#define KCORO_SELECT_HPP

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "channel.hpp"

namespace kc {

/// Which clause completed, and how.
struct [[nodiscard]] choice {
    int index = -1;            ///< in the order of the calls; -1: none
    errc error = errc::none;   ///< errc::closed with an index: that clause's channel is closed

    choice(errc failure) noexcept : error(failure) {}
    choice(int clause, errc outcome) noexcept : index(clause), error(outcome) {}

    explicit operator bool() const noexcept { return error == errc::none; }
};

namespace detail {

struct clause {
    virtual ~clause() = default;
    /// Adds it to a set of the C interface.
    virtual int add(kc_select_t *set) noexcept = 0;
    /// After the wait, of each clause that was added.
    virtual void settle(bool completed) noexcept = 0;
};

template <class T>
class recv_clause final : public clause {
  public:
    recv_clause(kc_chan_t *chan, std::optional<T> &out) noexcept : chan_(chan), out_(&out) {}
    int add(kc_select_t *set) noexcept override {
        return kc_select_add_recv(set, chan_, element_.place());
    }
    void settle(bool completed) noexcept override {
        if (completed) out_->emplace(element_.take());
    }

  private:
    kc_chan_t *chan_;
    std::optional<T> *out_;
    incoming<T> element_;
};

template <class T>
class send_clause final : public clause {
  public:
    send_clause(kc_chan_t *chan, typename outgoing<T>::source &value) noexcept
        : chan_(chan), value_(value) {}
    int add(kc_select_t *set) noexcept override {
        if (!value_.load()) return -ENOMEM;
        int code = kc_select_add_send(set, chan_, value_.place());
        if (code != 0) value_.settle(false);
        return code;
    }
    void settle(bool completed) noexcept override { value_.settle(completed); }

  private:
    kc_chan_t *chan_;
    outgoing<T> value_;
};

}  // namespace detail

class select;

class [[nodiscard]] choose_operation : public operation<choose_operation> {
    friend class select;
    friend class operation<choose_operation>;

    explicit choose_operation(std::vector<std::unique_ptr<detail::clause>> &clauses) noexcept
        : clauses_(clauses) {}

    choice perform(long timeout_ms, const kc_cancel_t *token) noexcept {
        kc_select_t *made = nullptr;
        if (int code = kc_select_create(&made, token); code != 0) return static_cast<errc>(code);
        detail::owned<kc_select_t, kc_select_destroy> set(made);
        int index = -1, outcome = 0;
        std::size_t added = 0;
        for (; added < clauses_.size() && outcome == 0; ++added) {
            outcome = clauses_[added]->add(made);
            if (outcome != 0) break;
        }
        if (outcome == 0) outcome = kc_select_wait(made, timeout_ms, &index, nullptr);
        for (std::size_t at = 0; at < added; ++at) {
            clauses_[at]->settle(outcome == 0 && static_cast<int>(at) == index);
        }
        return {index, static_cast<errc>(outcome)};
    }

    std::vector<std::unique_ptr<detail::clause>> &clauses_;
};

/// A set of clauses, for one thread or task at a time, and for any number of waits. Of several clauses that
/// can complete, the first does. It refers to its channels and places, which must outlive it.
class select {
  public:
    /// Receives into `out`, if this clause completes.
    template <class T>
    select &recv(channel<T> &from, std::optional<T> &out) {
        clauses_.push_back(std::make_unique<detail::recv_clause<T>>(from.get(), out));
        return *this;
    }
    /// Sends the value that is there at the time of the wait. One that is moved is so only if this clause
    /// completes.
    template <class T>
    select &send(channel<T> &to, typename detail::outgoing<T>::source &value) {
        clauses_.push_back(std::make_unique<detail::send_clause<T>>(to.get(), value));
        return *this;
    }

    /// Removes all clauses.
    void reset() noexcept { clauses_.clear(); }

    /// errc::invalid: there are no clauses, or one has a channel that was moved from.
    choose_operation choose() noexcept { return choose_operation(clauses_); }

  private:
    std::vector<std::unique_ptr<detail::clause>> clauses_;
};

}  // namespace kc

#endif  // KCORO_SELECT_HPP
