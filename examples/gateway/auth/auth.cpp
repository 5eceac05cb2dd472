// SPDX-License-Identifier: BSD-3-Clause
//
// A filter that knows users by their API keys.
//
// `keys` of its configuration is NAME=KEY for each user, between spaces. A request with such a key in
// x-api-key passes, with the user's name as x-user for the filters and the service behind it. Any other
// request is answered 401.
//
#include <becket.hpp>

namespace {

// Takes the same time wherever the first difference is.
bool same(std::string_view a, std::string_view b) {
    unsigned differs = a.size() == b.size() ? 0 : 1;
    for (std::size_t i = 0; i < a.size() && i < b.size(); i++) {
        differs |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
    }
    return differs == 0;
}

class Auth : public becket::Plugin {
public:
    explicit Auth(const becket::Host& host) : Plugin(host) {
        auto rest = host.config_get("keys");
        while (!rest.empty()) {
            auto word = rest.substr(0, rest.find(' '));
            rest.remove_prefix(word.size() + (word.size() < rest.size() ? 1 : 0));
            auto name = word.substr(0, word.find('='));
            // An empty key would let a request with an empty header pass.
            if (name.empty() || name.size() + 1 >= word.size()) {
                throw becket::Error(NR_INVALID, "keys: expected NAME=KEY NAME=KEY");
            }
            users_.push_back({std::string(name), std::string(word.substr(name.size() + 1))});
        }
        // Without a key nothing could ever pass: better not to load at all.
        if (users_.empty()) {
            throw becket::Error(NR_INVALID, "keys: expected NAME=KEY");
        }
    }

    // ANCHOR: filter
    becket::Response filter(const becket::Request& request) {
        if (request.header("becket-phase") == "response") {
            return std::string("continue\nadd vary: x-api-key\nset x-answered-for: ")
                .append(request.header("becket-context").value_or(""));
        }
        const User* user = find(request.header("x-api-key").value_or(""));
        if (user == nullptr) {
            return "respond 401\n"
                   "set content-type: application/json\n"
                   "\n"
                   "{\"error\":\"a key is needed\"}\n";
        }
        return "continue\n"
               "remove x-api-key\n"  // the service need not see it
               "remove x_user\n"     // which some servers take for x-user
               "set x-user: " + user->name + "\n" +
               "context " + user->name;  // call again in the response phase, with the name
    }
    // ANCHOR_END: filter

private:
    struct User {
        std::string name, key;
    };

    // Compares with every key, so that the time does not tell which one is close.
    const User* find(std::string_view key) const {
        const User* found = nullptr;
        for (const User& user : users_) {
            found = same(user.key, key) ? &user : found;
        }
        return found;
    }

    std::vector<User> users_;
};

constexpr becket::Entry entries[] = {
    becket::unary<&Auth::filter>("filter", "lets requests with a user's x-api-key pass"),
};

constexpr becket::Identity identity{
    "auth", "1.0.0",
    becket::thread_safe | becket::multi_instance | becket::may_unload | becket::never_blocks, "{}"};

}  // namespace

BECKET_PLUGIN(Auth, entries, identity)
