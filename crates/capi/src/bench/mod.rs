// SPDX-License-Identifier: BSD-3-Clause
//! Load generators for channels and actors, for tools.
//!
//! | module | header |
//! |---|---|
//! | `chan` | `kcoro_bench.h`: a channel whose counters are watched |
//! | `actors` | `kc_actor_bench.h`: actors, measured and checked |

pub mod actors;
pub mod chan;

use std::ffi::c_int;
use std::sync::Arc;

use crate::sched::{Body, Start};
use crate::scope::{self, Member, Scope};

/// Starts a coroutine of the scope, without a context.
fn start(scope: &Arc<Scope>, run: impl Fn() + Send + 'static) -> Result<(), c_int> {
    let member = Member::new(scope)?;
    let start = Start::coroutine(Body::Rust(Box::new(run)), 0)?;
    scope::start(member, Start { context: None, ..start }, || {})
}
