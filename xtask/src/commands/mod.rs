// SPDX-License-Identifier: BSD-3-Clause
//! The commands of `cargo xtask`, one a file.

pub(crate) mod bench;
pub(crate) mod cluster_demo;
pub(crate) mod cross;
pub(crate) mod dist;
pub(crate) mod example;
pub(crate) mod fuzz;
pub(crate) mod install;
pub(crate) mod ipc_death;
pub(crate) mod load;
pub(crate) mod loom;
pub(crate) mod miri;
pub(crate) mod page;
pub(crate) mod pingora;
pub(crate) mod planted;
pub(crate) mod plugins;
pub(crate) mod process_calls;
pub(crate) mod process_death;
pub(crate) mod run;
pub(crate) mod sanitize;
pub(crate) mod soak;
pub(crate) mod test;
pub(crate) mod tools;
pub(crate) mod zoo;
