// SPDX-License-Identifier: BSD-3-Clause
// Elements that only move: each is destroyed exactly once, whatever happens to it, and a send that failed
// has left it with its sender.

#include <atomic>
#include <thread>
#include <vector>

#include "../c/expect.h"
#include "kcoro.hpp"

using namespace std::chrono_literals;

namespace {

std::atomic<int> owners{0};

/// A number with one owner. Owners are counted; one that is destroyed twice is a double free.
class unique {
  public:
    explicit unique(int number) : number_(new int(number)) { owners++; }
    unique(unique &&other) noexcept : number_(std::exchange(other.number_, nullptr)) {}
    unique &operator=(unique &&other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~unique() {
        if (number_ == nullptr) return;
        owners--;
        delete number_;
    }
    bool is_here() const { return number_ != nullptr; }
    int operator*() const { return *number_; }

  private:
    int *number_;
};

using channel = kc::channel<unique>;

void received_ones_belong_to_the_receiver() {
    for (auto kind : {kc::kind::buffered, kc::kind::conflated, kc::kind::unlimited}) {
        auto made = channel::make(kind, 4);
        EXPECT(made);
        unique sent(7);
        EXPECT(made->send(std::move(sent)).attempt());
        EXPECT(!sent.is_here());
        auto got = made->recv().attempt();
        EXPECT(got);
        EXPECT_EQ(**got, 7);
        EXPECT_EQ(owners, 1);
    }
    EXPECT_EQ(owners, 0);
}

void what_is_left_is_destroyed_with_the_channel() {
    {
        auto made = channel::buffered(8);
        for (int i = 0; i < 5; i++) EXPECT(made->send(unique(i)).attempt());
        EXPECT(made->recv().attempt());
        made->close();
        EXPECT_EQ(owners, 4);
    }
    EXPECT_EQ(owners, 0);
}

void what_is_replaced_is_destroyed_at_once() {
    auto made = channel::conflated();
    for (int i = 0; i < 5; i++) {
        EXPECT(made->send(unique(i)).attempt());
        EXPECT_EQ(owners, 1);
    }
    EXPECT_EQ(**made->recv().attempt(), 4);
    EXPECT_EQ(owners, 0);
}

void a_send_that_fails_leaves_its_element() {
    auto made = channel::buffered(1);
    auto token = kc::cancel::make();
    EXPECT(made->send(unique(0)).attempt());
    unique kept(1);
    auto still_here = [&] { return kept.is_here() && *kept == 1 && owners == 2; };
    EXPECT(made->send(std::move(kept)).attempt().error() == kc::errc::again);
    EXPECT(still_here());
    EXPECT(made->send(std::move(kept)).timeout(2ms).wait().error() == kc::errc::timed_out);
    EXPECT(still_here());
    std::thread sets([&] {
        sleep_ms(5);
        token->trigger();
    });
    EXPECT(made->send(std::move(kept)).cancel_on(*token).wait().error() == kc::errc::cancelled);
    EXPECT(still_here());
    EXPECT(made->send(std::move(kept)).cancel_on(*token).wait().error() == kc::errc::cancelled);
    EXPECT(still_here());
    sets.join();
    std::thread closes([&] {
        sleep_ms(5);
        made->close();
    });
    EXPECT(made->send(std::move(kept)).wait().error() == kc::errc::closed);
    EXPECT(still_here());
    EXPECT(made->send(std::move(kept)).wait().error() == kc::errc::closed);
    EXPECT(still_here());
    closes.join();
}

void a_select_moves_only_what_it_sends() {
    auto full = channel::buffered(1), open = channel::buffered(1);
    EXPECT(full->send(unique(0)).attempt());
    unique first(1), second(2);
    std::optional<unique> got;
    kc::select select;
    select.send(*full, first).send(*open, second);
    kc::choice chosen = select.choose().wait();
    EXPECT(chosen);
    EXPECT_EQ(chosen.index, 1);
    EXPECT(first.is_here() && !second.is_here());
    second = unique(3);
    EXPECT(select.choose().timeout(2ms).wait().error == kc::errc::timed_out);
    EXPECT(first.is_here() && second.is_here());
    select.reset();
    select.recv(*open, got);
    EXPECT(select.choose().attempt());
    EXPECT_EQ(**got, 2);
    full->close();
    select.reset();
    chosen = select.send(*full, first).choose().wait();
    EXPECT(chosen.index == 0 && chosen.error == kc::errc::closed);
    EXPECT(first.is_here());
}

void closes_race_with_sends_and_receives() {
    for (int round = 0; round < 40; round++) {
        std::atomic<int> sent{0}, kept{0}, received{0};
        {
            auto made = channel::make(round % 2 == 0 ? kc::kind::rendezvous : kc::kind::buffered, 2);
            std::vector<std::jthread> threads;
            for (int at = 0; at < 3; at++) {
                threads.emplace_back([&] {
                    for (int i = 0; i < 50; i++) {
                        unique element(i);
                        if (made->send(std::move(element)).wait()) {
                            EXPECT(!element.is_here());
                            sent++;
                        } else {
                            EXPECT(element.is_here() && *element == i);
                            kept++;
                        }
                    }
                });
            }
            for (int at = 0; at < 2; at++) {
                threads.emplace_back([&](std::stop_token stop) {
                    while (auto got = made->recv().cancel_on(stop).wait()) {
                        EXPECT(got->is_here());
                        if (++received == round * 3) made->close();
                    }
                });
            }
            if (round == 0) made->close();
            for (int at = 0; at < 3; at++) threads[static_cast<std::size_t>(at)].join();
            made->close();
        }
        EXPECT_EQ(sent + kept, 150);
        EXPECT(received <= sent);
        EXPECT_EQ(owners, 0);
    }
}

void tasks_pass_them_on() {
    auto one = channel::rendezvous(), two = channel::buffered(1);
    auto relay = [](channel &from, channel &to) -> kc::task<int> {
        int count = 0;
        while (auto got = co_await from.recv()) {
            if (!co_await to.send(std::move(*got))) break;
            count++;
        }
        to.close();
        co_return count;
    };
    auto source = [](channel &to) -> kc::task<> {
        for (int i = 0; i < 100; i++) EXPECT(co_await to.send(unique(i)));
        to.close();
    };
    auto relaying = kc::spawn(relay(*one, *two));
    auto sending = kc::spawn(source(*one));
    for (int i = 0; i < 100; i++) EXPECT_EQ(**two->recv().wait(), i);
    EXPECT_EQ(*relaying->join().wait(), 100);
    EXPECT(sending->join().wait());
    EXPECT_EQ(owners, 0);
}

}  // namespace

int main() {
    RUN(received_ones_belong_to_the_receiver);
    RUN(what_is_left_is_destroyed_with_the_channel);
    RUN(what_is_replaced_is_destroyed_at_once);
    RUN(a_send_that_fails_leaves_its_element);
    EXPECT_EQ(owners, 0);
    RUN(a_select_moves_only_what_it_sends);
    EXPECT_EQ(owners, 0);
    RUN(closes_race_with_sends_and_receives);
    RUN(tasks_pass_them_on);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
