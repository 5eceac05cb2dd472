/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: its handler throws; it is built with the C++ SDK.
 * Host:   the SDK's boundary catches it: the call fails with Panic, and the text is
 *         logged.
 * Where:  inline and process.
 */
#include <becket.hpp>

#include <stdexcept>

class Thrower : public becket::Plugin {
public:
    using Plugin::Plugin;

    becket::Response ok(const becket::Request&) { return "ok"; }
    becket::Response hit(const becket::Request&) { throw std::runtime_error("thrown on purpose"); }
};

constexpr becket::Entry entries[] = {
    becket::unary<&Thrower::ok>("ok", "answers ok"),
    becket::unary<&Thrower::hit>("hit", "shows the defect"),
};

BECKET_PLUGIN(Thrower, entries, becket::Identity{"throws_exception", "1.0.0", becket::thread_safe})
