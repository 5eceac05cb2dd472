// SPDX-License-Identifier: BSD-3-Clause
// Channels of trivially copyable elements: every kind, every outcome.

#include <thread>

#include "../c/expect.h"
#include "kcoro.hpp"

using namespace std::chrono_literals;

namespace {

struct large {
    int number;
    unsigned char rest[199];
};

void buffered_holds_exactly_its_capacity() {
    auto made = kc::channel<int>::buffered(3);
    EXPECT(made);
    kc::channel<int> &channel = *made;
    for (int i = 0; i < 3; i++) EXPECT(channel.send(i).attempt());
    EXPECT_EQ(channel.size(), 3);
    EXPECT(channel.send(3).attempt().error() == kc::errc::again);
    EXPECT(channel.send(3).timeout(5ms).wait().error() == kc::errc::timed_out);
    channel.close();
    channel.close();
    EXPECT(channel.send(3).wait().error() == kc::errc::closed);
    for (int i = 0; i < 3; i++) EXPECT_EQ(*channel.recv().wait(), i);
    EXPECT(channel.recv().wait().error() == kc::errc::closed);
    EXPECT(channel.recv().attempt().error() == kc::errc::closed);
}

void conflated_holds_the_latest() {
    auto channel = kc::channel<char>::conflated();
    EXPECT(channel);
    for (char c = 'a'; c <= 'e'; c++) EXPECT(channel->send(c).attempt());
    EXPECT_EQ(channel->size(), 1);
    EXPECT_EQ(*channel->recv().attempt(), 'e');
    EXPECT(channel->recv().attempt().error() == kc::errc::again);
    EXPECT(channel->recv().timeout(5ms).wait().error() == kc::errc::timed_out);
}

void unlimited_never_waits() {
    auto channel = kc::channel<large>::unlimited();
    EXPECT(channel);
    large element{};
    for (int i = 0; i < 1000; i++) {
        element.number = i;
        element.rest[198] = static_cast<unsigned char>(i);
        EXPECT(channel->send(element).attempt());
    }
    for (int i = 0; i < 1000; i++) {
        auto got = channel->recv().attempt();
        EXPECT(got);
        EXPECT_EQ(got->number, i);
        EXPECT_EQ(got->rest[198], i & 255);
    }
}

void rendezvous_hands_over() {
    auto made = kc::channel<long>::rendezvous();
    auto back = kc::channel<long>::rendezvous();
    EXPECT(made && back);
    EXPECT(made->send(1).attempt().error() == kc::errc::again);
    EXPECT(made->send(1).timeout(2ms).wait().error() == kc::errc::timed_out);
    std::thread other([&] {
        long sum = 0;
        while (auto number = made->recv().wait()) {
            sum += *number;
            EXPECT(back->send(sum).wait());
        }
    });
    long expected = 0;
    for (long i = 0; i < 200; i++) {
        expected += i;
        EXPECT(made->send(i).wait());
        EXPECT_EQ(back->recv().wait().value_or(-1), expected);
    }
    made->close();
    other.join();
}

void destroying_ends_a_wait() {
    auto scheduler = kc::scheduler::make(1);
    auto channel = kc::channel<int>::buffered(1);
    EXPECT(scheduler && channel);
    auto receiving = scheduler->spawn([&] { return static_cast<int>(channel->recv().wait().error()); });
    // The one worker runs this when the receiver is parked: then the handle may go.
    auto after = scheduler->spawn([] {});
    EXPECT(receiving && after);
    EXPECT(after->join().wait());
    { kc::channel<int> last = std::move(*channel); }
    EXPECT_EQ(receiving->join().wait().value_or(0), KC_EPIPE);
}

void invalid_arguments() {
    EXPECT(kc::channel<int>::make(static_cast<kc::kind>(-7)).error() == kc::errc::invalid);
    EXPECT(kc::channel<large>::buffered(SIZE_MAX / 2).error() == kc::errc::no_memory);
    auto channel = kc::channel<int>::buffered(1);
    kc::channel<int> there = std::move(*channel);
    EXPECT(channel->send(1).wait().error() == kc::errc::invalid);
    EXPECT(channel->recv().wait().error() == kc::errc::invalid);
    EXPECT(channel->stats().error() == kc::errc::invalid);
    EXPECT(there.send(1).wait());
}

void counters() {
    auto channel = kc::channel<int>::buffered(2);
    EXPECT(channel->send(1).wait() && channel->send(2).wait());
    EXPECT(!channel->send(3).attempt());
    EXPECT_EQ(*channel->recv().wait(), 1);
    auto stats = channel->stats();
    EXPECT(stats);
    EXPECT_EQ(stats->total_sends, 2);
    EXPECT_EQ(stats->total_bytes_recv, sizeof(int));
    auto snapshot = channel->snapshot();
    EXPECT(snapshot);
    EXPECT_EQ(snapshot->capacity, 2);
    EXPECT_EQ(snapshot->count, 1);
    EXPECT_EQ(snapshot->send_eagain, 1);
}

int square_of(const void *message, void *user) {
    int number = *static_cast<const int *>(message);
    return kc_chan_send(static_cast<kc_chan_t *>(user), &(number *= number), -1);
}

void channels_of_c_and_its_actors() {
    kc_chan_t *raw = nullptr;
    EXPECT_EQ(kc_chan_make(&raw, KC_BUFFERED, sizeof(int), 4), 0);
    auto numbers = kc::channel<int>::adopt(raw);
    auto squares = kc::channel<int>::buffered(4);
    kc_actor_ctx_t context = {numbers.get(), sizeof(int), 0, square_of, squares->get()};
    kc_actor_t actor = kc_actor_start(&context);
    EXPECT(actor != nullptr);
    EXPECT(numbers.send(7).wait());
    EXPECT_EQ(*squares->recv().wait(), 49);
    kc_actor_stop(actor);
}

}  // namespace

int main() {
    RUN(buffered_holds_exactly_its_capacity);
    RUN(conflated_holds_the_latest);
    RUN(unlimited_never_waits);
    RUN(rendezvous_hands_over);
    RUN(destroying_ends_a_wait);
    RUN(invalid_arguments);
    RUN(counters);
    RUN(channels_of_c_and_its_actors);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
