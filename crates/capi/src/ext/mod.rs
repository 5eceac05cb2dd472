// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_ext.h`.
//!
//! | module | contents |
//! |---|---|
//! | `channel` | channels: overflow policy, hook, reason of a close, description |
//! | `deferred` | results of coroutines; running elsewhere; sleeping under a token |
//! | `join` | channels joined by coroutines of a scope |
//! | `launch` | coroutines started in the caller's context |

pub mod channel;
pub mod deferred;
pub mod join;
pub mod launch;
