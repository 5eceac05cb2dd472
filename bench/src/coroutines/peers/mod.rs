// SPDX-License-Identifier: BSD-3-Clause
//! The peers: the operations of the workloads, for each runtime.
//!
//! | module | its coroutines |
//! |---|---|
//! | `becket` | with stacks |
//! | `executor` | async-executor's tasks |
//! | `go` | goroutines, in a program in Go |
//! | `may` | with stacks, in separate processes |
//! | `tokio` | tasks |

pub(crate) mod becket;
pub(crate) mod executor;
pub(crate) mod go;
pub(crate) mod may;
pub(crate) mod tokio;
