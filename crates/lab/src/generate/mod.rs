// SPDX-License-Identifier: BSD-3-Clause
//! Generates adapters: a [profile](Profile) becomes a Rust module with its limits, plan, lifecycle
//! and policies as constants. The module needs only the standard library.
//!
//! ```text
//!   P.toml ──► Profile ──┬─► constants, table, plan, backend, tests ──► src/lib.rs
//!                        └─► Interpreted, driven from seeds ──► hashes that the tests expect
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `profile` | the profile of a backend, and its file |
//! | `error` | errors of a profile: the line, and what to write instead |
//! | `vocabulary` | the types of generated modules, copied into each |
//! | `interpreted` | the backend that reads its profile at run time |
//! | `drive` | logged calls of every kind, copied into the tests of each module |
//! | `plan` | the plans of sources, as constants |
//! | `emit` | the text of a module |
//! | `template/` | parts of the text that are not valid Rust by themselves |
//! | `unit` | a generated crate, for cargo and rustc |
//! | `example` | the lab's own profiles, and the module of one of them in `generated/` |
//!
//! # Invariants
//!
//! 1. The same profile gives the same bytes, whatever comments its file has.
//! 2. A module compiles by itself (the lab's own one: in the lab, with its types), without warnings
//!    and without unsafe code, and is formatted.
//! 3. Every constant of a module is in its `constants()`, and its tests compare the value of each.

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
