// SPDX-License-Identifier: BSD-3-Clause
//! The runtime for the coroutines of one instance: made for its first handler, ended with it.
//!
//! A coroutine stays on its thread once it has begun, so a handler that blocks holds up what else has
//! begun there. That is why each instance has threads of its own: the handler holds up its own
//! plugin, and not even that after a reload. Instances are never freed, so the runtime ends when
//! the instance gives up its [`Member`]: on a thread of its own, since that waits for what still
//! runs.

use std::{sync::Arc, thread, time::Duration};

use becket_abi::BK_LOG_WARN;
use becket_coro::{Handle, Runtime, Stalled};
use parking_lot::Mutex;

use crate::observer::Observer;

/// A coroutine that holds its thread for longer than this is reported.
const STALL_REPORT: Duration = Duration::from_millis(100);

/// See the module's documentation.
pub(crate) struct Pool {
    name: String,
    /// Threads; `None`: one for each CPU.
    workers: Option<usize>,
    observer: Option<Arc<dyn Observer>>,
    state: Mutex<State>,
}

/// The observers of pools, by the names of these: a report has nothing but the coroutine's name.
static OBSERVERS: Mutex<Vec<(String, Arc<dyn Observer>)>> = Mutex::new(Vec::new());

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
    pub(crate) fn new(
        name: &str,
        workers: Option<usize>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Arc<Self> {
        if let Some(observer) = &observer {
            OBSERVERS.lock().push((name.to_owned(), observer.clone()));
        }
        Arc::new(Self { name: name.to_owned(), workers, observer, state: Mutex::default() })
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

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(own) = &self.observer {
            OBSERVERS.lock().retain(|(_, observer)| !Arc::ptr_eq(observer, own));
        }
    }
}

/// A handler computes, or blocks its thread, and others that run there wait for it.
fn stalled(stalled: &Stalled) {
    let coroutine = stalled.name.as_deref().unwrap_or("?");
    let held_ms = stalled.held.as_millis() as u64;
    let observer = coroutine.rsplit_once('/').and_then(|(plugin, _entry)| {
        let observers = OBSERVERS.lock();
        let found = observers.iter().find(|(name, _)| name == plugin);
        found.map(|(_, observer)| observer.clone())
    });
    if let Some(observer) = observer {
        let text = format!(
            "coroutine={coroutine} held_ms={held_ms}: a coroutine does not give its thread back"
        );
        return observer.watchdog(BK_LOG_WARN, &text);
    }
    tracing::warn!(
        target: "becket::watchdog",
        coroutine,
        held_ms,
        "a coroutine does not give its thread back",
    );
}
