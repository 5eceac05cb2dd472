// SPDX-License-Identifier: BSD-3-Clause
// The SDK's promises: nothing is thrown across, nothing is forgotten, owned
// answers and leases change hands once, an answer may come from any thread, and
// a reader may react to a frame before its send has returned.
#include <becket.hpp>

#include <cstring>
#include <functional>
#include <stdexcept>
#include <thread>

#include "becket_fake_host.h"

namespace {

class Probe : public becket::Plugin {
public:
    explicit Probe(const becket::Host& host)
        : Plugin(host), depth(host, "depth", "how deep"), seconds(host, "seconds", "how long"),
          exported(host.config_get("state")) {
        if (host.config_get("refuse") == "throw") {
            throw std::runtime_error("no");
        }
        if (host.config_get("refuse") == "status") {
            throw becket::Error(42, "no");
        }
    }
    ~Probe() override {
        if (thread.joinable()) {
            thread.join();
        }
    }

    becket::Response big(const becket::Request& request) noexcept {
        return std::vector<std::uint8_t>(request.payload().size() + 4096, 7);
    }
    // Longer than any host takes: owned, and borrowed.
    becket::Response too_big(const becket::Request&) {
        return std::string(BK_FAKE_PAYLOAD_BYTES_MAX + 1, 'x');
    }
    becket::Response too_big_a_view(const becket::Request&) {
        huge.assign(BK_FAKE_PAYLOAD_BYTES_MAX + 1, 'x');
        return becket::Response::borrow(huge);
    }
    void too_big_later(const becket::Request& request, becket::Responder responder) {
        BK_CHECK(std::move(responder).answer(too_big(request)) == NR_TOO_LONG);
    }
    // Such a frame is refused and left out; a last one ends the stream.
    void too_big_frames(const becket::Request&, becket::Stream stream) {
        huge.assign(BK_FAKE_PAYLOAD_BYTES_MAX + 1, 'x');
        BK_CHECK(stream.send(huge) == NR_TOO_LONG && !stream.is_cancelled());
        BK_CHECK(stream.send("fits") == NR_OK);
        BK_CHECK(stream.end(huge) == NR_TOO_LONG && stream.is_cancelled());
    }
    becket::Response throws(const becket::Request&) const { throw 1; }
    void leased(const becket::Request&, becket::Responder responder) {
        auto lease = responder.host().lease(responder.sid(), 4);
        auto unused = responder.host().lease(responder.sid(), 8);
        std::memcpy(lease.data(), "leased", 4);
        auto late = responder.host().lease(responder.sid(), 8);
        BK_CHECK(lease.commit(NR_OK, lease.capacity() + 1) == NR_INVALID && lease);
        BK_CHECK(lease.commit(NR_OK, 4) == NR_OK && !lease && lease.data() == nullptr);
        // Refused, the call is answered: the buffer is the host's all the same.
        BK_CHECK(late.commit(NR_OK, 4) == NR_INVALID && !late && late.data() == nullptr);
        std::move(responder).answer("too late");  // refused: answered already
    }
    void forgets(const becket::Request&, becket::Responder) {}
    void throws_later(const becket::Request&, becket::Responder responder) {
        auto mine = std::move(responder);
        throw std::runtime_error("on the way");
    }
    void threaded(const becket::Request&, becket::Stream stream) {
        thread = std::thread([stream = std::move(stream)]() mutable {
            for (int i = 0; i < 100; i++) {
                std::string frame(1000, static_cast<char>('a' + i % 26));
                stream.send_owned(std::move(frame));
            }
            stream.end("done");
        });
    }
    void measure(const becket::Request&, becket::Responder responder) {
        depth.set(2.5);
        seconds.record(0.5);
        seconds.record(0.25);
        auto left = responder.host().remaining_ms(responder.sid());
        std::move(responder).answer(left ? "deadline" : "none");
    }
    std::optional<std::string> reload_export() override { return "carried over"; }
    becket::Status reload_import(std::string_view state) override {
        return state == "carried over" ? NR_OK : NR_INVALID;
    }

    int destroyed = 0;

private:
    becket::Gauge depth;
    becket::Histogram seconds;
    std::string_view exported;
    std::string huge;
    std::thread thread;
};

class Talk : public becket::Session {
public:
    Talk(Probe& probe, const becket::Request& request, becket::Stream stream)
        : Session(std::move(stream)), probe_(probe) {
        if (request.payload() == "refuse") {
            throw becket::Error(NR_UNSUPPORTED);
        }
        if (request.payload() == "short") {
            this->stream.end("at once");
        }
        throws_for_room_ = request.payload() == "room";
        if (request.payload() == "greet") {
            this->stream.send("first");
            made_ = true;
        }
    }
    ~Talk() override { probe_.destroyed++; }
    becket::Status data(std::string_view message) override {
        if (message == "throw") {
            throw std::runtime_error("in data");
        }
        if (message == "made") {
            return stream.send(made_ ? "whole" : "half");
        }
        if (message == "huge") {
            return stream.send(std::string(BK_FAKE_PAYLOAD_BYTES_MAX + 1, 'x'));
        }
        if (message == "end") {
            return stream.end("ended");
        }
        std::string frame(2000, 'x');
        auto sent = stream.send_owned(std::move(frame));
        return frame.size() == (sent == NR_BACKPRESSURE ? 2000u : 0u) ? sent : NR_ERR;
    }
    void on_room() override {
        if (throws_for_room_) {
            throw std::runtime_error("in on_room");
        }
        Session::on_room();
    }

private:
    Probe& probe_;
    bool throws_for_room_ = false;
    bool made_ = false;
};

constexpr becket::Entry entries[] = {
    becket::unary<&Probe::big>("big", ""),
    becket::unary<&Probe::throws>("throws", ""),
    becket::unary<&Probe::leased>("leased", ""),
    becket::unary<&Probe::forgets>("forgets", ""),
    becket::unary<&Probe::throws_later>("throws_later", ""),
    becket::unary<&Probe::too_big>("too_big", ""),
    becket::unary<&Probe::too_big_a_view>("too_big_a_view", ""),
    becket::unary<&Probe::too_big_later>("too_big_later", ""),
    becket::unary<&Probe::measure>("measure", ""),
    becket::stream<&Probe::threaded>("threaded", ""),
    becket::stream<&Probe::too_big_frames>("too_big_frames", ""),
    becket::bidirectional<Talk, Probe>("talk", ""),
};

void answers(BkFakeHost* host) {
    auto sid = bk_fake_call(host, "big", nullptr, bk_fake_text(""));
    const BkFakeFrame* frame = bk_fake_next(host, sid);
    BK_CHECK(frame != nullptr && frame->len == 4096 && frame->data[4095] == 7);
    sid = bk_fake_call(host, "throws", nullptr, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_PANIC, "");
    BK_CHECK(bk_fake_logged(host, BK_LOG_ERROR, "becket", "throws: exception of unknown") == 1);
    sid = bk_fake_call(host, "leased", nullptr, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_OK, "leas");
    sid = bk_fake_call(host, "forgets", nullptr, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_ERR, "dropped without an answer");
    sid = bk_fake_call(host, "throws_later", nullptr, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_PANIC, "");
    BK_CHECK(bk_fake_logged(host, BK_LOG_ERROR, "becket", "on the way") == 1);
    for (const char* entry : {"too_big", "too_big_a_view", "too_big_later"}) {
        sid = bk_fake_call(host, entry, nullptr, bk_fake_text(""));
        BK_CHECK_FRAME(host, sid, NR_TOO_LONG, "");
    }
    sid = bk_fake_call(host, "measure", nullptr, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_OK, "none");
    BK_CHECK(bk_fake_metric(host, "depth") == 2.5 && bk_fake_metric(host, "seconds") == 0.75);
}

void streams(BkFakeHost* host) {
    auto sid = bk_fake_stream(host, "threaded", nullptr, bk_fake_text(""));
    for (int i = 0; i < 100; i++) {
        const BkFakeFrame* frame = bk_fake_wait(host, sid, 60000);
        BK_CHECK(frame != nullptr && frame->status == NR_OK && frame->len == 1000);
        BK_CHECK(frame->data[999] == 'a' + i % 26);
    }
    BK_CHECK(bk_fake_wait(host, sid, 60000)->status == NR_STREAM_END);

    sid = bk_fake_stream(host, "too_big_frames", nullptr, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_OK, "fits");
    BK_CHECK_FRAME(host, sid, NR_TOO_LONG, "");
}

void sessions(BkFakeHost* host) {
    auto refused = bk_fake_stream(host, "talk", nullptr, bk_fake_text("refuse"));
    BK_CHECK_FRAME(host, refused, NR_UNSUPPORTED, "");
    BK_CHECK(bk_fake_stream_data(host, refused, bk_fake_text("x")) == NR_INVALID);

    auto brief = bk_fake_stream(host, "talk", nullptr, bk_fake_text("short"));
    BK_CHECK_FRAME(host, brief, NR_STREAM_END, "at once");
    BK_CHECK(bk_fake_stream_data(host, brief, bk_fake_text("x")) == NR_INVALID);

    auto ended = bk_fake_stream(host, "talk", nullptr, bk_fake_text(""));
    BK_CHECK(bk_fake_stream_data(host, ended, bk_fake_text("end")) == NR_OK);
    BK_CHECK_FRAME(host, ended, NR_STREAM_END, "ended");
    BK_CHECK(bk_fake_stream_close(host, ended) == NR_INVALID);

    auto threw = bk_fake_stream(host, "talk", nullptr, bk_fake_text(""));
    BK_CHECK(bk_fake_stream_data(host, threw, bk_fake_text("throw")) == NR_PANIC);
    BK_CHECK_FRAME(host, threw, NR_PANIC, "");
    BK_CHECK(bk_fake_stream_data(host, threw, bk_fake_text("x")) == NR_INVALID);

    auto wordy = bk_fake_stream(host, "talk", nullptr, bk_fake_text(""));
    BK_CHECK(bk_fake_stream_data(host, wordy, bk_fake_text("huge")) == NR_TOO_LONG);
    BK_CHECK_FRAME(host, wordy, NR_ERR, "dropped without an end");

    host->frames_max = 1;
    auto full = bk_fake_stream(host, "talk", nullptr, bk_fake_text(""));
    BK_CHECK(bk_fake_stream_data(host, full, bk_fake_text("x")) == NR_OK);
    BK_CHECK(bk_fake_stream_data(host, full, bk_fake_text("x")) == NR_BACKPRESSURE);
    BK_CHECK(bk_fake_ready(host, full) == 0);
    bk_fake_next(host, full);
    BK_CHECK(bk_fake_ready(host, full) == 1); // on_room asked for the message
    BK_CHECK(bk_fake_stream_data(host, full, bk_fake_text("x")) == NR_OK);
    BK_CHECK(bk_fake_stream_close(host, full) == NR_OK);
    bk_fake_next(host, full);
    BK_CHECK(bk_fake_ready(host, full) == 1);
    BK_CHECK_FRAME(host, full, NR_STREAM_END, "");

    auto stuck = bk_fake_stream(host, "talk", nullptr, bk_fake_text("room"));
    BK_CHECK(bk_fake_stream_data(host, stuck, bk_fake_text("x")) == NR_OK);
    BK_CHECK(bk_fake_stream_data(host, stuck, bk_fake_text("x")) == NR_BACKPRESSURE);
    bk_fake_next(host, stuck); // on_room throws: the session is over
    BK_CHECK_FRAME(host, stuck, NR_PANIC, "");
    BK_CHECK(host->vtable.stream_room(host->info->plugin_ctx, stuck) == NR_INVALID);

    auto left = bk_fake_stream(host, "talk", nullptr, bk_fake_text(""));
    BK_CHECK(bk_fake_cancel(host, left) == NR_OK);
    BK_CHECK(bk_fake_cancel(host, left) == NR_INVALID);
    bk_fake_stream(host, "talk", nullptr, bk_fake_text("")); // open at shutdown
}

// What the reader of a first frame does before the plugin's send has returned.
std::function<void(std::uint64_t sid)> reader;

NrStatus send_to_reader(void* ctx, std::uint64_t sid, NrStatus status, NrBytes frame) {
    NrStatus sent = bk_fake_api_send(ctx, sid, status, frame);
    if (auto once = std::exchange(reader, nullptr)) {
        once(sid);
    }
    return sent;
}

void early_answers(BkFakeHost* host) {
    host->frames_max = 16;
    host->api.send = send_to_reader;
    auto here = [](auto act) { act(); };
    auto elsewhere = [](auto act) { std::thread(act).join(); };
    auto each = [&](auto run_by) {
        reader = [&](std::uint64_t sid) {
            run_by([&] {
                BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("made")) == NR_BACKPRESSURE);
                BK_CHECK(bk_fake_ready(host, sid) == 0);
            });
        };
        auto sid = bk_fake_stream(host, "talk", nullptr, bk_fake_text("greet"));
        BK_CHECK_FRAME(host, sid, NR_OK, "first");
        BK_CHECK(bk_fake_ready(host, sid) == 1);
        BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("made")) == NR_OK);
        BK_CHECK_FRAME(host, sid, NR_OK, "whole");
        BK_CHECK(bk_fake_stream_close(host, sid) == NR_OK);
        BK_CHECK_FRAME(host, sid, NR_STREAM_END, "");

        reader = [&](std::uint64_t sid) {
            run_by([&] {
                BK_CHECK(bk_fake_stream_close(host, sid) == NR_OK);
                BK_CHECK(bk_fake_stream_close(host, sid) == NR_INVALID);
            });
        };
        sid = bk_fake_stream(host, "talk", nullptr, bk_fake_text("greet"));
        BK_CHECK_FRAME(host, sid, NR_OK, "first");
        BK_CHECK_FRAME(host, sid, NR_STREAM_END, "");
        BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("x")) == NR_INVALID);

        reader = [&](std::uint64_t sid) {
            run_by([&] {
                BK_CHECK(host->vtable.stream_room(host->info->plugin_ctx, sid) == NR_OK);
                BK_CHECK(bk_fake_ready(host, sid) == 0);
            });
        };
        sid = bk_fake_stream(host, "talk", nullptr, bk_fake_text("greet"));
        BK_CHECK(bk_fake_ready(host, sid) == 1);
        BK_CHECK(bk_fake_cancel(host, sid) == NR_OK);

        reader = [&](std::uint64_t sid) {
            run_by([&] { BK_CHECK(bk_fake_cancel(host, sid) == NR_OK); });
        };
        sid = bk_fake_stream(host, "talk", nullptr, bk_fake_text("greet"));
        BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("x")) == NR_INVALID);
        BK_CHECK(bk_fake_stream_close(host, sid) == NR_INVALID);
    };
    each(here);
    each(elsewhere);
    host->api.send = bk_fake_api_send;
}

void hand_over(BkFakeHost* host) {
    NrOwnedBytes state{};
    void* ctx = host->info->plugin_ctx;
    BK_CHECK(host->vtable.reload_export(ctx, &state) == NR_OK && state.len == 12);
    BK_CHECK(host->vtable.reload_import(ctx, NrBytes{state.ptr, state.len}) == NR_OK);
    state.release(state.owner_ctx, state.ptr, state.len);
    BK_CHECK(host->vtable.reload_import(ctx, NrBytes{nullptr, 0}) == NR_INVALID);
}

void refused_load(const char* how, NrStatus status) {
    BkFakeHost* host = bk_fake_new();
    bk_fake_config(host, "refuse", how);
    BK_CHECK(bk_fake_load(host, nylon_ring_get_plugin_v1(), 1) == status);
    bk_fake_free(host);
}

}  // namespace

BECKET_PLUGIN(Probe, entries, becket::Identity{"probe", "1", becket::thread_safe})

int main() {
    for (int i = 0; i < 40; i++) {  // a refused load gives its slot back
        refused_load("throw", NR_PANIC);
        refused_load("status", 42);
    }
    BkFakeHost* host = bk_fake_new();
    const NrPluginInfo* info = nylon_ring_get_plugin_v1();
    BK_CHECK(bk_fake_load(host, info, 1) == NR_OK);
    BK_CHECK(nylon_ring_get_plugin_v1() == info);
    answers(host);
    streams(host);
    sessions(host);
    early_answers(host);
    hand_over(host);
    // Three answers, three frames and a lease that were too long, and a late answer.
    BK_CHECK(host->refused == 8);
    BK_CHECK(bk_fake_unload(host) == 0);
    BK_CHECK(host->vtable.handle_raw(info->plugin_ctx, bk_fake_str("big"), 1, bk_fake_text("")) ==
             NR_INVALID);
    bk_fake_free(host);
    return 0;
}
