// SPDX-License-Identifier: BSD-3-Clause
//! The peers: how each of them does what the works ask for.
//!
//! | module | its coroutines |
//! |---|---|
//! | `becket` | with stacks |
//! | `executor` | async-executor's tasks |
//! | `go` | goroutines, in a program in Go |
//! | `may` | with stacks, in processes of their own |
//! | `tokio` | tasks |

pub(crate) mod becket;
pub(crate) mod executor;
pub(crate) mod go;
pub(crate) mod may;
pub(crate) mod tokio;
