// SPDX-License-Identifier: BSD-3-Clause
//! The command from the outside: what it prints, what it ends with, what its projects do.
//!
//! | module | what is held to account |
//! |---|---|
//! | `usage` | wrong arguments, completions, manual, configuration |
//! | `new` | a project of each language builds, passes its test and is a plugin |
//! | `plugin` | inspect, call, bench and check, on a project of `plugin new` |
//! | `serve` | the lines it prints work as printed; signals |
//! | `support` | running the command, building the plugin that the tests share |

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod new;
mod plugin;
mod serve;
mod support;
mod usage;
