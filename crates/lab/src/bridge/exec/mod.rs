// SPDX-License-Identifier: BSD-3-Clause
//! An adapter that is a process of its own, written in any language.
//!
//! ```text
//!   lab ── contract ──► Remote (ingress) ─┐              request ►
//!                                         ├─► Child ═══ stdin, stdout ═══ python3 adapter.py
//!   lab ── contract ──► Remote (egress)  ─┘              ◄ answer
//! ```
//!
//! One process serves both adapters of a pair. It is asked one thing at a time and answers each: what
//! the contract calls is one request and one answer, so a run with a process repeats as one without.
//! What is asked and answered is in `wire`, and for people in the book.
//!
//! A process that says that it can begins anew at a hello, and serves one pair after the other.
//! Every second pair gets a fresh one all the same, so that what it keeps from one run to the next
//! shows as another trace.
//!
//! | file | holds |
//! |---|---|
//! | `wire` | requests and answers, as bytes |
//! | `child` | one process, from its start to its end |
//! | `adapter` | the two adapters that one process serves |
//! | `words` | how a command is split |
//! | `error` | what goes wrong |
//!
//! # Invariants
//!
//! 1. Whatever the process does, a call returns within the patience, and the process ends with the last
//!    adapter that it serves, or with the [`Exec`] that keeps it, and with it what it has started.
//! 2. The patience is the only clock: a process that does not answer for so long has hung. No verdict
//!    depends on how long one took that answered.
//! 3. A process that fails breaks off the flows of its pair, as a failing adapter does: that is what
//!    the verdict is made from. What happened is in [`Exec::mishaps`], for people. One that ends in the
//!    middle ends the check with it, which says how it ended.

mod adapter;
mod child;
mod error;
mod wire;
mod words;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use self::adapter::{Remote, Shared};
use self::child::Child;
pub use self::error::ExecError;
use self::wire::{Answer, Op, Request, Welcome};
use super::{crashes, hangs};
use crate::adapters::Pair;
use crate::contract::{Capabilities, Limits, Manifest};

/// A process has so long for each answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Processes that wait for the next pair.
const IDLE_MAX: usize = 8;
/// Once a process has hung, the patience is so many times shorter, but no shorter than this. That a
/// process which was just started says hello has its own: starting takes as long as the machine is busy.
const IMPATIENCE: u32 = 20;
const PATIENCE_MIN: Duration = Duration::from_millis(500);
/// So many mishaps are kept, each in other words: the first.
const MISHAPS_MAX: usize = 16;

/// A command whose process serves adapters.
#[derive(Clone)]
pub struct Exec {
    inner: Arc<Inner>,
}

struct Inner {
    command: Vec<String>,
    patience: Duration,
    idle: Mutex<Vec<Child>>,
    /// Pairs that were made.
    made: AtomicU64,
    has_hung: AtomicBool,
    /// One that was just started has.
    has_hung_at_once: AtomicBool,
    mishaps: Mutex<Vec<ExecError>>,
}

/// The command may hold what is not for everyone: its program alone is shown.
impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("program", &self.inner.command.first()).finish_non_exhaustive()
    }
}

impl Exec {
    /// A command, split at spaces but for those between quotes, that is run without a shell.
    ///
    /// # Errors
    ///
    /// [`ExecError::Command`].
    pub fn new(command: &str) -> Result<Self, ExecError> {
        Ok(Self::of(words::words(command)?, PATIENCE))
    }

    /// As [`Self::new`], with another patience.
    ///
    /// # Errors
    ///
    /// [`ExecError::Command`].
    pub fn with_patience(command: &str, patience: Duration) -> Result<Self, ExecError> {
        Ok(Self::of(words::words(command)?, patience))
    }

    fn of(command: Vec<String>, patience: Duration) -> Self {
        let (idle, mishaps) = (Mutex::default(), Mutex::default());
        let (has_hung, has_hung_at_once) = (AtomicBool::new(false), AtomicBool::new(false));
        let made = AtomicU64::new(0);
        let inner = Inner { command, patience, idle, made, has_hung, has_hung_at_once, mishaps };
        Self { inner: Arc::new(inner) }
    }

    /// Starts a process, has it say what it is, and ends it: whether the command works at all.
    ///
    /// # Errors
    ///
    /// What went wrong.
    pub fn try_it(&self, limits: Limits) -> Result<[Manifest; 2], ExecError> {
        self.start(limits).map(|(_, welcome)| welcome.manifests)
    }

    /// Makes a pair. If there is no process for it, every call of the pair fails: it claims
    /// everything and does nothing, so it does not pass.
    #[must_use]
    pub fn pair(&self, limits: Limits) -> Pair {
        let made = self.inner.made.fetch_add(1, Ordering::Relaxed);
        let idle = if made % 2 == 1 { self.inner.idle.lock().pop() } else { None };
        let started = match idle {
            Some(mut child) => {
                child.set_patience(self.patience(&self.inner.has_hung));
                hello(&mut child, limits).map(|welcome| (child, welcome))
            }
            None => self.start(limits),
        };
        let (child, manifests) = match started {
            Ok((child, Welcome { is_reusable, manifests })) => {
                (Ok((child, is_reusable)), manifests)
            }
            Err(error) => {
                let capabilities = Capabilities::ALL;
                let manifest = Manifest { name: "exec".into(), capabilities, limits };
                (Err(error), [manifest.clone(), manifest])
            }
        };
        let shared = Rc::new(RefCell::new(Shared::new(self.clone(), child)));
        let [ingress, egress] = manifests;
        let ingress = Remote::new(&shared, ingress, false);
        (Box::new(ingress), Box::new(Remote::new(&shared, egress, true)))
    }

    /// What went wrong with processes until here, each once, oldest first; sixteen at most.
    #[must_use]
    pub fn mishaps(&self) -> Vec<String> {
        self.inner.mishaps.lock().iter().map(ToString::to_string).collect()
    }

    /// What to try, of the first mishap for which there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.inner.mishaps.lock().iter().find_map(ExecError::hint)
    }

    /// Whoever has hung once is waited for less, lest a check of one who always hangs takes hours.
    fn patience(&self, has_hung: &AtomicBool) -> Duration {
        match has_hung.load(Ordering::Relaxed) {
            false => self.inner.patience,
            true => (self.inner.patience / IMPATIENCE).max(PATIENCE_MIN).min(self.inner.patience),
        }
    }

    /// Kills all processes of all commands, and what they have started, and lets none start any more:
    /// for who ends without dropping what it has, as at Ctrl-C. A pair that goes on fails.
    pub fn kill_all() {
        child::kill_all();
    }

    fn start(&self, limits: Limits) -> Result<(Child, Welcome), ExecError> {
        let Inner { command, has_hung, has_hung_at_once, .. } = &*self.inner;
        let mut child = Child::start(command, self.patience(has_hung_at_once))?;
        let welcome = hello(&mut child, limits).inspect_err(|error| {
            if matches!(error, ExecError::Hung(_) | ExecError::Closed) {
                has_hung_at_once.store(true, Ordering::Relaxed);
            }
        })?;
        child.set_patience(self.patience(has_hung));
        Ok((child, welcome))
    }

    fn mishap(&self, error: ExecError) {
        if let ExecError::Ended(how) = error {
            crashes::note(how);
        }
        if matches!(error, ExecError::Hung(_) | ExecError::Closed) {
            self.inner.has_hung.store(true, Ordering::Relaxed);
            hangs::count();
        }
        let mut mishaps = self.inner.mishaps.lock();
        let said = error.to_string();
        if mishaps.len() < MISHAPS_MAX && mishaps.iter().all(|known| known.to_string() != said) {
            mishaps.push(error);
        }
    }

    fn keep(&self, child: Child) {
        let mut idle = self.inner.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(child);
        }
    }
}

fn hello(child: &mut Child, limits: Limits) -> Result<Welcome, ExecError> {
    Answer::read(child.ask(&Request::hello(limits).into_bytes())?, Op::Hello)?.welcome()
}
