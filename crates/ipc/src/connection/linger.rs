// SPDX-License-Identifier: BSD-3-Clause
//! A closed connection with blocks that one of its sides still holds.
//!
//! ```text
//!   Connection ── closed, by either side ──► Lingering ── no block is out ──► the link is closed
//!                                              │  ▲   └── the peer disconnects ──────────┘
//!                                  releases    ▼  │    releases
//! ```
//!
//! The link and the loans outlive the session: a lent block is not reused before its release has
//! arrived, or the peer has disconnected. The peer disconnects when it holds nothing more, when its
//! process ends, or at once if it does not linger, as versions before this one. Frames other than
//! releases and descriptors crossed with the close, and are ignored.
//!
//! Only the I/O thread serves it: when frames arrive, when there is room, and when a block that this
//! side holds is dropped.
//!
//! # Invariants
//!
//! 1. It is in [`ALL`] until it is over, or displaced; it is over once. At most [`LINGERING_MAX`] are in
//!    it. One that is displaced ends in its next turn: it is displaced under another connection's lock,
//!    which waits for no turn, and possibly in a turn of its own, since a link in memory dispatches the
//!    connection at its other end.
//! 2. Its link is kept, so it counts among the connections of its listener.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use becket_chan::wakes;
use becket_wire::{Frame, Full, Head, Outlet, Session};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::blocks::{Blocks, LINGERING_MAX, Lingerings};
use crate::reactor::{self, Account, Ready, Requested, Watched};
use crate::transport::{Ancillary, Link, LinkCounters, LinkError, OnReady, Peer, Watch};

/// The maximum number of frames taken before other connections are served.
const FRAMES_PER_TURN: usize = 64;

/// All of this process, the oldest first.
static ALL: Mutex<BTreeMap<u64, Arc<Lingering>>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);
static CUT: AtomicU64 = AtomicU64::new(0);

struct Lingering {
    number: u64,
    account: Account,
    /// Its next turn, without an event.
    requested: Requested,
    /// Its next turn ends it. Written before it is queued.
    is_displaced: AtomicBool,
    /// `None`: it is over. Locked by its turns, and once when it begins.
    state: Mutex<Option<State>>,
}

struct State {
    /// Dropped before the link.
    _watched: Option<Watched>,
    link: Box<dyn Link>,
    blocks: Blocks,
    /// The session's `Close`, for which the link had no room yet.
    close: Option<(Head, Bytes)>,
}

enum Turn {
    Again,
    Waits,
    Over,
}

/// Keeps the link of a closed session, until no block is out.
pub(super) fn start(mut link: Box<dyn Link>, session: &mut Session, mut blocks: Blocks) {
    // A thread that drove the connection sees the end.
    if let Some(wait) = link.direct_wait() {
        wait.doorbell().kick();
    }
    let mut close = LastFrame(None);
    session.transmit(&mut close);
    let account = Account::of_process(link.peer().pid);
    let lingering = Arc::new(Lingering {
        number: NEXT.fetch_add(1, Ordering::Relaxed),
        account,
        requested: Requested::default(),
        is_displaced: AtomicBool::new(false),
        state: Mutex::new(None),
    });
    let owner: Arc<dyn Ready> = lingering.clone();
    let mut watched = None;
    if let Some(descriptor) = link.watch().readable_one() {
        match reactor::watch(descriptor, Arc::downgrade(&owner)) {
            Ok(watch) => watched = Some(watch),
            Err(error) => {
                tracing::warn!(%error, "a closed connection cannot wait for its blocks");
                CUT.fetch_add(1, Ordering::Relaxed);
                blocks.ended();
                link.close();
                return;
            }
        }
    }
    let weak = Queue(Arc::downgrade(&lingering));
    let waker: Waker = Arc::new(weak).into();
    if watched.is_none() {
        let waker = waker.clone();
        link.on_ready(Arc::new(move || waker.wake_by_ref()));
    }
    blocks.wake_by(waker);
    *lingering.state.lock() = Some(State { _watched: watched, link, blocks, close: close.0 });
    let displaced = {
        let mut all = ALL.lock();
        all.insert(lingering.number, lingering.clone());
        (all.len() > LINGERING_MAX).then(|| oldest_of_most(&mut all)).flatten()
    };
    if let Some(displaced) = displaced {
        CUT.fetch_add(1, Ordering::Relaxed);
        displaced.is_displaced.store(true, Ordering::Relaxed);
        displaced.queue();
    }
    lingering.queue();
}

/// Removes the oldest of the peers that have the most, the new one included: a peer that never
/// releases displaces its own.
fn oldest_of_most(all: &mut BTreeMap<u64, Arc<Lingering>>) -> Option<Arc<Lingering>> {
    let mut counts = HashMap::<_, usize>::new();
    for one in all.values() {
        *counts.entry(one.account).or_default() += 1;
    }
    let most = counts.values().max().copied()?;
    let number = all.values().find(|one| counts.get(&one.account) == Some(&most))?.number;
    all.remove(&number)
}

/// The closed connections of this process whose blocks are out.
pub(crate) fn all() -> Lingerings {
    Lingerings { now: ALL.lock().len(), cut: CUT.load(Ordering::Relaxed) }
}

impl Lingering {
    fn queue(self: &Arc<Self>) {
        // There is an I/O thread, which the connection has used.
        let _asked = reactor::again(self);
    }

    fn end(&self) {
        let state = self.state.lock().take();
        if let Some(mut state) = state {
            state.blocks.ended();
            state.link.close();
        }
    }
}

impl Ready for Lingering {
    fn ready(self: Arc<Self>) {
        // No task is woken under the lock.
        let deferral = wakes::defer();
        let turn = match &mut *self.state.lock() {
            Some(_) if self.is_displaced.load(Ordering::Relaxed) => Turn::Over,
            Some(state) => state.turn(),
            None => return,
        };
        match turn {
            Turn::Again => self.queue(),
            Turn::Waits => {}
            Turn::Over => {
                let own = ALL.lock().remove(&self.number);
                self.end();
                drop(own);
            }
        }
        drop(deferral);
    }

    fn account(&self) -> Account {
        self.account
    }

    fn requested(&self) -> Option<&Requested> {
        Some(&self.requested)
    }
}

impl State {
    fn turn(&mut self) -> Turn {
        let Self { link, blocks, close, .. } = self;
        // Whichever event this is: the next `take` reads.
        link.readiness_changed();
        let taken =
            link.take(FRAMES_PER_TURN, &mut |frame: Frame<'_>, _| blocks.after_close(&frame));
        let Ok(taken) = taken else { return Turn::Over };
        if blocks.fault().is_some() {
            return Turn::Over;
        }
        let all = put_close(close, &mut **link).and_then(|()| blocks.put_releases(&mut **link));
        match (all, link.flush()) {
            (_, Err(_)) => return Turn::Over,
            (Ok(()), Ok(true)) if !blocks.are_out() => return Turn::Over,
            // There is room for the frame that was refused.
            (Err(Full), Ok(true)) => return Turn::Again,
            _ => {}
        }
        if taken > 0 || link.prepare_wait() { Turn::Again } else { Turn::Waits }
    }
}

fn put_close(close: &mut Option<(Head, Bytes)>, link: &mut dyn Link) -> Result<(), Full> {
    if let Some((head, why)) = close {
        link.put(head, why)?;
    }
    *close = None;
    Ok(())
}

struct Queue(Weak<Lingering>);

impl Wake for Queue {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(lingering) = self.0.upgrade() {
            lingering.queue();
        }
    }
}

/// The frame that a closed session still has to send.
struct LastFrame(Option<(Head, Bytes)>);

impl Outlet for LastFrame {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        self.0 = Some((*head, Bytes::copy_from_slice(body)));
        Ok(())
    }
}

/// In the place of a link that lingers: it is closed.
pub(super) struct ClosedLink {
    peer: Peer,
    name: &'static str,
    body_bytes_max: usize,
    counters: LinkCounters,
}

impl ClosedLink {
    pub(super) fn in_place_of(link: &dyn Link) -> Self {
        Self {
            peer: *link.peer(),
            name: link.name(),
            body_bytes_max: link.body_bytes_max(),
            counters: link.counters(),
        }
    }
}

impl Outlet for ClosedLink {
    fn put(&mut self, _: &Head, _: &[u8]) -> Result<(), Full> {
        Ok(())
    }
}

impl Link for ClosedLink {
    fn take(
        &mut self,
        _: usize,
        _: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        Err(LinkError::Closed)
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        Ok(true)
    }

    fn put_descriptors(&mut self, _: Vec<std::os::fd::OwnedFd>) -> Result<(), LinkError> {
        Ok(())
    }

    fn watch(&self) -> Watch<'_> {
        Watch::nothing()
    }

    fn on_ready(&mut self, _: OnReady) {}

    fn prepare_wait(&mut self) -> bool {
        true
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::fd::OwnedFd;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use becket_wire::{Limits, Role};

    use super::*;

    const HANGS: Duration = Duration::from_secs(120);

    type Act = Box<dyn FnMut() + Send>;

    /// What a test keeps of a link.
    #[derive(Clone, Default)]
    struct Handle {
        wake: Arc<Mutex<Option<OnReady>>>,
        is_closed: Arc<AtomicBool>,
        /// What its next `take` does: a link in memory dispatches the connection at its other end, whose
        /// room has become free.
        act: Arc<Mutex<Option<Act>>>,
    }

    struct TestLink(Handle, Peer);

    impl Outlet for TestLink {
        fn put(&mut self, _: &Head, _: &[u8]) -> Result<(), Full> {
            Ok(())
        }
    }

    impl Link for TestLink {
        fn take(
            &mut self,
            _: usize,
            _: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
        ) -> Result<usize, LinkError> {
            let act = self.0.act.lock().take();
            act.into_iter().for_each(|mut act| act());
            Ok(0)
        }

        fn flush(&mut self) -> Result<bool, LinkError> {
            Ok(true)
        }

        fn put_descriptors(&mut self, _: Vec<OwnedFd>) -> Result<(), LinkError> {
            Ok(())
        }

        fn watch(&self) -> Watch<'_> {
            Watch::nothing()
        }

        fn on_ready(&mut self, wake: OnReady) {
            *self.0.wake.lock() = Some(wake);
        }

        fn prepare_wait(&mut self) -> bool {
            false
        }

        fn peer(&self) -> &Peer {
            &self.1
        }

        fn name(&self) -> &'static str {
            "test"
        }

        fn body_bytes_max(&self) -> usize {
            1024
        }

        fn counters(&self) -> LinkCounters {
            LinkCounters::default()
        }

        fn close(&mut self) {
            self.0.is_closed.store(true, Ordering::Release);
        }
    }

    impl Handle {
        fn is_closed(&self) -> bool {
            self.is_closed.load(Ordering::Acquire)
        }

        /// Has its next turn do this.
        fn act(&self, act: impl FnMut() + Send + 'static) {
            *self.act.lock() = Some(Box::new(act));
            let wake = self.wake.lock().clone();
            wake.unwrap()();
        }
    }

    /// A closed connection of this process, with a block that is held.
    fn linger(pid: u32) -> Handle {
        let handle = Handle::default();
        let link = Box::new(TestLink(handle.clone(), Peer { pid, ..Peer::own() }));
        let mut session = Session::new(Role::Server, Limits::default(), Instant::now());
        start(link, &mut session, Blocks::holding(1));
        handle
    }

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < HANGS, "in vain: {what}");
            std::thread::yield_now();
        }
    }

    fn closed(all: &[Handle]) -> Vec<usize> {
        (0..all.len()).filter(|at| all.get(*at).is_some_and(Handle::is_closed)).collect()
    }

    #[test]
    fn the_oldest_of_the_peer_with_the_most_is_ended() {
        let most = |at: usize| [10, 500, 900].contains(&at);
        let pid = |at: usize| if most(at) { 7 } else { 1000 + at as u32 };
        let mut all: Vec<_> = (0..LINGERING_MAX).map(|at| linger(pid(at))).collect();
        assert_eq!((super::all(), closed(&all)), (Lingerings { now: 1024, cut: 0 }, vec![]));
        // Others have one each, and a new one.
        for (at, gone) in [vec![10], vec![10, 500]].into_iter().enumerate() {
            all.push(linger(100 + at as u32));
            until("the oldest of the most is ended", || closed(&all) == gone);
        }
        // Each has one: the oldest of all; and then the peer's own, which has two with the new one.
        all.push(linger(200));
        until("the oldest is ended", || closed(&all) == [0, 10, 500]);
        all.push(linger(pid(600)));
        until("its own is ended", || closed(&all) == [0, 10, 500, 600]);
        assert_eq!(super::all(), Lingerings { now: 1024, cut: 4 });
    }

    /// A link in memory dispatches the connection at its other end, which may end too.
    #[test]
    fn a_connection_that_is_displaced_in_its_own_turn_does_not_wait_for_itself() {
        let all: Vec<_> = (0..LINGERING_MAX).map(|_| linger(1)).collect();
        let oldest = all.first().unwrap();
        let (done, is_done) = mpsc::channel();
        oldest.act(move || {
            linger(1);
            done.send(()).unwrap();
        });
        assert_eq!(is_done.recv_timeout(HANGS), Ok(()));
        until("it is ended", || oldest.is_closed());
        until("it has left the table", || super::all() == Lingerings { now: 1024, cut: 1 });
    }

    /// A connection ends under its lock, and does not wait for another one's turn.
    #[test]
    fn a_connection_that_displaces_another_one_does_not_wait_for_its_turn() {
        let all: Vec<_> = (0..LINGERING_MAX).map(|_| linger(1)).collect();
        let oldest = all.first().unwrap();
        let ((begun, is_begun), (go, goes)) = (mpsc::channel(), mpsc::channel::<()>());
        oldest.act(move || {
            begun.send(()).unwrap();
            assert_eq!(goes.recv_timeout(HANGS), Ok(()));
        });
        assert_eq!(is_begun.recv_timeout(HANGS), Ok(()));
        let (ended, has_ended) = mpsc::channel();
        let other = std::thread::spawn(move || {
            linger(1);
            ended.send(()).unwrap();
        });
        let in_time = has_ended.recv_timeout(HANGS / 4);
        go.send(()).unwrap();
        other.join().unwrap();
        assert_eq!(in_time, Ok(()), "it has waited for the turn");
        until("it is ended", || oldest.is_closed());
    }
}
