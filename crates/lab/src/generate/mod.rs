// SPDX-License-Identifier: BSD-3-Clause
//! Adapters as code: a [profile](Profile) becomes a Rust module that has its limits, its plan, the life
//! of a flow and its policies as constants, and needs the standard library alone.
//!
//! ```text
//!   P.toml ──► Profile ──┬─► constants, table, plan, backend, tests ──► src/lib.rs
//!                        └─► Interpreted, driven from seeds ──► hashes that the tests expect
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `profile` | what a backend is made for, and its file |
//! | `error` | what is wrong with one, where, and what to write instead |
//! | `vocabulary` | the words of generated modules, which are written into each |
//! | `interpreted` | the backend that asks its profile |
//! | `drive` | calls of every kind, written down; written into each module's tests |
//! | `plan` | what a source gives, as constants |
//! | `emit` | the text of a module |
//! | `template/` | those parts of the text that are no Rust by themselves |
//! | `unit` | a folder that cargo and rustc take |
//! | `example` | profiles that the lab brings along, and the module of one of them in `generated/` |
//!
//! # Invariants
//!
//! 1. The same profile gives the same bytes, whatever comments its file has.
//! 2. A module compiles alone (the one that the lab brings along: within it, with its words), without a
//!    warning and without unsafe code; formatters leave it as it is.
//! 3. Every constant of a module is in its `constants()`, and its tests know the value of each.

pub(crate) mod drive;
mod emit;
mod error;
pub mod example;
mod interpreted;
pub(crate) mod plan;
mod profile;
mod unit;
pub mod vocabulary;

pub use emit::{GENERATOR, SCHEMA, module, module_in_lab};
pub(crate) use emit::{constants, drive_log, lives_rows, plan_log};
pub use error::{GenerateError, ProfileError};
pub use example::{EXAMPLES, Example, PLAIN, STEADY, STEADY_TEXT, TIGHT};
pub use interpreted::Interpreted;
pub(crate) use profile::sha256;
pub use profile::{Order, PROFILE_BYTES_MAX, Policies, Profile, Room, SCHEMA as PROFILE_SCHEMA};
pub use unit::unit;
