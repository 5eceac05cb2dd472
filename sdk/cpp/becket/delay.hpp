// SPDX-License-Identifier: BSD-3-Clause
//
// Something to do for a call after a while, unless the call is cancelled.
//
// A host's timer carries one pointer and cannot always be cancelled: when its
// callback is about to run, it runs. So the pointer is a number, looked up in
// a table of the image: a callback that comes too late finds nothing.
//
// A delay belongs to what removes it from the table: the callback, cancel or the
// destructor, never two of them. The destructor returns when no callback runs.
//
// The table is made with the first delay and gone with the last, so nothing is
// destroyed under a host thread at process exit, and nothing is left at unload.
//
#ifndef BECKET_DELAY_HPP
#define BECKET_DELAY_HPP

#include <condition_variable>
#include <functional>
#include <mutex>
#include <unordered_map>

#include "becket/host.hpp"

#pragma GCC visibility push(hidden)

namespace becket {

class Delays;

namespace detail {

struct Delay {
    Delays* delays = nullptr;
    std::uint64_t sid = 0;
    std::uint64_t timer = 0;  // 0: timer_start has not returned
    std::function<void()> task;
};

// Guards everything here, of every instance.
inline std::mutex delay_lock;
inline std::unordered_map<std::uint64_t, Delay>* delay_by_id = nullptr;
inline std::uint64_t delay_id_last = 0;

}  // namespace detail

// The delays of one instance, one a sid: a member of the plugin, declared last,
// so that it is destroyed first.
class Delays {
public:
    static constexpr std::size_t delays_max = 65536;

    explicit Delays(const Host& host) : host_(host) {}
    Delays(const Delays&) = delete;
    Delays& operator=(const Delays&) = delete;

    ~Delays() {
        std::unique_lock lock(detail::delay_lock);
        while (!by_sid_.empty()) {
            auto [delay, found] = take(by_sid_.begin()->second);
            lock.unlock();
            if (found && delay.timer != 0) {
                host_.api()->timer_cancel(host_.context(), delay.timer);
            }
            delay.task = nullptr;
            lock.lock();
        }
        idle_.wait(lock, [this] { return running_ == 0; });
        if (detail::delay_by_id != nullptr && detail::delay_by_id->empty()) {
            delete std::exchange(detail::delay_by_id, nullptr);
        }
    }

    // Runs task() once, on a thread of the host. NR_UNSUPPORTED: it has no
    // timers. NR_BACKPRESSURE: no more of them, or sid has a delay already.
    Status start(std::uint64_t sid, std::uint64_t delay_ms, std::function<void()> task) {
        if (!BK_HAS(host_.api(), timer_cancel)) {
            return NR_UNSUPPORTED;
        }
        std::uint64_t id = keep(sid, std::move(task));
        if (id == 0) {
            return NR_BACKPRESSURE;
        }
        std::uint64_t timer = host_.api()->timer_start(host_.context(), delay_ms, fire,
                                                       reinterpret_cast<void*>(id));
        std::unique_lock lock(detail::delay_lock);
        if (timer == 0) {
            auto dropped = take(id);
            lock.unlock();  // what the task holds goes without it
            return NR_BACKPRESSURE;
        }
        if (auto at = detail::delay_by_id->find(id); at != detail::delay_by_id->end()) {
            at->second.timer = timer;  // neither fired nor cancelled yet
        }
        return NR_OK;
    }

    // Nothing: sid has no delay (any more). Else it was taken out; true if the
    // host's timer will never run.
    std::optional<bool> cancel(std::uint64_t sid) {
        std::unique_lock lock(detail::delay_lock);
        auto at = by_sid_.find(sid);
        if (at == by_sid_.end()) {
            return std::nullopt;
        }
        auto [delay, found] = take(at->second);
        lock.unlock();
        return found && delay.timer != 0 &&
               host_.api()->timer_cancel(host_.context(), delay.timer) == NR_OK;
    }

private:
    static void fire(void* user_data) {
        std::unique_lock lock(detail::delay_lock);
        auto id = reinterpret_cast<std::uint64_t>(user_data);
        if (detail::delay_by_id == nullptr || detail::delay_by_id->count(id) == 0) {
            return;
        }
        Delays* delays = detail::delay_by_id->at(id).delays;
        std::function<void()> task = std::move(delays->take(id).first.task);
        delays->running_++;
        lock.unlock();
        boundary(delays->host_, "delay", [&] {
            task();
            task = nullptr;
            return Status(NR_OK);
        });
        lock.lock();
        delays->running_--;
        delays->idle_.notify_all();
    }

    // 0: no place.
    std::uint64_t keep(std::uint64_t sid, std::function<void()> task) {
        std::lock_guard lock(detail::delay_lock);
        if (detail::delay_by_id == nullptr) {
            detail::delay_by_id = new std::unordered_map<std::uint64_t, detail::Delay>();
        }
        if (by_sid_.size() >= delays_max || by_sid_.count(sid) != 0) {
            return 0;
        }
        std::uint64_t id = ++detail::delay_id_last;
        detail::delay_by_id->emplace(id, detail::Delay{this, sid, 0, std::move(task)});
        by_sid_.emplace(sid, id);
        return id;
    }

    // With the lock held. False: not there.
    std::pair<detail::Delay, bool> take(std::uint64_t id) {
        auto at = detail::delay_by_id->find(id);
        if (at == detail::delay_by_id->end()) {
            return {detail::Delay(), false};
        }
        detail::Delay delay = std::move(at->second);
        detail::delay_by_id->erase(at);
        by_sid_.erase(delay.sid);
        return {std::move(delay), true};
    }

    Host host_;
    std::condition_variable idle_;
    std::unordered_map<std::uint64_t, std::uint64_t> by_sid_;
    std::uint64_t running_ = 0;
};

}  // namespace becket

#pragma GCC visibility pop

#endif  // BECKET_DELAY_HPP
