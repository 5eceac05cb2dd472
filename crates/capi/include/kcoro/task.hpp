// SPDX-License-Identifier: BSD-3-Clause
//
// Tasks, and what runs them.
//
// A task is lazy: it starts when it is awaited, run or spawned.
//
//   co_await child()         in a task: runs the child here, to its end
//   child().run()            anywhere: the same
//   spawn(child())           on a coroutine of libkcoro, beside the caller
//
//   spawn:   coroutine of libkcoro (a stack)
//            +-- entry
//                +-- frame of the task, on the heap: resumed once, runs to its end
//                    +-- co_await channel.recv(): kc_chan_recv_c, which may park this stack
//
// So a frame is never suspended between its start and its end, and its owner may destroy it after `resume`
// has returned. The result of a spawned task is written before its `done` channel is closed, and read after
// a receive on that has returned KC_EPIPE.
//
// A coroutine that is abandoned (kc_sched_shutdown of the C interface, while it waits) runs no destructors.
// The destructors here do not abandon: a scheduler waits for its tasks, and so does a scope.
#ifndef KCORO_TASK_HPP
#define KCORO_TASK_HPP

#include <concepts>
#include <coroutine>
#include <exception>
#include <new>
#include <optional>
#include <type_traits>

#include "../kc_cancel.h"
#include "../kcoro_ext.h"
#include "../kcoro_sched.h"
#include "channel.hpp"

namespace kc {

template <class T = void>
class task;

namespace detail {

template <class Op>
concept awaitable = std::is_base_of_v<operation<Op>, Op>;

/// The result of an operation that has run.
template <class T>
struct ready {
    T value;

    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    T await_resume() noexcept { return std::move(value); }
};

struct task_promise_base {
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

    template <awaitable Op>
    auto await_transform(Op &&pending) noexcept {
        return ready<decltype(std::move(pending).wait())>{std::move(pending).wait()};
    }
    template <class U>
    auto await_transform(task<U> &&child) noexcept {
        if constexpr (std::is_void_v<U>) {
            std::move(child).run();
            return std::suspend_never{};
        } else {
            return ready<U>{std::move(child).run()};
        }
    }
};

template <class T>
struct task_promise : task_promise_base {
    std::optional<T> value;

    task<T> get_return_object() noexcept;
    void return_value(T from) noexcept { value.emplace(std::move(from)); }
};

template <>
struct task_promise<void> : task_promise_base {
    task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
};

}  // namespace detail

/// A coroutine of C++ that waits by `co_await`. What it refers to must outlive it: in a lambda that is a task,
/// pass arguments in place of captures.
template <class T>
class [[nodiscard]] task {
    static_assert(std::is_void_v<T> || std::is_nothrow_move_constructible_v<T>,
                  "a result moves without exceptions");

  public:
    using promise_type = detail::task_promise<T>;
    using value_type = T;

    task(task &&other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    task &operator=(task &&other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    ~task() {
        if (frame_) frame_.destroy();
    }

    /// Runs it here to its end. Once.
    T run() && noexcept {
        task here(std::move(*this));
        here.frame_.resume();
        if constexpr (!std::is_void_v<T>) return std::move(*here.frame_.promise().value);
    }

  private:
    friend promise_type;

    explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

    std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <class T>
task<T> task_promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<task_promise>::from_promise(*this));
}

inline task<void> task_promise<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<task_promise>::from_promise(*this));
}

/// What is spawned: a task, or a function without arguments.
template <class Body>
struct body_traits {
    using value = std::invoke_result_t<Body &>;
    static value run(Body &body) { return body(); }
};

template <class T>
struct body_traits<task<T>> {
    using value = T;
    static T run(task<T> &body) { return std::move(body).run(); }
};

template <class Body>
using body_value = typename body_traits<Body>::value;

struct nothing {};

/// The end of a spawned task, held by the task and by its handle.
template <class T>
struct ending {
    using stored = std::conditional_t<std::is_void_v<T>, nothing, T>;

    std::atomic<int> holders{2};
    channel<char> done;
    std::optional<stored> value;

    explicit ending(channel<char> &&made) noexcept : done(std::move(made)) {}

    static void let_go(ending *of) noexcept {
        if (of->holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete of;
    }
};

template <class T>
using ending_handle = owned<ending<T>, ending<T>::let_go>;

/// The argument of a spawned coroutine. It is gone, with the frame of the task, before the end is signalled.
template <class Body>
struct start {
    using value = body_value<Body>;

    Body body;
    ending_handle<value> end;

    static void entry(void *argument) noexcept {
        std::unique_ptr<start> own(static_cast<start *>(argument));
        ending_handle<value> end = std::move(own->end);
        if constexpr (std::is_void_v<value>) {
            body_traits<Body>::run(own->body);
            end->value.emplace();
        } else {
            end->value.emplace(body_traits<Body>::run(own->body));
        }
        own.reset();
        end->done.close();
    }
};

}  // namespace detail

/// Waits for the end of a spawned task and takes its result.
template <class T>
class [[nodiscard]] join_operation : public operation<join_operation<T>> {
  public:
    explicit join_operation(detail::ending<T> *end) noexcept : end_(end) {}

  private:
    friend class operation<join_operation<T>>;

    result<T> perform(long timeout_ms, const kc_cancel_t *token) noexcept {
        if (end_ == nullptr) return errc::invalid;
        char never = 0;
        int code = kc_chan_recv_c(end_->done.get(), &never, timeout_ms, token);
        if (code != KC_EPIPE) return static_cast<errc>(code);
        if (!end_->value) return errc::invalid;
        if constexpr (std::is_void_v<T>) {
            return {};
        } else {
            T value = std::move(*end_->value);
            end_->value.reset();
            return value;
        }
    }

    detail::ending<T> *end_;
};

/// The result of a spawned task. Destroying the handle neither ends the task nor waits for it. A join of a
/// coroutine that was abandoned ends by its limits alone.
template <class T>
class join_handle {
  public:
    /// The result, for one caller at a time. errc::invalid: it was taken before.
    join_operation<T> join() noexcept { return join_operation<T>(end_.get()); }

    /// Used by spawn.
    explicit join_handle(detail::ending_handle<T> end) noexcept : end_(std::move(end)) {}

  private:
    detail::ending_handle<T> end_;
};

namespace detail {

/// Starts a coroutine by `start_function(entry, argument)`, which returns 0 or an error.
template <class Body, class Function>
result<join_handle<body_value<Body>>> spawn_by(Body &&body, Function &&start_function) noexcept {
    using value = body_value<std::remove_cvref_t<Body>>;
    using starting = start<std::remove_cvref_t<Body>>;
    auto done = channel<char>::rendezvous();
    if (!done) return done.error();
    auto *end = new (std::nothrow) ending<value>(std::move(*done));
    if (end == nullptr) return errc::no_memory;
    ending_handle<value> here(end);
    auto *made = new (std::nothrow) starting{std::forward<Body>(body), ending_handle<value>(end)};
    if (made == nullptr) {
        // Its holder was not made.
        end->holders.store(1, std::memory_order_relaxed);
        return errc::no_memory;
    }
    if (int code = start_function(starting::entry, made); code != 0) {
        delete made;
        return static_cast<errc>(code);
    }
    return join_handle<value>(std::move(here));
}

inline int spawn_on(kc_sched_t *on, kcoro_fn_t entry, void *argument, std::size_t stack_bytes) noexcept {
    return kc_spawn_co(on, entry, argument, stack_bytes, nullptr) == 0 ? 0 : -ENOMEM;
}

}  // namespace detail

/// Workers, which are threads. Its end waits until all its tasks have ended: close their channels, or stop
/// them, before.
class scheduler {
  public:
    /// `workers`: at most 256; 0 or less: one for each CPU.
    static result<scheduler> make(int workers = 0) noexcept {
        kc_sched_opts_t opts = {workers, 0, 0};
        kc_sched_t *made = kc_sched_init(&opts);
        if (made == nullptr) return errc::no_memory;
        return scheduler(made);
    }

    /// Starts a task, or a function without arguments. `stack_bytes` is at least 64 KiB.
    template <class Body>
    auto spawn(Body body, std::size_t stack_bytes = 0) noexcept {
        return detail::spawn_by(std::move(body), [&](kcoro_fn_t entry, void *argument) {
            return detail::spawn_on(sched_.get(), entry, argument, stack_bytes);
        });
    }

    /// Waits until all its tasks have ended; the caller does not count.
    result<void> drain() noexcept { return drained(-1); }
    /// errc::timed_out: some have not.
    result<void> drain(std::chrono::milliseconds limit) noexcept {
        return drained(limit.count() > 0 ? static_cast<long>(limit.count()) : 0);
    }

    kc_sched_t *get() const noexcept { return sched_.get(); }

  private:
    explicit scheduler(kc_sched_t *sched) noexcept : sched_(sched) {}

    result<void> drained(long timeout_ms) noexcept {
        if (!sched_) return errc::invalid;
        return static_cast<errc>(kc_sched_drain(sched_.get(), timeout_ms));
    }
    static void end(kc_sched_t *sched) noexcept {
        kc_sched_drain(sched, -1);
        kc_sched_shutdown(sched);
    }

    detail::owned<kc_sched_t, end> sched_;
};

/// Starts a task, or a function without arguments, on the default scheduler of the process.
template <class Body>
auto spawn(Body body, std::size_t stack_bytes = 0) noexcept {
    return detail::spawn_by(std::move(body), [&](kcoro_fn_t entry, void *argument) {
        return detail::spawn_on(kc_sched_default(), entry, argument, stack_bytes);
    });
}

/// See sleep.
class [[nodiscard]] sleep_operation : public operation<sleep_operation> {
  public:
    explicit sleep_operation(std::chrono::milliseconds time) noexcept
        : ms_(time.count() > 0 ? static_cast<long>(time.count()) : 0) {}

  private:
    friend class operation<sleep_operation>;

    result<void> perform(long timeout_ms, const kc_cancel_t *token) noexcept {
        bool is_cut = timeout_ms >= 0 && timeout_ms < ms_;
        long ms = is_cut ? timeout_ms : ms_;
        int code = 0;
        if (token == nullptr) {
            code = kc_delay_ms(ms);
        } else {
            code = kc_cancel_wait(token, ms);
            code = code == 0 ? KC_ECANCELED : code == KC_ETIME ? 0 : code;
        }
        if (code == 0 && is_cut) return errc::timed_out;
        return static_cast<errc>(code);
    }

    long ms_;
};

/// Sleeps, at least so long. errc::cancelled: by its token, or by that of the current context.
inline sleep_operation sleep(std::chrono::milliseconds time) noexcept { return sleep_operation(time); }

/// Lets other tasks run: moves to the end of the worker's queue.
inline void yield() noexcept { kc_yield(); }

}  // namespace kc

#endif  // KCORO_TASK_HPP
