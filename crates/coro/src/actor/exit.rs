// SPDX-License-Identifier: BSD-3-Clause
//! How an actor ended, and who wants to know.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use becket_chan::{Reason, Token};
use parking_lot::Mutex;

use crate::{
    job::{Failure, Job},
    unwinding::contain,
};

/// How an actor ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Exit {
    /// It was stopped, or stopped by itself.
    Stopped,
    /// Its last address was dropped, and it had handled what was in the mailbox.
    Abandoned,
    /// It was cancelled, or its runtime ended.
    Cancelled {
        /// Why, in words.
        reason: Reason,
    },
    /// It failed, and was not started again.
    Failed {
        /// The last failure: a panic with its message, or an error.
        failure: Failure,
        /// How often it had been started again before.
        restarts: u32,
    },
}

impl Exit {
    /// Whether it was neither cancelled nor failed.
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self, Self::Stopped | Self::Abandoned)
    }

    /// What failed, if something did.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure, .. } => Some(failure),
            Self::Stopped | Self::Abandoned | Self::Cancelled { .. } => None,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Abandoned => f.write_str("stopped: nobody had its address"),
            Self::Cancelled { reason } => write!(f, "cancelled: {reason}"),
            Self::Failed { failure, restarts } => write!(f, "{failure} (restarts: {restarts})"),
        }
    }
}

/// What is called with an actor's exit.
pub(super) type Hook = Box<dyn FnOnce(&Exit) + Send>;

/// What there is of an actor whatever its messages are.
pub(super) struct Core {
    pub(super) job: Job,
    /// Set when it is to stop now, or is cancelled.
    pub(super) halt: Token,
    /// It was told to stop.
    pub(super) stopping: AtomicBool,
    restarts: AtomicU32,
    last_failure: Mutex<Option<Failure>>,
    done: Mutex<Done>,
}

struct Done {
    /// Once it has ended.
    exit: Option<Exit>,
    hooks: BTreeMap<u64, Hook>,
    next: u64,
}

impl Core {
    pub(super) fn new(job: Job) -> Arc<Self> {
        let halt = job.token().child();
        Arc::new(Self {
            job,
            halt,
            stopping: AtomicBool::new(false),
            restarts: AtomicU32::new(0),
            last_failure: Mutex::new(None),
            done: Mutex::new(Done { exit: None, hooks: BTreeMap::new(), next: 0 }),
        })
    }

    /// A number for a hook that is given later.
    pub(super) fn reserve(&self) -> u64 {
        let mut done = self.done.lock();
        done.next += 1;
        done.next
    }

    /// Calls a hook with the exit, once: when the actor ends, or now if it has.
    pub(super) fn on_done(&self, number: u64, hook: Hook) {
        let mut done = self.done.lock();
        match done.exit.clone() {
            Some(exit) => {
                drop(done);
                contain(|| hook(&exit));
            }
            None => {
                done.hooks.insert(number, hook);
            }
        }
    }

    /// Forgets a hook that was not called yet.
    pub(super) fn forget(&self, number: u64) {
        let hook = self.done.lock().hooks.remove(&number);
        drop(hook);
    }

    /// The actor has ended. Calls the hooks, in the order in which they came; what panics in one
    /// does not keep the next from being called.
    pub(super) fn settle(&self, exit: &Exit) {
        let hooks = {
            let mut done = self.done.lock();
            done.exit = Some(exit.clone());
            std::mem::take(&mut done.hooks)
        };
        for hook in hooks.into_values() {
            contain(|| hook(exit));
        }
    }

    #[cfg(test)]
    pub(super) fn hooks_len(&self) -> usize {
        self.done.lock().hooks.len()
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        self.done.lock().exit.clone()
    }

    pub(super) fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub(super) fn last_failure(&self) -> Option<Failure> {
        self.last_failure.lock().clone()
    }

    pub(super) fn note_failure(&self, failure: Failure) {
        let before = self.last_failure.lock().replace(failure);
        // What it was thrown with may do anything when dropped.
        contain(|| drop(before));
    }

    pub(super) fn note_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Why it ends, when its mailbox or `halt` says that it does.
    pub(super) fn why(&self) -> Exit {
        if self.job.is_told() {
            let reason = self.job.reason().unwrap_or_else(|| "cancelled".into());
            Exit::Cancelled { reason }
        } else if self.stopping.load(Ordering::Acquire) {
            Exit::Stopped
        } else {
            Exit::Abandoned
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actor")
            .field("job", &self.job)
            .field("restarts", &self.restarts())
            .field("exit", &self.exit())
            .finish_non_exhaustive()
    }
}
