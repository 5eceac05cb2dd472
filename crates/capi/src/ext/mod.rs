// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_ext.h`.
//!
//! | module | contents |
//! |---|---|
//! | `deferred` | results of coroutines; running elsewhere; sleeping under a token |
//! | `join` | channels joined by coroutines of a scope |

pub mod deferred;
pub mod join;
