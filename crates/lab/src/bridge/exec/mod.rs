// SPDX-License-Identifier: BSD-3-Clause
//! An adapter that is a process of its own, written in any language.
//!
//! ```text
//!   lab ── contract ──► Remote (ingress) ─┐              request ►
//!                                         ├─► Child ═══ stdin, stdout ═══ python3 adapter.py
//!   lab ── contract ──► Remote (egress)  ─┘              ◄ answer
//! ```
//!
//! One process serves both adapters of a pair. It receives one request at a time and answers each:
//! a call of the contract is one request and one answer, so a run with a process repeats as one
//! without. The messages are in `wire`, and described in the book.
//!
//! A process may declare that it starts anew at a hello, and then serves one pair after another.
//! Every second pair gets a fresh process nevertheless, so that state kept between runs shows as a
//! different trace.
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
//! 1. Whatever the process does, a request takes at most two idle timeouts: one for the answer, and
//!    one for the end of a process that closed its side. The process ends, with everything that it
//!    started, with the last adapter that it serves, or with the [`Exec`] that keeps it.
//! 2. The idle timeout is the only clock: a process that does not answer in time hangs. No verdict
//!    depends on how long an answer took.
//! 3. When a process fails, the flows of its pair are reset, as by a failing adapter: the verdict
//!    is made from that. [`Exec::mishaps`] has the details for people. A process that ends during a
//!    run ends the check, which reports how it ended.

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

/// Default time for each answer.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of idle processes that are kept for the next pair.
const IDLE_MAX: usize = 8;
/// After a process has hung, the idle timeout is divided by this, down to a minimum. The first
/// hello of a process has its own timeout, because starting takes as long as the machine is busy.
const HUNG_DIVISOR: u32 = 20;
const IDLE_TIMEOUT_MIN: Duration = Duration::from_millis(500);
/// Maximum number of distinct mishaps that are kept: the first ones.
const MISHAPS_MAX: usize = 16;

/// A command whose process serves adapters.
#[derive(Clone)]
pub struct Exec {
    inner: Arc<Inner>,
}

struct Inner {
    command: Vec<String>,
    idle_timeout: Duration,
    idle: Mutex<Vec<Child>>,
    /// Pairs that were created.
    made: AtomicU64,
    has_hung: AtomicBool,
    /// A process hung at its start.
    has_hung_at_once: AtomicBool,
    mishaps: Mutex<Vec<ExecError>>,
}

/// Shows only the program: the rest of the command may be confidential.
impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("program", &self.inner.command.first()).finish_non_exhaustive()
    }
}

impl Exec {
    /// Parses a command, split at spaces outside quotes. It is run without a shell.
    ///
    /// # Errors
    ///
    /// [`ExecError::Command`].
    pub fn new(command: &str) -> Result<Self, ExecError> {
        Ok(Self::of(words::words(command)?, IDLE_TIMEOUT))
    }

    /// As [`Self::new`], with another idle timeout.
    ///
    /// # Errors
    ///
    /// [`ExecError::Command`].
    pub fn with_idle_timeout(command: &str, idle_timeout: Duration) -> Result<Self, ExecError> {
        Ok(Self::of(words::words(command)?, idle_timeout))
    }

    fn of(command: Vec<String>, idle_timeout: Duration) -> Self {
        let (idle, mishaps) = (Mutex::default(), Mutex::default());
        let (has_hung, has_hung_at_once) = (AtomicBool::new(false), AtomicBool::new(false));
        let made = AtomicU64::new(0);
        let inner =
            Inner { command, idle_timeout, idle, made, has_hung, has_hung_at_once, mishaps };
        Self { inner: Arc::new(inner) }
    }

    /// Starts a process, reads its manifests and ends it: checks whether the command works at all.
    ///
    /// # Errors
    ///
    /// The process cannot be started, or its answer is invalid.
    pub fn try_it(&self, limits: Limits) -> Result<[Manifest; 2], ExecError> {
        self.start(limits).map(|(_, welcome)| welcome.manifests)
    }

    /// Creates a pair. Without a process, the pair claims everything and every call fails, so it
    /// cannot pass.
    #[must_use]
    pub fn pair(&self, limits: Limits) -> Pair {
        let made = self.inner.made.fetch_add(1, Ordering::Relaxed);
        let idle = if made % 2 == 1 { self.inner.idle.lock().pop() } else { None };
        let started = match idle {
            Some(mut child) => {
                child.set_idle_timeout(self.idle_timeout(&self.inner.has_hung));
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

    /// What went wrong with processes so far, each once, oldest first; sixteen at most.
    #[must_use]
    pub fn mishaps(&self) -> Vec<String> {
        self.inner.mishaps.lock().iter().map(ToString::to_string).collect()
    }

    /// The hint of the first mishap that has one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.inner.mishaps.lock().iter().find_map(ExecError::hint)
    }

    /// The timeout is shorter after a hang; otherwise a check of an adapter that always hangs would
    /// take hours.
    fn idle_timeout(&self, has_hung: &AtomicBool) -> Duration {
        match has_hung.load(Ordering::Relaxed) {
            false => self.inner.idle_timeout,
            true => (self.inner.idle_timeout / HUNG_DIVISOR)
                .max(IDLE_TIMEOUT_MIN)
                .min(self.inner.idle_timeout),
        }
    }

    /// Kills all processes of all commands, with everything that they started, and prevents further
    /// starts: for a program that exits without dropping its values, as at Ctrl-C. A pair that
    /// continues fails.
    pub fn kill_all() {
        child::kill_all();
    }

    fn start(&self, limits: Limits) -> Result<(Child, Welcome), ExecError> {
        let Inner { command, has_hung, has_hung_at_once, .. } = &*self.inner;
        let mut child = Child::start(command, self.idle_timeout(has_hung_at_once))?;
        let welcome = hello(&mut child, limits).inspect_err(|error| {
            if matches!(error, ExecError::Hung(_) | ExecError::Closed) {
                has_hung_at_once.store(true, Ordering::Relaxed);
            }
        })?;
        child.set_idle_timeout(self.idle_timeout(has_hung));
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
