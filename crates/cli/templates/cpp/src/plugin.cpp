// The plugin {{name}}.
//
// An entry is a member function and a line in the list at the end. It may
// answer at once, as these do, or take a becket::Responder and answer later,
// from any thread. An exception becomes the status Panic.

#include <array>
#include <string>
#include <string_view>

#include "becket.hpp"

namespace {

class Plugin : public becket::Plugin {
public:
    using becket::Plugin::Plugin;

    // One answer: a greeting from the configuration, and what was sent.
    becket::Response hello(const becket::Request& request) const {
        std::string_view greeting = host.config_get("greeting");
        std::string_view whom = request.payload();
        std::string text(greeting.empty() ? "Hello" : greeting);
        text += ", ";
        text += whom.empty() ? "world" : whom;
        return text;
    }

    // A stream: as many frames as it likes, then the end.
    void countdown(const becket::Request&, becket::Stream stream) const {
        for (std::string_view frame : std::array{"3", "2", "1"}) {
            if (becket::Status sent = stream.send(frame); sent != NR_OK) {
                stream.fail(sent);
                return;
            }
        }
        stream.end();
    }
};

constexpr becket::Entry entries[] = {
    becket::unary<&Plugin::hello>("hello", "greets whom the payload names"),
    becket::stream<&Plugin::countdown>("countdown", "sends 3, 2, 1"),
};

constexpr becket::Identity identity{
    "{{name}}", "0.1.0",
    becket::thread_safe | becket::multi_instance | becket::may_unload,
    R"({"greeting":"Hello"})"};

}  // namespace

BECKET_PLUGIN(Plugin, entries, identity)
