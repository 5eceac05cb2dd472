// SPDX-License-Identifier: BSD-3-Clause
//! The command as a process: its output, its exit codes, the projects that it makes.
//!
//! | module | what is tested |
//! |---|---|
//! | `usage` | wrong arguments, completions, manual, configuration |
//! | `new` | a project of each language builds, passes its test and is a plugin |
//! | `plugin` | inspect, call, bench and check, on a project of `plugin new` |
//! | `program` | plugins that are programs |
//! | `published` | plugins of the crates `nylon-ring` of crates.io |
//! | `check`, `lab` | adapters under the rules of the lab, and the lab itself |
//! | `example` | the filters of `examples/gateway`, before its service |
//! | `foreign` | plugins as adapters: effects on the process that they run in |
//! | `first_abi` | plugins that cannot declare the kinds of their entries |
//! | `forgery` | a plugin's texts cannot forge lines or control the terminal |
//! | `admin` | actions of a running gateway |
//! | `listeners` | Unix sockets, and sockets of a service manager |
//! | `serve` | the printed commands work; signals |
//! | `cluster` | gateways that offer plugins to each other, over a real server; with the feature `cluster` |
//! | `stuck` | a handler that never returns, and how `serve` ends beside it |
//! | `upgrade` | another binary takes over, and no request is lost |
//! | `support` | running the command, building the plugin that the tests share |

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod admin;
mod check;
#[cfg(feature = "cluster")]
mod cluster;
mod crashes;
mod example;
mod first_abi;
mod foreign;
mod forgery;
mod lab;
mod listeners;
mod new;
mod plugin;
mod program;
mod published;
mod serve;
mod stuck;
mod support;
mod upgrade;
mod usage;
