// SPDX-License-Identifier: BSD-3-Clause
//! The tests that need no process of their own, in one program.
//!
//! | module | tests |
//! |---|---|
//! | `actor` | actors: messages, endings, restarts |
//! | `clocks` | clocks that a runtime advances itself, with several workers |
//! | `endings` | how coroutines, fibers and runtimes end: all destructors run, all waits return |
//! | `fibers` | coroutines resumed by hand: alone, nested, within coroutines of a runtime |
//! | `flow` | flows: values, ends, failures, and the bound of each queue |
//! | `hostile` | panics in every callback, wakers that panic, coroutines that hold their worker |
//! | `job` | jobs: states, waits, how far a failure propagates |
//! | `job_states` | the states of a tree of jobs, beside a model that computes them anew each time |
//! | `panicking` | `std::thread::panicking()` is a property of a coroutine, not of its thread |
//! | `pinned` | coroutines that a certain worker starts |
//! | `scope` | scopes: borrows of children, failures, cancellation |
//! | `scope_endings` | scopes whose runtime, fiber or owner ends in the middle |
//! | `scope_trees` | random trees of scopes, beside the outcome that their leaves imply |
//! | `stress` | a million wakes, storms of spawns and joins, short-lived runtimes |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod actor;
mod clocks;
#[path = "../common/mod.rs"]
mod common;
mod endings;
mod fibers;
mod flow;
mod hostile;
mod job;
mod job_states;
mod panicking;
mod pinned;
mod scope;
mod scope_endings;
mod scope_trees;
mod stress;
