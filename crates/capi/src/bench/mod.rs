// SPDX-License-Identifier: BSD-3-Clause
//! Load generators for channels and actors, for tools.
//!
//! | module | header |
//! |---|---|
//! | `chan` | `kcoro_bench.h`: a channel whose counters are watched |
//! | `actors` | `kc_actor_bench.h`: actors, measured and checked |

pub mod actors;
pub mod chan;
