// SPDX-License-Identifier: BSD-3-Clause
//! The tests that need no process of their own, in one program.
//!
//! | module | tests |
//! |---|---|
//! | `hostile` | callbacks, wakers and weights that panic, forgotten waits, reentrant use |
//! | `known_mistakes` | known defects of channels, one test each |
//! | `known_mistakes_select` | known defects of selects |
//! | `model` | every kind against a reference model, step by step |
//! | `park_hook` | flows that are not threads: the park hook |
//! | `peers` | promises of Go, crossbeam-channel and Kotlin, as properties |
//! | `policy` | the overflow policy changes, and the hook comes, after a channel was made |
//! | `put_back` | a requeued value is received again, first, and counted once |
//! | `reentry` | hooks, weights and wakers run without a lock |
//! | `select` | exactly one operation of a select completes |
//! | `select_kept` | a `Select` that is reused |
//! | `split_off` | the newest values are taken out; several are requeued |
//! | `spsc` | the SPSC handles: promises, a reference model, streams between threads and tasks |
//! | `spsc_stress` | the SPSC handles against a queue, and under stress |
//! | `stress` | every kind under threads and tasks: each value has one outcome, in order |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/executor.rs"]
mod executor;
mod hostile;
mod known_mistakes;
mod known_mistakes_select;
mod model;
mod park_hook;
mod peers;
mod policy;
mod put_back;
mod reentry;
mod select;
mod select_kept;
mod split_off;
mod spsc;
mod spsc_stress;
mod stress;
