// SPDX-License-Identifier: BSD-3-Clause
//! The thread that waits for file descriptors, one for the process.
//!
//! It sleeps in epoll and says *ready* to whom a descriptor belongs, in turn and on its own stack;
//! what is done there must not wait. Events are edge-triggered: a descriptor is told of once, and
//! whoever was told reads until nothing is left, or asks to be told [`again`].
//!
//! ```text
//!   epoll ──► number ──► Weak<dyn Ready> ──► ready()
//!   again ──► queue  ──►            ready(), one after the other, between looks at epoll
//! ```
//!
//! # Invariants
//!
//! 1. A number is never given twice: an event that comes late finds nobody.
//! 2. A descriptor is watched while its [`Watched`] lives. Who drops that closes the descriptor after.

mod calls;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use self::calls::Calls;

/// Events that are taken at once.
const EVENTS_AT_ONCE: usize = 256;
/// What is guarded is looked at so often.
const TICK: Duration = Duration::from_millis(1);
/// The number of the descriptor by which the thread is woken.
const WAKE: u64 = 0;

/// Told when there is something to do. Called on the I/O thread: it does what it can and returns.
pub trait Ready: Send + Sync {
    /// One of its descriptors can be read or written, has ended, or it asked to be told again.
    fn ready(self: Arc<Self>);
}

/// Looked at each millisecond, for as long as it wants.
pub(crate) trait Guarded: Send + Sync {
    /// A millisecond has passed. False: no more.
    fn tick(self: Arc<Self>) -> bool;
}

/// A descriptor that is watched, until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the watch"]
pub struct Watched {
    number: u64,
    /// A duplicate: epoll forgets it when this is closed, whatever became of the original.
    descriptor: OwnedFd,
}

struct Reactor {
    epoll: OwnedFd,
    wake: OwnedFd,
    next: AtomicU64,
    owners: Mutex<HashMap<u64, Weak<dyn Ready>>>,
    calls: Calls<Arc<dyn Ready>, Weak<dyn Guarded>>,
}

/// Has the I/O thread run, before there is anything that it could delay: on a busy machine the kernel
/// may take seconds for what it needs once, and a peer does not wait so long.
///
/// # Errors
///
/// As for [`watch`].
pub(crate) fn start() -> io::Result<()> {
    reactor().map(drop)
}

/// Watches a descriptor for whoever it belongs to: for input, room to write, end and error.
///
/// # Errors
///
/// The system's, when it has no more descriptors, watches or threads to give.
pub fn watch(descriptor: BorrowedFd<'_>, owner: Weak<dyn Ready>) -> io::Result<Watched> {
    let reactor = reactor()?;
    let descriptor = descriptor.try_clone_to_owned()?;
    let number = reactor.next.fetch_add(1, Ordering::Relaxed);
    reactor.owners.lock().insert(number, owner);
    let watched = Watched { number, descriptor };
    let flags = epoll::EventFlags::IN
        | epoll::EventFlags::OUT
        | epoll::EventFlags::RDHUP
        | epoll::EventFlags::ET;
    let data = epoll::EventData::new_u64(number);
    epoll::add(&reactor.epoll, &watched.descriptor, data, flags)?;
    Ok(watched)
}

/// Has the I/O thread call `ready`, after it has looked at everybody else. Each `Ready` should be in
/// the queue once at most: it keeps a flag.
///
/// # Errors
///
/// As for [`watch`].
pub fn again(ready: Arc<dyn Ready>) -> io::Result<()> {
    let reactor = reactor()?;
    if reactor.calls.again(ready) {
        reactor.wake();
    }
    Ok(())
}

/// Has the I/O thread look at something each millisecond, until it wants no more.
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
            // It may have been refused: then it is not there.
            let _gone = epoll::delete(&reactor.epoll, &self.descriptor);
            reactor.owners.lock().remove(&self.number);
        }
    }
}

static REACTOR: OnceLock<Result<Arc<Reactor>, Errno>> = OnceLock::new();

fn reactor() -> io::Result<&'static Reactor> {
    let reactor = REACTOR.get_or_init(|| {
        // The first channel would do it, maybe under a connection's lock.
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

/// The thread.
fn run(reactor: &Reactor) {
    let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
    let mut ticked = None;
    loop {
        events.clear();
        let timeout = reactor.until_tick(&mut ticked);
        match epoll::wait(&reactor.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => {
                tracing::error!(%errno, "the I/O thread of becket-ipc cannot wait any more");
                return;
            }
        }
        for event in &events {
            reactor.tell(event.data.u64());
        }
        reactor.tell_again();
    }
}

impl Reactor {
    fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, wake.as_fd(), epoll::EventData::new_u64(WAKE), flags)?;
        Ok(Self {
            epoll,
            wake,
            next: AtomicU64::new(WAKE + 1),
            owners: Mutex::default(),
            calls: Calls::new(),
        })
    }

    /// Wakes the thread.
    fn wake(&self) {
        // Fails only when the count is full, and then the thread is woken anyway.
        let _written = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn tell(&self, number: u64) {
        if number == WAKE {
            return;
        }
        let owner = self.owners.lock().get(&number).and_then(Weak::upgrade);
        if let Some(owner) = owner {
            owner.ready();
        }
    }

    /// How long it may sleep; ticks first if it is time.
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

    /// Those that asked, each once: who asks again meanwhile comes after the next look at epoll.
    fn tell_again(&self) {
        for ready in self.calls.take_again() {
            ready.ready();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicUsize;

    use becket_chan::{Sender, bounded};

    use super::*;

    struct Told(Sender<usize>, AtomicUsize);

    impl Ready for Told {
        fn ready(self: Arc<Self>) {
            let times = self.1.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.try_send(times).unwrap();
        }
    }

    #[test]
    fn it_tells_of_input_and_of_the_end_until_the_watch_is_dropped() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (tx, rx) = bounded(16);
        let told = Arc::new(Told(tx, AtomicUsize::new(0)));
        let owner: Arc<dyn Ready> = told.clone();
        let watched = watch(reader.as_fd(), Arc::downgrade(&owner)).unwrap();
        rustix::io::write(&writer, b"a").unwrap();
        assert_eq!(rx.recv().wait(), Ok(1));
        rustix::io::write(&writer, b"b").unwrap();
        assert_eq!(rx.recv().wait(), Ok(2));
        drop(watched);
        drop(writer);
        // What comes after this was told later: the end of the pipe is not told.
        again(owner).unwrap();
        assert_eq!(rx.recv().wait(), Ok(3));
        assert_eq!(rx.try_recv().ok(), None);
    }

    #[test]
    fn who_asks_again_is_told_again() {
        let (tx, rx) = bounded(16);
        let told: Arc<dyn Ready> = Arc::new(Told(tx, AtomicUsize::new(0)));
        for times in 1..=10 {
            again(told.clone()).unwrap();
            assert_eq!(rx.recv().wait(), Ok(times));
        }
    }
}
