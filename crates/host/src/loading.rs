// SPDX-License-Identifier: BSD-3-Clause
//! A load that takes too long is given up.
//!
//! Loading runs a plugin's own code: its constructors, its entry function, `attach`, `init` and
//! `describe`. Each may never return, and no thread can be made to. So a load runs on a thread of
//! its own, and the caller waits for it for `load_timeout_ms`:
//!
//! ```text
//!   caller   spawn ─────────── wait ──────────┬─ result            in time
//!                                             └─ LoadError::TimedOut, the plugin stopped
//!   thread   read ─ dlopen ─ entry function ─ attach ─ init ─ describe ─ result
//!                     └ each begins only while the caller waits          └ too late: discarded
//! ```
//!
//! # Invariants
//!
//! 1. The result of a load goes to its caller or to `discard`, once: both look under one lock.
//! 2. A plugin whose load was given up never becomes ready. Its image stays mapped, its callbacks
//!    find no call, its timers do not run. If its load ends after all, the plugin is shut down.
//! 3. The thread of a load that was given up is left to the plugin: one per such load.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{
    instance::Instance,
    load::{LoadError, LoadStage},
};

/// How far a load is, shared by its thread and its caller.
pub(crate) struct Loading {
    plugin: String,
    timeout_ms: u64,
    state: Mutex<State>,
}

struct State {
    stage: LoadStage,
    given_up: bool,
    /// Once the plugin has a `host_ctx`.
    instance: Option<&'static Instance>,
}

impl Loading {
    /// The thread is about to begin this stage; refused if the load was given up.
    pub(crate) fn begin(&self, stage: LoadStage) -> Result<(), LoadError> {
        let mut state = self.state.lock();
        if state.given_up {
            return Err(self.timed_out(state.stage));
        }
        state.stage = stage;
        Ok(())
    }

    /// The plugin gets a `host_ctx`.
    pub(crate) fn made(&self, instance: &'static Instance) {
        self.state.lock().instance = Some(instance);
    }

    fn timed_out(&self, stage: LoadStage) -> LoadError {
        let (plugin, timeout_ms) = (self.plugin.clone(), self.timeout_ms);
        LoadError::TimedOut { plugin, stage, timeout_ms }
    }

    fn give_up(&self) -> LoadError {
        let mut state = self.state.lock();
        state.given_up = true;
        let (stage, instance) = (state.stage, state.instance);
        drop(state);
        if let Some(instance) = instance {
            instance.give_up_load();
        }
        if stage == LoadStage::Open {
            at_exit::skip_the_linker();
        }
        self.timed_out(stage)
    }
}

/// What became of a load.
enum Outcome<T> {
    Running,
    Done(Result<T, LoadError>),
    GivenUp,
}

/// Runs `load` on a thread of its own and waits for it for `timeout_ms`; 0: for as long as it
/// takes. What comes after that goes to `discard`.
pub(crate) fn within<T: Send + 'static>(
    plugin: &str,
    timeout_ms: u64,
    load: impl FnOnce(&Loading) -> Result<T, LoadError> + Send + 'static,
    discard: impl FnOnce(T) + Send + 'static,
) -> Result<T, LoadError> {
    let state = State { stage: LoadStage::Read, given_up: false, instance: None };
    let loading =
        Arc::new(Loading { plugin: plugin.to_owned(), timeout_ms, state: Mutex::new(state) });
    let shared = Arc::new((Mutex::new(Outcome::Running), Condvar::new()));
    let run = {
        let (loading, shared) = (loading.clone(), shared.clone());
        // Its events belong to the caller's subscriber and span, where those are the thread's.
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let span = tracing::Span::current();
        move || {
            tracing::dispatcher::with_default(&dispatch, || {
                let result = span.in_scope(|| load(&loading));
                let mut outcome = shared.0.lock();
                if matches!(*outcome, Outcome::Running) {
                    *outcome = Outcome::Done(result);
                    shared.1.notify_one();
                    return;
                }
                drop(outcome);
                if let Ok(late) = result {
                    tracing::warn!(
                        target: "becket::host",
                        plugin = loading.plugin,
                        "a load that had been given up came to its end: the plugin is shut down",
                    );
                    discard(late);
                }
            });
        }
    };
    // To wait for the first time, a thread registers something with the dynamic linker, whose lock
    // a constructor holds that does not come back: this one has waited before.
    let _ = shared.1.wait_for(&mut shared.0.lock(), Duration::ZERO);
    let thread = std::thread::Builder::new().name("becket-load".to_owned()).spawn(run);
    thread.map_err(|source| LoadError::Thread { plugin: plugin.to_owned(), source })?;
    let until = (timeout_ms > 0)
        .then(|| Instant::now().checked_add(Duration::from_millis(timeout_ms)))
        .flatten();
    let mut outcome = shared.0.lock();
    while matches!(*outcome, Outcome::Running) {
        match until {
            Some(until) if shared.1.wait_until(&mut outcome, until).timed_out() => break,
            Some(_) => {}
            None => shared.1.wait(&mut outcome),
        }
    }
    match mem::replace(&mut *outcome, Outcome::GivenUp) {
        Outcome::Done(result) => result,
        Outcome::Running | Outcome::GivenUp => {
            drop(outcome);
            Err(loading.give_up())
        }
    }
}

/// The end of a process in whose dynamic linker a thread is stuck.
///
/// A constructor runs under the linker's lock, and the last thing that `exit` does takes that lock
/// as well, to run destructors: a process that gave up a plugin in its constructors could not end.
mod at_exit {
    #[cfg(target_env = "gnu")]
    pub(super) fn skip_the_linker() {
        use std::{
            ffi::{c_int, c_void},
            sync::Once,
        };

        unsafe extern "C" {
            fn on_exit(
                function: unsafe extern "C" fn(c_int, *mut c_void),
                argument: *mut c_void,
            ) -> c_int;
        }

        unsafe extern "C" fn end(status: c_int, _: *mut c_void) {
            // SAFETY: ends the process without running anything more.
            unsafe { libc::_exit(status) }
        }

        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: a function of this program that takes what `on_exit` passes.
            unsafe { on_exit(end, std::ptr::null_mut()) };
        });
    }

    #[cfg(not(target_env = "gnu"))]
    pub(super) fn skip_the_linker() {}
}
