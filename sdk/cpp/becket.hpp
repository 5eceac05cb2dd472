// SPDX-License-Identifier: BSD-3-Clause
//
// Plugins in C++17, headers only.
//
//   becket/host.hpp    views, Error, Host: state, logs, metrics, config, leases
//   becket/call.hpp    Request, Response, Responder, Stream, Session
//   becket/wait.hpp    SessionStream, Channel, sleep_for: for handlers on coroutines
//   becket/delay.hpp   Delays: something for a call later, unless cancelled
//   becket/plugin.hpp  Plugin, entries, BECKET_PLUGIN, the boundary
//
#ifndef BECKET_HPP
#define BECKET_HPP

#include "becket/call.hpp"
#include "becket/delay.hpp"
#include "becket/host.hpp"
#include "becket/plugin.hpp"
#include "becket/wait.hpp"

#endif  // BECKET_HPP
