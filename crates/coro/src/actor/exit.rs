// SPDX-License-Identifier: BSD-3-Clause
//! How an actor ended, and its exit hooks.

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
    /// Its last address was dropped, and it had handled the messages in the mailbox.
    Abandoned,
    /// It was cancelled, or its runtime ended.
    Cancelled {
        /// The reason, as text.
        reason: Reason,
    },
    /// It failed, and was not restarted.
    Failed {
        /// The last failure: a panic with its message, or an error.
        failure: Failure,
        /// The number of restarts before.
        restarts: u32,
    },
}

impl Exit {
    /// Whether it was neither cancelled nor failed.
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self, Self::Stopped | Self::Abandoned)
    }

    /// The failure, if there was one.
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
            Self::Abandoned => f.write_str("stopped: its last address was dropped"),
            Self::Cancelled { reason } => write!(f, "cancelled: {reason}"),
            Self::Failed { failure, restarts } => write!(f, "{failure} (restarts: {restarts})"),
        }
    }
}

/// Called with an actor's exit.
pub(super) type Hook = Box<dyn FnOnce(&Exit) + Send>;

/// The part of an actor that does not depend on its message type.
pub(super) struct Core {
    pub(super) job: Job,
    /// Cancelled when the actor is to stop now, or is cancelled.
    pub(super) halt: Token,
    /// [`Address::stop`](super::Address::stop) was called.
    pub(super) stopping: AtomicBool,
    restarts: AtomicU32,
    last_failure: Mutex<Option<Failure>>,
    done: Mutex<Done>,
}

struct Done {
    /// `None` until it has ended.
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

    /// Reserves a number for a hook that is set later.
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

    /// Removes a hook that was not called yet.
    pub(super) fn forget(&self, number: u64) {
        let hook = self.done.lock().hooks.remove(&number);
        drop(hook);
    }

    /// Records the exit. Calls the hooks, in the order in which they were set; a panic in one does
    /// not keep the next from being called.
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
        // The drop of the payload is user code.
        contain(|| drop(before));
    }

    pub(super) fn note_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// The exit of an actor that ended because its mailbox closed or `halt` was cancelled.
    pub(super) fn why(&self) -> Exit {
        if self.job.is_cancelled_above() {
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
