// SPDX-License-Identifier: BSD-3-Clause
//! The command from the outside: what it prints, what it ends with, what its projects do.
//!
//! | module | what is held to account |
//! |---|---|
//! | `usage` | wrong arguments, completions, manual, configuration |
//! | `new` | a project of each language builds, passes its test and is a plugin |
//! | `plugin` | inspect, call, bench and check, on a project of `plugin new` |
//! | `check`, `lab` | adapters under the rules of the lab, and the lab itself |
//! | `foreign` | plugins as adapters: what they do to the process that they are in |
//! | `first_abi` | plugins that cannot say what their entries are |
//! | `forgery` | a plugin's texts forge no line and drive no terminal |
//! | `serve` | the lines it prints work as printed; signals |
//! | `stuck` | a handler that never returns, and how `serve` ends beside it |
//! | `support` | running the command, building the plugin that the tests share |

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod check;
mod first_abi;
mod foreign;
mod forgery;
mod lab;
mod new;
mod plugin;
mod serve;
mod stuck;
mod support;
mod usage;
