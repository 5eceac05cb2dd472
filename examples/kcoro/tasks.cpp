// SPDX-License-Identifier: BSD-3-Clause
// C++20: tasks joined by channels, elements that are moved, a select, and a stop from another thread.

#include <cstdio>
#include <memory>
#include <thread>

#include "kcoro.hpp"

using namespace std::chrono_literals;

struct page {
    int number;
    std::unique_ptr<char[]> text;
};

// Sends pages until it is done or no receiver is left.
static kc::task<int> writes(kc::channel<page> &to, int count) {
    for (int number = 1; number <= count; number++) {
        page next{number, std::make_unique<char[]>(4096)};
        if (!co_await to.send(std::move(next))) co_return number - 1;
    }
    to.close();
    co_return count;
}

static kc::task<int> sums(kc::channel<page> &from) {
    int sum = 0;
    while (auto page = co_await from.recv()) sum += page->number;
    co_return sum;
}

// Waits for either of two channels until it is stopped.
static kc::task<int> listens(kc::channel<int> &left, kc::channel<int> &right, std::stop_token stop) {
    std::optional<int> got;
    kc::select either;
    either.recv(left, got).recv(right, got);
    int total = 0;
    while (co_await either.choose().cancel_on(stop)) total += *got;
    co_return total;
}

int main() {
    auto pages = kc::channel<page>::buffered(4);
    auto left = kc::channel<int>::rendezvous(), right = kc::channel<int>::rendezvous();
    if (!pages || !left || !right) return 1;

    auto writing = kc::spawn(writes(*pages, 100));
    auto summing = kc::spawn(sums(*pages));
    if (!writing || !summing) return 1;
    std::printf("%d pages written\n", writing->join().wait().value_or(-1));
    std::printf("the sum of their numbers is %d\n", summing->join().wait().value_or(-1));

    std::stop_source source;
    auto listening = kc::spawn(listens(*left, *right, source.get_token()));
    if (!listening) return 1;
    if (!left->send(40).wait() || !right->send(2).wait()) return 1;
    auto early = listening->join().timeout(10ms).wait();
    std::printf("still listening: %s\n", kc::text(early.error()));
    std::thread([&] { source.request_stop(); }).join();
    std::printf("stopped at %d\n", listening->join().wait().value_or(-1));
    return 0;
}
