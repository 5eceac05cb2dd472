// SPDX-License-Identifier: BSD-3-Clause
// Tasks: awaiting, spawning, joining, sleeping, select, scopes, schedulers.

#include <sys/wait.h>

#include <atomic>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "../c/expect.h"
#include "kcoro.hpp"

using namespace std::chrono_literals;

namespace {

kc::task<int> sum(int of) {
    if (of == 0) co_return 0;
    co_return of + co_await sum(of - 1);
}

kc::task<std::unique_ptr<std::string>> text() {
    co_await [](int) -> kc::task<> { co_return; }(1);
    co_return std::make_unique<std::string>("moved");
}

void awaited_run_and_spawned() {
    EXPECT_EQ(sum(10).run(), 55);
    auto spawned = kc::spawn(sum(20), 256 * 1024);
    EXPECT(spawned);
    EXPECT_EQ(*spawned->join().wait(), 210);
    EXPECT(spawned->join().wait().error() == kc::errc::invalid);
    auto moved = kc::spawn(text());
    EXPECT(**moved->join().wait() == "moved");
    // One that never runs is destroyed with its arguments.
    auto unused = [](std::string) -> kc::task<> { co_return; }(std::string(100, 'x'));
    EXPECT_EQ(*kc::spawn([] { return 3; })->join().wait(), 3);
}

kc::task<> ping(kc::channel<int> &out, kc::channel<int> &in, int rounds) {
    for (int i = 0; i < rounds; i++) {
        EXPECT(co_await out.send(i));
        EXPECT_EQ(*co_await in.recv(), i + 1);
    }
    out.close();
}

kc::task<int> pong(kc::channel<int> &in, kc::channel<int> &out) {
    int count = 0;
    while (auto ball = co_await in.recv()) {
        EXPECT(co_await out.send(*ball + 1));
        count++;
    }
    co_return count;
}

void on_one_worker() {
    auto scheduler = kc::scheduler::make(1);
    EXPECT(scheduler);
    auto one = kc::channel<int>::rendezvous(), two = kc::channel<int>::rendezvous();
    auto pinging = scheduler->spawn(ping(*one, *two, 2000));
    auto ponging = scheduler->spawn(pong(*one, *two));
    EXPECT_EQ(*ponging->join().wait(), 2000);
    EXPECT(pinging->join().wait());
    EXPECT(scheduler->drain());
}

void a_scheduler_ends_after_its_tasks() {
    std::atomic<int> ended{0};
    auto works = [](std::atomic<int> &ended) -> kc::task<> {
        EXPECT(co_await kc::sleep(5ms));
        kc::yield();
        ended++;
    };
    {
        auto scheduler = kc::scheduler::make(2);
        for (int i = 0; i < 20; i++) EXPECT(scheduler->spawn(works(ended)));
        EXPECT(scheduler->drain(0ms).error() == kc::errc::timed_out);
    }
    EXPECT_EQ(ended, 20);
}

void joins_with_limits() {
    auto channel = kc::channel<int>::rendezvous();
    auto waits = [](kc::channel<int> &from) -> kc::task<int> { co_return (co_await from.recv()).value_or(-1); };
    auto spawned = kc::spawn(waits(*channel));
    EXPECT(spawned->join().attempt().error() == kc::errc::again);
    EXPECT(spawned->join().timeout(2ms).wait().error() == kc::errc::timed_out);
    std::stop_source source;
    source.request_stop();
    EXPECT(spawned->join().cancel_on(source.get_token()).wait().error() == kc::errc::cancelled);
    EXPECT(channel->send(9).wait());
    EXPECT_EQ(*spawned->join().wait(), 9);
}

void sleeps() {
    auto begun = std::chrono::steady_clock::now();
    EXPECT(kc::sleep(10ms).wait());
    EXPECT(std::chrono::steady_clock::now() - begun >= 10ms);
    EXPECT(kc::sleep(1h).timeout(2ms).wait().error() == kc::errc::timed_out);
    auto token = kc::cancel::make();
    EXPECT(kc::sleep(2ms).cancel_on(*token).wait());
    token->trigger();
    EXPECT(kc::sleep(1h).cancel_on(*token).wait().error() == kc::errc::cancelled);
}

kc::task<int> merged(kc::channel<int> &left, kc::channel<int> &right) {
    std::optional<int> got;
    int total = 0;
    bool is_open[2] = {true, true};
    while (is_open[0] || is_open[1]) {
        kc::select select;
        int which[2] = {0, 0}, count = 0;
        if (is_open[0]) select.recv(left, got), which[count++] = 0;
        if (is_open[1]) select.recv(right, got), which[count++] = 1;
        kc::choice chosen = co_await select.choose();
        if (chosen) {
            total += *got;
        } else {
            EXPECT(chosen.error == kc::errc::closed);
            is_open[which[chosen.index]] = false;
        }
    }
    co_return total;
}

void selects() {
    auto left = kc::channel<int>::rendezvous(), right = kc::channel<int>::buffered(3);
    auto source = [](kc::channel<int> &to, int count) -> kc::task<> {
        for (int i = 1; i <= count; i++) EXPECT(co_await to.send(i));
        to.close();
    };
    auto merging = kc::spawn(merged(*left, *right));
    auto one = kc::spawn(source(*left, 100)), two = kc::spawn(source(*right, 50));
    EXPECT_EQ(*merging->join().wait(), 5050 + 1275);
    EXPECT(one->join().wait() && two->join().wait());

    kc::select empty;
    EXPECT(empty.choose().wait().error == kc::errc::invalid);
    auto open = kc::channel<int>::buffered(1);
    std::optional<int> got;
    int sent = 5;
    kc::choice chosen = kc::select().recv(*open, got).send(*open, sent).choose().wait();
    EXPECT(chosen);
    EXPECT_EQ(chosen.index, 1);
    chosen = kc::select().recv(*open, got).send(*open, sent).choose().attempt();
    EXPECT_EQ(chosen.index, 0);
    EXPECT_EQ(*got, 5);
    chosen = kc::select().recv(*open, got).choose().attempt();
    EXPECT(chosen.index == -1 && chosen.error == kc::errc::again);
    kc_chan_t *pointers = nullptr;
    EXPECT_EQ(kc_chan_make_ptr(&pointers, KC_BUFFERED, 1), 0);
    auto strange = kc::channel<kc_chan_ptrmsg>::adopt(pointers);
    std::optional<kc_chan_ptrmsg> message;
    EXPECT(kc::select().recv(strange, message).choose().wait().error == kc::errc::unsupported);
}

void scopes() {
    auto channel = kc::channel<int>::rendezvous();
    int ended = 0;
    auto waits = [](kc::channel<int> &from, const kc_cancel_t *token, int &ended) -> kc::task<> {
        auto got = co_await from.recv().cancel_on(token);
        EXPECT(got.error() == kc::errc::cancelled);
        ended++;
    };
    auto scheduler = kc::scheduler::make(1);
    auto parent = kc::cancel::make();
    {
        auto scope = kc::scope::make(*parent);
        EXPECT(scope);
        auto spawned = scope->spawn(waits(*channel, scope->token(), ended));
        EXPECT(spawned);
        EXPECT(scope->wait_all(0ms).error() == kc::errc::again);
        EXPECT(scope->wait_all(2ms).error() == kc::errc::timed_out);
        parent->trigger();
        EXPECT(scope->wait_all());
        EXPECT_EQ(ended, 1);
        EXPECT(spawned->join().wait());
        EXPECT(scope->spawn(waits(*channel, scope->token(), ended)).error() == kc::errc::cancelled);
    }
    {
        auto scope = kc::scope::make();
        EXPECT(scope->spawn(waits(*channel, scope->token(), ended)));
        auto itself = scope->spawn([&] { return scope->wait_all().error() == kc::errc::deadlock; });
        EXPECT(*itself->join().wait());
    }
    EXPECT_EQ(ended, 2);
}

#ifdef __cpp_exceptions
int thrown_and_caught(int depth) {
    try {
        if (depth == 0) throw std::runtime_error("inside");
        return thrown_and_caught(depth - 1) + 1;
    } catch (const std::logic_error &) {
        return -1;
    }
}

kc::task<bool> catches(kc::channel<int> &from) {
    EXPECT(co_await from.recv());
    bool is_caught = false;
    try {
        thrown_and_caught(5);
    } catch (const std::runtime_error &error) {
        is_caught = error.what() == std::string("inside");
    }
    EXPECT(co_await from.recv());
    co_return is_caught;
}

void exceptions_stay_inside() {
    auto channel = kc::channel<int>::rendezvous();
    auto catching = kc::spawn(catches(*channel));
    EXPECT(channel->send(1).wait() && channel->send(2).wait());
    EXPECT(*catching->join().wait());
    // One that leaves a task ends the program.
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        std::set_terminate([] { _exit(42); });
        [](int number) -> kc::task<> {
            if (number == 7) throw number;
            co_return;
        }(7).run();
        _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), 42);
}
#endif

}  // namespace

int main() {
#ifdef __cpp_exceptions
    RUN(exceptions_stay_inside);
#endif
    RUN(awaited_run_and_spawned);
    RUN(on_one_worker);
    RUN(a_scheduler_ends_after_its_tasks);
    RUN(joins_with_limits);
    RUN(sleeps);
    RUN(selects);
    RUN(scopes);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
