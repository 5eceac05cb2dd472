// SPDX-License-Identifier: BSD-3-Clause
// Tokens and std::stop_token: before a wait, during it from another thread, and while it ends.

#include <atomic>
#include <thread>
#include <vector>

#include "../c/expect.h"
#include "kcoro.hpp"

using namespace std::chrono_literals;

namespace {

void requested_before() {
    auto channel = kc::channel<int>::buffered(1);
    std::stop_source source;
    EXPECT(channel->send(1).cancel_on(source.get_token()).wait());
    source.request_stop();
    // It outranks an element that is there.
    EXPECT(channel->recv().cancel_on(source.get_token()).wait().error() == kc::errc::cancelled);
    EXPECT(channel->recv().wait());
    // A token without a source never stops.
    EXPECT(channel->recv().cancel_on(std::stop_token()).attempt().error() == kc::errc::again);
}

void requested_by_another_thread() {
    auto channel = kc::channel<int>::rendezvous();
    for (int way = 0; way < 4; way++) {
        std::stop_source source;
        std::thread stops([&] {
            sleep_ms(5);
            source.request_stop();
        });
        auto stop = source.get_token();
        kc::errc error = kc::errc::none;
        switch (way) {
        case 0: error = channel->recv().cancel_on(stop).wait().error(); break;
        case 1: error = channel->send(1).cancel_on(stop).timeout(1h).wait().error(); break;
        case 2: error = kc::sleep(1h).cancel_on(stop).wait().error(); break;
        case 3: {
            std::optional<int> got;
            error = kc::select().recv(*channel, got).choose().cancel_on(stop).wait().error;
        }
        }
        EXPECT(error == kc::errc::cancelled);
        stops.join();
    }
}

void both_kinds_of_token() {
    auto channel = kc::channel<int>::rendezvous();
    auto parent = kc::cancel::make();
    auto token = kc::cancel::below(*parent);
    std::stop_source source;
    auto stop = source.get_token();
    EXPECT(channel->recv().cancel_on(*token).cancel_on(stop).timeout(2ms).wait().error() ==
           kc::errc::timed_out);
    parent->trigger();
    EXPECT(token->is_set());
    EXPECT(channel->recv().cancel_on(*token).cancel_on(stop).wait().error() == kc::errc::cancelled);
    source.request_stop();
    auto other = kc::cancel::make();
    EXPECT(channel->recv().cancel_on(*other).cancel_on(stop).wait().error() == kc::errc::cancelled);
    EXPECT(!other->is_set());
}

void a_link_for_many_waits() {
    auto channel = kc::channel<int>::unlimited();
    std::stop_source source;
    kc::stop_link link(source.get_token());
    EXPECT(link);
    for (int i = 0; i < 100; i++) {
        EXPECT(channel->send(i).cancel_on(link).wait());
        EXPECT_EQ(*channel->recv().cancel_on(link).wait(), i);
    }
    std::thread stops([&] { source.request_stop(); });
    EXPECT(channel->recv().cancel_on(link).wait().error() == kc::errc::cancelled);
    stops.join();
}

// The wait ends by its element, and the link goes, while the stop is requested: the token must outlive the
// callback, and nothing of the link may be left.
void a_stop_while_the_link_goes() {
    constexpr int rounds = 1000;
    auto channel = kc::channel<int>::buffered(1);
    std::vector<std::stop_source> sources(rounds);
    std::atomic<int> begun{0}, stopped{0};
    std::thread stops([&] {
        for (int round = 0; round < rounds; round++) {
            begun.wait(round);
            sources[static_cast<std::size_t>(round)].request_stop();
            stopped = round + 1;
            stopped.notify_one();
        }
    });
    int received = 0, cancelled = 0;
    for (int round = 0; round < rounds; round++) {
        auto stop = sources[static_cast<std::size_t>(round)].get_token();
        EXPECT(channel->send(round).attempt());
        begun = round + 1;
        begun.notify_one();
        // So that the stop comes before, in and after the wait.
        for (int turn = 0; turn < round % 50 && !stop.stop_requested(); turn++) std::this_thread::yield();
        auto got = channel->recv().cancel_on(stop).wait();
        got ? received++ : cancelled++;
        if (!got) {
            EXPECT(got.error() == kc::errc::cancelled);
            EXPECT_EQ(*channel->recv().attempt(), round);
        }
        stopped.wait(round);
    }
    stops.join();
    fprintf(stderr, "  %d received, %d cancelled\n", received, cancelled);
    EXPECT_EQ(received + cancelled, rounds);
}

void many_tasks_by_one_source() {
    auto channel = kc::channel<int>::rendezvous();
    std::stop_source source;
    auto waits = [](kc::channel<int> &from, std::stop_token stop) -> kc::task<bool> {
        auto got = co_await from.recv().cancel_on(stop);
        co_return got.error() == kc::errc::cancelled;
    };
    std::optional<kc::join_handle<bool>> tasks[50];
    for (auto &task : tasks) task = *kc::spawn(waits(*channel, source.get_token()));
    std::thread stops([&] { source.request_stop(); });
    for (auto &task : tasks) EXPECT(*task->join().wait());
    stops.join();
}

}  // namespace

int main() {
    RUN(requested_before);
    RUN(requested_by_another_thread);
    RUN(both_kinds_of_token);
    RUN(a_link_for_many_waits);
    RUN(a_stop_while_the_link_goes);
    RUN(many_tasks_by_one_source);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
