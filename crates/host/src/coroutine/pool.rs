// SPDX-License-Identifier: BSD-3-Clause
//! The runtime for the coroutines of one instance: made for its first handler, ended with it.
//!
//! A coroutine stays on its thread once it has begun, so a handler that blocks holds up what else has
//! begun there. That is why each instance has threads of its own: the handler holds up its own
//! plugin, and not even that after a reload. Instances are never freed, so the runtime ends when
//! the instance gives up its [`Member`]: on a thread of its own, since that waits for what still
//! runs.

use std::{sync::Arc, thread, time::Duration};

use becket_coro::{Handle, Runtime, Stalled};
use parking_lot::Mutex;

/// A coroutine that holds its thread for longer than this is reported.
const STALL_REPORT: Duration = Duration::from_millis(100);

/// See the module's documentation.
pub(crate) struct Pool {
    name: String,
    /// Threads; `None`: one for each CPU.
    workers: Option<usize>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runtime: Option<Runtime>,
    members: usize,
}

/// An instance's share in the runtime.
pub(super) struct Member {
    pool: Arc<Pool>,
    handle: Option<Handle>,
}

impl Pool {
    pub(crate) fn new(name: &str, workers: Option<usize>) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), workers, state: Mutex::default() })
    }

    /// A share in the runtime, which is made if there is none.
    pub(super) fn join(self: &Arc<Self>) -> Member {
        let mut state = self.state.lock();
        state.members += 1;
        if state.runtime.is_none() {
            state.runtime = self.make();
        }
        let handle = state.runtime.as_ref().map(|runtime| runtime.handle().clone());
        Member { pool: self.clone(), handle }
    }

    /// The runtime, while there is one.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.state.lock().runtime.as_ref().map(|runtime| runtime.handle().clone())
    }

    fn make(&self) -> Option<Runtime> {
        let mut builder = Runtime::builder().name(&self.name).watchdog(STALL_REPORT, stalled);
        if let Some(workers) = self.workers {
            builder = builder.workers(workers);
        }
        let built = builder.build();
        built
            .inspect_err(|error| {
                tracing::error!(
                    target: "becket::host",
                    %error,
                    "no runtime for coroutines",
                );
            })
            .ok()
    }
}

impl Member {
    /// Where to spawn; `None` if the runtime could not be made.
    pub(super) fn handle(&mut self) -> Option<Handle> {
        if self.handle.is_none() {
            let mut state = self.pool.state.lock();
            if state.runtime.is_none() {
                state.runtime = self.pool.make();
            }
            self.handle = state.runtime.as_ref().map(|runtime| runtime.handle().clone());
        }
        self.handle.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let ended = {
            let mut state = self.pool.state.lock();
            state.members -= 1;
            if state.members == 0 { state.runtime.take() } else { None }
        };
        if let Some(runtime) = ended {
            // Refused by the system: then it is ended here.
            let _ = thread::Builder::new().spawn(move || drop(runtime));
        }
    }
}

/// A handler computes, or blocks its thread, and others that run there wait for it.
fn stalled(stalled: &Stalled) {
    tracing::warn!(
        target: "becket::watchdog",
        coroutine = stalled.name.as_deref().unwrap_or("?"),
        held_ms = stalled.held.as_millis() as u64,
        "a coroutine does not give its thread back",
    );
}
