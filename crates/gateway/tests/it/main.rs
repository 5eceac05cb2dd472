// SPDX-License-Identifier: BSD-3-Clause
//! The tests that need no process of their own, in one program.
//!
//! | module | tests |
//! |---|---|
//! | `access_log` | a line for each request, and none in a request's way |
//! | `actions` | actions on the admin listener, and what they need |
//! | `admin` | the admin listener: its figures are those of the gateway, also in a browser |
//! | `bad_input` | clients that are broken, slow, greedy or gone: a clear answer, and no effect on others |
//! | `clients` | what one client's address may have at once |
//! | `dashboard` | the Grafana dashboard uses metrics and labels of the gateway only |
//! | `embed` | routes behind another HTTP server |
//! | `files` | files of a folder: which ones, with which headers, and none outside |
//! | `filters` | filters of routes: what they see and change, and that none is passed by |
//! | `http` | unary calls and streams: what goes in, what comes out, and with which status |
//! | `lifecycle` | drains, new configurations, changed files: no request goes unanswered |
//! | `listeners` | several listeners, Unix sockets, sockets of the service manager |
//! | `tls` | certificates, names, clients' certificates, handshakes, and all of it changing under load |
//! | `upstream` | requests that are passed on to another server |
//! | `upstream_tls` | TLS to upstream servers |
//! | `upstream_websocket` | WebSockets that are passed on to another server |
//! | `websocket` | messages both ways, and every way in which they end |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access_log;
mod actions;
mod admin;
mod bad_input;
mod clients;
mod common;
mod dashboard;
mod embed;
mod files;
mod filters;
mod health;
mod http;
mod lifecycle;
mod listeners;
#[cfg(feature = "otlp")]
mod otlp;
mod rollout;
#[cfg(feature = "tls")]
mod tls;
mod upstream;
#[cfg(feature = "tls")]
mod upstream_tls;
mod upstream_websocket;
mod websocket;
