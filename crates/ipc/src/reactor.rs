// SPDX-License-Identifier: BSD-3-Clause
//! The thread that waits for file descriptors, one for the process.
//!
//! It sleeps in epoll and calls *ready* on the owner of each descriptor, one after the other, on
//! its own stack; the callee must not wait. Events are edge-triggered: a change is reported once,
//! and the owner reads until nothing is left, or requests another call by [`again`]. An owner that does so
//! keeps a [`Requested`]: until the requested call begins, neither another request nor an event adds a call.
//! So a peer that sends without end has one call of its owner at a time, as one that sends little.
//!
//! ```text
//!   epoll ──► number ──► Weak<dyn Ready> ─┐
//!                                         ├─► turns, by account ──► ready()
//!   again ──► list ─────► Arc<dyn Ready> ─┘
//! ```
//!
//! The process at the other end of a descriptor has an [account](Account): while more than one call
//! waits, each account has the same part of the thread's time, however many descriptors it has.
//! `SLICE` is the time between two looks at epoll while calls wait. An account that keeps the
//! thread busy while others wait is served by a second thread, `reactor/lanes`.
//!
//! A guarded item is checked every `TICK`, until it declines: a connection that a thread has
//! retained is freed if it was not used since the last check (see `connection::claim`). A timer
//! that each use restarts would cost each use an atomic exchange with this thread. The thread wakes
//! for checks only while an item is guarded; otherwise it sleeps until an event. Before it sleeps it
//! looks again a few times if that has paid off lately: see `reactor/patience`.
//!
//! # Invariants
//!
//! 1. A number is never reused: a late event finds no owner.
//! 2. A descriptor is watched while its [`Watched`] lives, which is dropped before the descriptor
//!    is closed.
//! 3. An owner with a [`Requested`] waits for at most two turns: one of its descriptor, one that it has
//!    requested. If it waits for both, the first one ends at once.

mod calls;
mod lanes;
mod patience;
mod turns;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use self::calls::Calls;
use self::lanes::Lanes;
use self::patience::Patience;
pub use self::turns::Account;

/// The maximum number of events per call of epoll_wait.
const EVENTS_AT_ONCE: usize = 256;
/// The interval between two checks of guarded items.
const TICK: Duration = Duration::from_millis(1);
/// While calls wait, events are looked for each time that this has passed; a call that has more to
/// do than that requests another one.
const SLICE: Duration = Duration::from_micros(100);
/// The number of the descriptor that wakes the thread.
const WAKE: u64 = 0;

/// Notified when a descriptor is ready. Called on an I/O thread: it must not wait.
pub trait Ready: Send + Sync {
    /// One of its descriptors is readable or writable, has ended, or [`again`] was called.
    fn ready(self: Arc<Self>);

    /// On whose account it is called.
    fn account(&self) -> Account {
        Account::OWN
    }

    /// For an owner that requests calls by [`again`] more than once.
    fn requested(&self) -> Option<&Requested> {
        None
    }
}

/// Whether a call by [`again`] is requested and has not begun.
#[derive(Debug, Default)]
pub struct Requested(AtomicBool);

/// Checked each millisecond, until it declines.
pub(crate) trait Guarded: Send + Sync {
    /// A millisecond has passed. False: no further checks.
    fn tick(self: Arc<Self>) -> bool;
}

/// The time that a call has. Its clock starts when it is looked at first, so that a call which has
/// little to do reads no clock.
#[derive(Debug, Default)]
pub(crate) struct Slice(Option<Instant>);

/// A watched descriptor. Dropping it ends the watch.
#[derive(Debug)]
#[must_use = "dropping it ends the watch"]
pub struct Watched {
    number: u64,
    /// A duplicate: closing it removes it from epoll, whatever happens to the original.
    descriptor: OwnedFd,
}

struct Reactor {
    /// Where its thread is.
    process: u32,
    epoll: OwnedFd,
    wake: OwnedFd,
    next: AtomicU64,
    owners: Mutex<HashMap<u64, Owner>>,
    calls: Calls<Arc<dyn Ready>, Weak<dyn Guarded>>,
    lanes: Lanes<Turn>,
    /// Whether the thread of the second lane could be started; unset until it is needed.
    has_second: OnceLock<bool>,
}

struct Owner {
    ready: Weak<dyn Ready>,
    /// A call of it waits for its turn: later events need no other one.
    is_waiting: bool,
}

impl Slice {
    /// Whether the time is over.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        now.saturating_duration_since(*self.0.get_or_insert(now)) >= SLICE
    }
}

impl Requested {
    /// False: a call is requested already.
    fn request(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// The call begins. Acquires what was written before each request that it covers.
    fn begin(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }

    fn is_pending(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A call that waits for its turn.
enum Turn {
    Watched(u64),
    Again(Arc<dyn Ready>),
}

/// Starts the I/O thread, if it is not running. Called before a handshake begins: on a busy machine
/// the kernel may need seconds for the one-time setup, which is longer than a peer waits.
///
/// # Errors
///
/// As for [`watch`].
pub(crate) fn start() -> io::Result<()> {
    reactor_here().map(drop)
}

/// Watches a descriptor for its owner: for input, room to write, end and error.
///
/// # Errors
///
/// The system's error: no more descriptors, watches or threads are available. `ENOTRECOVERABLE`: this is a
/// child process of `fork`, and its parent had started the thread, which was not copied.
pub fn watch(descriptor: BorrowedFd<'_>, owner: Weak<dyn Ready>) -> io::Result<Watched> {
    let reactor = reactor_here()?;
    let descriptor = descriptor.try_clone_to_owned()?;
    let number = reactor.next.fetch_add(1, Ordering::Relaxed);
    reactor.owners.lock().insert(number, Owner { ready: owner, is_waiting: false });
    let watched = Watched { number, descriptor };
    let flags = epoll::EventFlags::IN
        | epoll::EventFlags::OUT
        | epoll::EventFlags::RDHUP
        | epoll::EventFlags::ET;
    let data = epoll::EventData::new_u64(number);
    epoll::add(&reactor.epoll, &watched.descriptor, data, flags)?;
    Ok(watched)
}

/// Requests a call of `ready` by the I/O thread, after it has served the other owners. If `ready` has a
/// [`Requested`], a call that is requested already covers this one.
///
/// # Errors
///
/// As for [`watch`].
pub fn again(ready: &Arc<impl Ready + 'static>) -> io::Result<()> {
    reactor()?.again(ready);
    Ok(())
}

/// Requests a check of an item by the I/O thread each millisecond, until it declines.
pub(crate) fn guard(guarded: Weak<dyn Guarded>) {
    // Without the thread nothing is watched, and nothing was started.
    if let Ok(reactor) = reactor()
        && reactor.calls.guard(guarded)
    {
        reactor.wake();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(Ok(reactor)) = REACTOR.get() {
            // If the watch was refused, there is nothing to delete.
            let _gone = epoll::delete(&reactor.epoll, &self.descriptor);
            reactor.owners.lock().remove(&self.number);
        }
    }
}

static REACTOR: OnceLock<Result<Arc<Reactor>, Errno>> = OnceLock::new();

fn reactor() -> io::Result<&'static Reactor> {
    let reactor = REACTOR.get_or_init(|| {
        // Otherwise the first channel would register, possibly under a connection's lock.
        becket_chan::fence::register();
        let reactor = Arc::new(Reactor::new()?);
        let own = reactor.clone();
        std::thread::Builder::new()
            .name("becket-ipc".into())
            .spawn(move || run(&own))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        Ok(reactor)
    });
    reactor.as_deref().map_err(|errno| (*errno).into())
}

/// The same, if its thread is in this process.
fn reactor_here() -> io::Result<&'static Reactor> {
    let reactor = reactor()?;
    if reactor.process != std::process::id() {
        return Err(Errno::NOTRECOVERABLE.into());
    }
    Ok(reactor)
}

/// The thread.
fn run(reactor: &Arc<Reactor>) {
    let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
    let mut ticked = None;
    let mut patience = Patience::new();
    loop {
        events.clear();
        let until_tick = reactor.until_tick(&mut ticked);
        if let Err(errno) = reactor.wait(&mut events, until_tick, &mut patience) {
            tracing::error!(%errno, "the I/O thread of becket-ipc cannot wait any more");
            return;
        }
        for event in &events {
            reactor.enqueue(event.data.u64());
        }
        reactor.push_again();
        reactor.serve_slice();
    }
}

impl Reactor {
    fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, wake.as_fd(), epoll::EventData::new_u64(WAKE), flags)?;
        Ok(Self {
            process: std::process::id(),
            epoll,
            wake,
            next: AtomicU64::new(WAKE + 1),
            owners: Mutex::default(),
            calls: Calls::new(),
            lanes: Lanes::new(),
            has_second: OnceLock::new(),
        })
    }

    /// Waits for events, unless calls wait for their turns.
    fn wait(
        &self,
        events: &mut Vec<epoll::Event>,
        until_tick: Option<Timespec>,
        patience: &mut Patience,
    ) -> Result<(), Errno> {
        if !self.lanes.is_empty() {
            return self.look(events, Some(&Timespec::default()));
        }
        for _ in 0..patience.yields() {
            std::thread::yield_now();
            self.look(events, Some(&Timespec::default()))?;
            if !events.is_empty() {
                patience.ended(true);
                return Ok(());
            }
        }
        patience.ended(false);
        self.look(events, until_tick.as_ref())
    }

    fn look(
        &self,
        events: &mut Vec<epoll::Event>,
        timeout: Option<&Timespec>,
    ) -> Result<(), Errno> {
        match epoll::wait(&self.epoll, spare_capacity(events), timeout) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn again(&self, ready: &Arc<impl Ready + 'static>) {
        if ready.requested().is_none_or(Requested::request) && self.calls.again(ready.clone()) {
            self.wake();
        }
    }

    /// Wakes the thread.
    fn wake(&self) {
        // Fails only when the counter is at its maximum; the thread is then woken anyway.
        let _written = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// A watched descriptor has an event.
    fn enqueue(&self, number: u64) {
        let ready = match self.owners.lock().get_mut(&number) {
            Some(owner) if !owner.is_waiting => {
                owner.is_waiting = true;
                owner.ready.upgrade()
            }
            _ => None,
        };
        // Dropped without the lock: it may be the last reference, and end a watch.
        if let Some(ready) = ready {
            self.lanes.push(ready.account(), Turn::Watched(number));
        }
    }

    /// The requested calls wait for their turns.
    fn push_again(&self) {
        for ready in self.calls.take_again() {
            self.lanes.push(ready.account(), Turn::Again(ready));
        }
    }

    /// Serves the first lane for the time of a slice, at least one turn.
    fn serve_slice(self: &Arc<Self>) {
        let begin = Instant::now();
        let mut now = begin;
        while let Some((account, turn)) = self.lanes.pop() {
            self.serve(turn);
            let before = std::mem::replace(&mut now, Instant::now());
            self.lanes.took(account, now.saturating_duration_since(before), now);
            if now.saturating_duration_since(begin) >= SLICE {
                if let Some(busiest) = self.lanes.busiest()
                    && self.has_second()
                {
                    self.lanes.change(busiest);
                }
                return;
            }
        }
    }

    fn serve(&self, turn: Turn) {
        let ready = match turn {
            // The requested call has its turn later, on the same account, and covers the event.
            Turn::Watched(number) => self
                .take_turn(number)
                .filter(|ready| !ready.requested().is_some_and(Requested::is_pending)),
            Turn::Again(ready) => {
                if let Some(requested) = ready.requested() {
                    requested.begin();
                }
                Some(ready)
            }
        };
        if let Some(ready) = ready {
            ready.ready();
        }
    }

    /// Whether the second lane has a thread. It is started when it is needed first.
    fn has_second(self: &Arc<Self>) -> bool {
        *self.has_second.get_or_init(|| {
            let own = self.clone();
            let started = std::thread::Builder::new()
                .name("becket-ipc-2".into())
                .spawn(move || own.lanes.serve_second(|turn| own.serve(turn)));
            if let Err(error) = &started {
                tracing::warn!(%error, "busy peers share the I/O thread of becket-ipc with the others");
            }
            started.is_ok()
        })
    }

    /// The owner of a descriptor, whose next event will be a turn of its own.
    fn take_turn(&self, number: u64) -> Option<Arc<dyn Ready>> {
        let mut owners = self.owners.lock();
        let owner = owners.get_mut(&number)?;
        owner.is_waiting = false;
        owner.ready.upgrade()
    }

    /// The timeout of epoll_wait; runs the checks first if they are due.
    fn until_tick(&self, ticked: &mut Option<Instant>) -> Option<Timespec> {
        if !self.calls.is_guarding() {
            *ticked = None;
            return None;
        }
        let now = Instant::now();
        if now.saturating_duration_since(*ticked.get_or_insert(now)) >= TICK {
            *ticked = Some(now);
            self.calls.tick(|one| one.upgrade().is_some_and(|one| one.tick()));
        }
        Some(Timespec { tv_sec: 0, tv_nsec: TICK.as_nanos() as i64 })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicUsize;

    use becket_chan::{Sender, bounded};

    use super::*;

    struct Counted(Sender<usize>, AtomicUsize);

    impl Ready for Counted {
        fn ready(self: Arc<Self>) {
            let times = self.1.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.try_send(times).unwrap();
        }
    }

    #[test]
    fn input_and_end_are_reported_until_the_watch_is_dropped() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (tx, rx) = bounded(16);
        let counted = Arc::new(Counted(tx, AtomicUsize::new(0)));
        let owner: Arc<dyn Ready> = counted.clone();
        let watched = watch(reader.as_fd(), Arc::downgrade(&owner)).unwrap();
        rustix::io::write(&writer, b"a").unwrap();
        assert_eq!(rx.recv().wait(), Ok(1));
        rustix::io::write(&writer, b"b").unwrap();
        assert_eq!(rx.recv().wait(), Ok(2));
        drop(watched);
        drop(writer);
        // This call comes last: the end of the pipe was not reported.
        again(&counted).unwrap();
        assert_eq!(rx.recv().wait(), Ok(3));
        assert_eq!(rx.try_recv().ok(), None);
    }

    struct Uses(AtomicUsize);

    impl Guarded for Uses {
        fn tick(self: Arc<Self>) -> bool {
            self.0.fetch_sub(1, Ordering::Relaxed) > 1
        }
    }

    #[test]
    fn it_has_a_deadline_only_while_something_is_guarded() {
        let reactor = Reactor::new().unwrap();
        let mut ticked = None;
        assert!(reactor.until_tick(&mut ticked).is_none());
        let guarded: Arc<dyn Guarded> = Arc::new(Uses(AtomicUsize::new(3)));
        assert!(reactor.calls.guard(Arc::downgrade(&guarded)));
        // It was used twice more, and then no more.
        for _ in 0..3 {
            assert!(reactor.until_tick(&mut ticked).is_some());
            ticked = Some(Instant::now() - TICK);
        }
        assert!(reactor.until_tick(&mut ticked).is_some());
        assert!(reactor.until_tick(&mut ticked).is_none() && ticked.is_none());
    }

    #[test]
    fn a_request_for_another_call_is_served() {
        let (tx, rx) = bounded(16);
        let counted = Arc::new(Counted(tx, AtomicUsize::new(0)));
        for times in 1..=10 {
            again(&counted).unwrap();
            assert_eq!(rx.recv().wait(), Ok(times));
        }
    }

    /// Requests another call in each call, as the owner of a flooded descriptor does.
    struct Flooded {
        reactor: Arc<Reactor>,
        requested: Requested,
        calls: AtomicUsize,
    }

    impl Ready for Flooded {
        fn ready(self: Arc<Self>) {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.reactor.again(&self);
        }

        fn requested(&self) -> Option<&Requested> {
            Some(&self.requested)
        }
    }

    #[test]
    fn an_owner_that_is_flooded_has_one_call_for_each_call_of_another_one() {
        const ROUNDS: usize = 100;
        let reactor = Arc::new(Reactor::new().unwrap());
        let owner = || {
            let (requested, calls) = (Requested::default(), AtomicUsize::new(0));
            Arc::new(Flooded { reactor: reactor.clone(), requested, calls })
        };
        let [flooded, other] = [owner(), owner()];
        let ready: Arc<dyn Ready> = flooded.clone();
        let owner = Owner { ready: Arc::downgrade(&ready), is_waiting: false };
        reactor.owners.lock().insert(7, owner);
        drop(ready);
        reactor.again(&flooded);
        reactor.again(&other);
        for _ in 0..ROUNDS {
            // Both have more to do in each call, and one of them has an event before each call too.
            reactor.enqueue(7);
            reactor.push_again();
            let turns = reactor.lanes.waiting(Account::OWN);
            assert!(turns <= 3, "{turns} turns of two owners and one event");
            for _ in 0..turns {
                let (account, turn) = reactor.lanes.pop().unwrap();
                reactor.serve(turn);
                reactor.lanes.took(account, Duration::ZERO, Instant::now());
            }
        }
        let calls = [&flooded, &other].map(|owner| owner.calls.load(Ordering::Relaxed));
        assert_eq!(calls, [ROUNDS; 2]);
    }
}
