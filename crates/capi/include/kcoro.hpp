// SPDX-License-Identifier: BSD-3-Clause
//
// kcoro for C++20: headers only, over kcoro.h and its siblings.
//
//   kcoro/result.hpp      errc, result
//   kcoro/operation.hpp   timeouts, tokens, std::stop_token
//   kcoro/channel.hpp     channel<T>: copies, and elements that are moved
//   kcoro/select.hpp      one of several sends and receives
//   kcoro/task.hpp        task<T>, spawn, join_handle<T>, scheduler, sleep
//   kcoro/scope.hpp       tasks that end together
//
// The namespace is `kc`: `struct kcoro` of the C interface has the other name.
//
// An operation is a value: `channel.recv()` does nothing yet. It runs once, in one of two ways:
//
//   channel.recv().wait()       anywhere: on a thread it blocks the thread, on a coroutine of libkcoro it
//                               parks the coroutine and frees the worker
//   co_await channel.recv()     in a kc::task: the same
//
// A task is stackful. It runs on a coroutine of libkcoro, which has a stack of its own, and an awaited
// operation is a plain wait there: the wait parks that coroutine, the frame of the C++ coroutine is never
// suspended, and no function resumes it from a foreign thread. (The C interface has no operation that
// completes by a callback; a task that is resumed by one would need a coroutine of libkcoro beside each
// wait.) So `co_await` costs what the wait costs, a function that is no coroutine may wait too, and a task
// stays on its worker once it has started.
//
// Nothing here throws. A failure is an errc, which has the numbers of the C interface. An exception that
// leaves a task ends the program, as one that leaves a thread's function does; do not wait in a `catch`
// block. Only the clauses of a select, and the frames of tasks, are allocated by the ordinary operator new.
//
// Threads: as in the C headers. A handle is destroyed once, when no call that uses it can start any more.
#ifndef KCORO_HPP
#define KCORO_HPP

#include "kcoro/channel.hpp"
#include "kcoro/operation.hpp"
#include "kcoro/result.hpp"
#include "kcoro/scope.hpp"
#include "kcoro/select.hpp"
#include "kcoro/task.hpp"

#endif  // KCORO_HPP
