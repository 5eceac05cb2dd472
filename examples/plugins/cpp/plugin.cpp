// SPDX-License-Identifier: BSD-3-Clause
//
// The sample plugin in C++. ../README.md says what each entry does.
//
#include <becket.hpp>

#include <charconv>
#include <stdexcept>

namespace {

// Decimal digits alone, up to what Number holds.
template <class Number>
std::optional<Number> number(std::string_view text) {
    Number value = 0;
    if (text.empty() || text.front() < '0' || text.front() > '9') {
        return std::nullopt;
    }
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

class Sample : public becket::Plugin {
public:
    explicit Sample(const becket::Host& host)
        : Plugin(host), greeting_(host.config_get("greeting")),
          unary_total_(host, "sample_unary_total", "Calls of the entry unary"),
          slow_cancelled_total_(host, "sample_slow_cancelled_total",
                                "Calls of the entry slow that were cancelled"),
          delays_(host) {
        if (greeting_.empty()) {
            greeting_ = "Hello";
        }
        host.log(BK_LOG_INFO, "sample", "ready");
    }

    becket::Response unary(const becket::Request& request) {
        auto or_dash = [](std::string_view text) { return text.empty() ? "-" : text; };
        auto bytes = std::to_string(request.payload().size());
        unary_total_.add();
        if (host.log_enabled(BK_LOG_DEBUG)) {
            host.log(BK_LOG_DEBUG, "sample", "unary: " + bytes + " bytes");
        }

        std::string text(greeting_);
        text.append(" from cpp: ").append(or_dash(request.method())).append(" ");
        text.append(or_dash(request.path()));
        if (!request.query().empty()) {
            text.append("?").append(request.query());
        }
        text.append(", ").append(std::to_string(request.headers_len()));
        text.append(" headers, ").append(bytes).append(" bytes");
        if (auto echo = request.header("x-becket-echo")) {
            text.append(", x-becket-echo=").append(*echo);
        }
        return text;
    }

    becket::Response echo(const becket::Request& request) {
        return becket::Response::borrow(request.payload());
    }

    void stream(const becket::Request&, becket::Stream stream) {
        for (int i = 1; i <= 5; i++) {
            auto sent = stream.send("frame " + std::to_string(i) + " of 5");
            if (sent == NR_BACKPRESSURE) {
                stream.fail(NR_BACKPRESSURE, "stream queue full");
                return;
            }
            if (sent != NR_OK) {
                throw becket::Error(sent, "no caller reads");
            }
        }
        stream.end();
    }

    // It waits for the next message, and for room where the caller reads slowly.
    // When the caller has gone, an exception ends it.
    void chat(const becket::Request&, becket::SessionStream& session) {
        std::uint64_t messages = 0;
        session.send("welcome");
        while (auto message = session.recv()) {
            session.send("echo: " + std::string(message->view()));
            messages++;
        }
        session.end("bye after " + std::to_string(messages) + " messages");
    }

    becket::Response state(const becket::Request& request) {
        auto payload = request.payload();
        auto equals = payload.find('=');
        auto key = payload.substr(0, equals);
        if (key.empty() || !becket::is_utf8(key)) {
            return {NR_INVALID, "expected key=value"};
        }
        if (!host.has_state()) {
            return {NR_UNSUPPORTED, "needs a host with state"};
        }
        if (equals != std::string_view::npos) {
            auto set = host.state_set(request.sid(), key, payload.substr(equals + 1));
            if (set != NR_OK) {
                return {set, "state refused"};
            }
        }
        return std::string(key) + "=" + host.state_get(request.sid(), key).value_or("");
    }

    void slow(const becket::Request& request, becket::Responder responder) {
        auto delay_ms = request.payload().empty() ? slow_default_ms
                                                  : number<std::uint64_t>(request.payload());
        if (!delay_ms) {
            std::move(responder).answer({NR_INVALID, "expected milliseconds"});
            return;
        }
        auto later = std::make_shared<becket::Responder>(std::move(responder));
        auto started = delays_.start(later->sid(), *delay_ms,
                                     [later] { std::move(*later).answer("slow done"); });
        if (started == NR_UNSUPPORTED) {
            std::move(*later).answer({NR_UNSUPPORTED, "needs a host with timers"});
        } else if (started != NR_OK) {
            std::move(*later).answer({NR_BACKPRESSURE, "no timer free"});
        }
    }

    bool cancel(std::uint64_t sid) override {
        auto never = delays_.cancel(sid);
        if (never.value_or(false)) {
            slow_cancelled_total_.add();
        }
        return never.has_value();
    }

    becket::Response fail(const becket::Request& request) {
        auto payload = request.payload();
        if (payload.empty()) {
            throw becket::Error(NR_ERR, "failed on request");
        }
        if (auto status = number<std::uint32_t>(payload)) {
            return {*status, "failed on request"};
        }
        if (payload == "panic") {
            throw std::runtime_error("panicked on request");
        }
        return {NR_INVALID, "expected a status or panic"};
    }

private:
    static constexpr std::optional<std::uint64_t> slow_default_ms = 500;

    std::string_view greeting_;
    becket::Counter unary_total_;
    becket::Counter slow_cancelled_total_;
    becket::Delays delays_;
};

constexpr becket::Entry entries[] = {
    becket::unary<&Sample::unary>("unary", "greets, and says what it saw of the request"),
    becket::unary<&Sample::echo>("echo", "gives the payload back"),
    becket::stream<&Sample::stream>("stream", "sends five frames"),
    becket::session<&Sample::chat>("chat", "echoes each message until the stream is closed"),
    becket::unary<&Sample::state>("state", "sets KEY=VALUE in the call's state and reads it back"),
    becket::unary<&Sample::slow>("slow", "answers after the milliseconds in the payload"),
    becket::unary<&Sample::fail>("fail", "answers with the status in the payload"),
};

constexpr becket::Identity identity{
    "sample-cpp", "0.1.0",
    becket::thread_safe | becket::multi_instance | becket::may_unload | becket::never_blocks,
    R"({"greeting":"Hello"})"};

}  // namespace

BECKET_PLUGIN(Sample, entries, identity)
