// SPDX-License-Identifier: BSD-3-Clause
//! One connection: a link, the session that runs over it, and what this side does with it.
//!
//! A connection has no thread and no task of its own. A thread with work for it takes its lock: a
//! user that sends, a channel that wakes one of its streams, the I/O thread when frames have
//! arrived. A thread that finds the lock held sets the pending flag, and the holder dispatches
//! again.
//!
//! ```text
//!   user ─────────────── with ──┐         ┌─ take ──► session ──► side   frames that have arrived
//!   a channel's wake ─ dispatch ┼─ lock ──┼─ woken ────────────► side   streams with news
//!   I/O thread ────── dispatch ─┘         └─ transmit ──► flush        frames to send
//!                                         unlock, then wake the waiting operations
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `core` | what the lock guards, and what its holder does |
//! | `pending_lock` | the lock, and the pending flag of threads that found it held |
//! | `claim` | which thread drives it in place of the I/O thread |
//! | `drive` | a thread that waits for its own connection |
//! | `relief` | work of the driving thread that may take long, and what becomes of the connection if it does |
//! | `waking` | the wakers of its streams |
//! | `end` | how it ended |
//! | `linger` | a closed connection whose blocks are still held |
//!
//! # Invariants
//!
//! 1. No thread waits while it holds the lock, and no task is woken under it: a waker may use the
//!    connection. Its wakes and those by channels are [deferred](becket_chan::wakes), also while it
//!    is dispatched under the lock of another connection.
//! 2. A thread that finds the lock held sets the [pending flag](pending_lock), which its holder
//!    sees: no event is lost.
//! 3. Before the lock is released with nothing left to do, the link was armed for a wake
//!    (`prepare_wait`), or a thread drives the link and will poll it.
//! 4. A dispatch takes at most `FRAMES_PER_DISPATCH` frames; a peer that sends without end
//!    alternates with the other connections.
//! 5. It ends once: every waiting operation gets the same [`Ended`].

mod claim;
mod core;
mod drive;
mod end;
pub(crate) mod linger;
pub(crate) mod pending_lock;
mod relief;
pub(crate) mod waking;

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use becket_chan::wakes::{self, Deferral};
use becket_coro::outside::{self, Source};
use becket_wire::{Event, Session};
use parking_lot::{Mutex, MutexGuard};

use self::claim::Claim;
use self::core::Core;
pub(crate) use self::drive::Parker;
pub use self::end::Ended;
use self::pending_lock::PendingLock;
use self::waking::{Dispatch, StreamWaker, Wakeable, Woken, run_or_enqueue};
use crate::blocks::Blocks;
use crate::reactor::{self, Account, Ready, Requested};
use crate::shm::{Doorbell, FrameProbe};
use crate::transport::{Ancillary, Link, LinkCounters, Peer};

/// The number of the connection's own waker, among those of its streams.
const OWN: u32 = u32::MAX;

/// The id of the next connection.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A new id for a connection, of either protocol.
pub(crate) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// The behaviour of one side of a connection: a client or a server.
pub(crate) trait Side: Send + Sized + 'static {
    /// Threads that do not drive the connection may await answers, too.
    const IS_SHARED: bool = false;

    /// Whether an answer is awaited that another thread than this one asked for.
    fn awaits_for_others(&self, _thread: u64) -> bool {
        false
    }

    /// The session has decoded an event.
    fn event(&mut self, at: &mut At<'_>, event: Event<'_>, ancillary: Ancillary<'_>);
    /// The connection's blocks of shared memory, in both directions.
    fn blocks(&mut self) -> &mut Blocks;
    /// A stream's waker was woken.
    fn woken(&mut self, at: &mut At<'_>, stream: u32);
    /// There is work for the driving thread, if that was begun with some ([`Work`]).
    fn has_work(&self) -> bool {
        false
    }
    /// From now on the driving thread does work; or it does none any more.
    fn driven(&mut self, _at: &mut At<'_>, _does_work: bool) {}
    /// The connection ended: waiting operations fail, what was not sent is requeued.
    fn ended(&mut self, at: &mut At<'_>, ended: &Ended);
}

/// Work that the driving thread does for a side, and that may take long: the lock is
/// [lent](PendingLock::lend) meanwhile.
pub(crate) trait Work<S: Side> {
    /// Takes the next piece of work out of the side. False: there is none.
    fn take(&mut self, side: &mut S, at: &mut At<'_>) -> bool;
    /// Does it.
    fn run(&mut self);
    /// It is done.
    fn finish(&mut self, side: &mut S, at: &mut At<'_>);
}

/// What a side works with during a dispatch.
pub(crate) struct At<'a> {
    pub(crate) session: &'a mut Session,
    /// Streams that wait for the session's queue to drain, and are then woken.
    pub(crate) full: &'a mut Vec<u32>,
    /// Streams that are woken at the end of the events: then there is a link.
    pub(crate) soon: &'a mut Vec<u32>,
    /// The link, except while frames are taken from it. With it, frames can bypass the queue.
    pub(crate) link: Option<&'a mut dyn Link>,
    pub(crate) connection: &'a Weak<dyn Wakeable>,
}

impl At<'_> {
    /// The waker of the stream of this number.
    pub(crate) fn waker(&self, stream: u32) -> Waker {
        Self::waker_of(self.connection, stream)
    }

    /// Calls [`Side::woken`] with the stream once the link can be used, after the events that have
    /// arrived. For an event, which has none.
    #[inline]
    pub(crate) fn wake_soon(&mut self, stream: u32) {
        if self.soon.last() != Some(&stream) {
            self.soon.push(stream);
        }
    }

    pub(crate) fn waker_of(connection: &Weak<dyn Wakeable>, stream: u32) -> Waker {
        StreamWaker::make(connection.clone(), stream)
    }
}

pub(crate) struct Connection<S: Side> {
    me: Weak<Self>,
    account: Account,
    id: u64,
    since: Instant,
    core: PendingLock<Core<S>>,
    /// Another dispatch by the I/O thread.
    requested: Requested,
    /// Epoll has reported its descriptor, edge-triggered: the next dispatch reads from it.
    is_ready: AtomicBool,
    woken: Woken,
    claim: Claim,
    /// A thread drives it that lends the lock: the only one ever.
    lends: AtomicBool,
    /// A status was requested.
    status_requested: AtomicBool,
    /// The status that was published last.
    last_status: Mutex<Option<Status>>,
    /// Where the driving thread sleeps; `None`: its link can only be waited for by descriptors.
    doorbell: Option<Arc<Doorbell>>,
    /// What the driving thread polls without the lock.
    probe: Option<Arc<FrameProbe>>,
    /// The number of those polls.
    polls: AtomicU32,
    /// Consecutive polls for an answer that found none.
    futile_polls: AtomicU32,
    /// Frames wait for room in the link, or there is work: the driving thread polls even if nothing has arrived.
    is_blocked: AtomicBool,
}

/// A connection that is closed when its last user is dropped, whatever other references exist.
pub(crate) struct Owned<S: Side>(Arc<Connection<S>>);

impl<S: Side> Owned<S> {
    pub(crate) fn new(connection: Arc<Connection<S>>) -> Arc<Self> {
        Arc::new(Self(connection))
    }
}

impl<S: Side> Deref for Owned<S> {
    type Target = Arc<Connection<S>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S: Side> Drop for Owned<S> {
    fn drop(&mut self) {
        self.0.close(becket_wire::codes::DONE, "");
    }
}

/// The status of a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Unique among the connections of this process, never reused.
    pub id: u64,
    /// When the connection began.
    pub since: Instant,
    /// When the status was taken: that of a busy connection may be from its last dispatch.
    pub at: Instant,
    /// The transport: `unix-stream`, `unix-seqpacket`, `shared-memory`, `memory`.
    pub transport: &'static str,
    /// The peer's process.
    pub peer: Peer,
    /// Streams that are open.
    pub streams: usize,
    /// Bytes of elements that wait to be sent.
    pub queued_bytes: u64,
    /// Bytes of elements that may be sent in addition to what is reserved for streams.
    pub credit_bytes: u64,
    /// The session's counters.
    pub session: becket_wire::Counters,
    /// The transport's counters.
    pub link: LinkCounters,
    /// The connection has ended.
    pub is_over: bool,
}

impl<S: Side> Connection<S> {
    /// Starts a session over a link.
    ///
    /// # Errors
    ///
    /// The system cannot watch another descriptor.
    pub(crate) fn start(
        link: Box<dyn Link>,
        session: Session,
        side: S,
    ) -> std::io::Result<Arc<Self>> {
        let mut link = link;
        let account = Account::of_process(link.peer().pid);
        let wait = link.direct_wait().filter(|_| Doorbell::is_supported());
        let (doorbell, probe) = wait.map(|wait| (wait.doorbell(), wait.probe())).unzip();
        let connection = Arc::new_cyclic(|me: &Weak<Self>| {
            let connection: Weak<dyn Wakeable> = me.clone();
            let own_waker = StreamWaker::make(connection.clone(), OWN);
            Self {
                me: me.clone(),
                account,
                id: next_id(),
                since: Instant::now(),
                core: PendingLock::new(Core {
                    link,
                    session,
                    side,
                    ended: None,
                    full: Vec::new(),
                    watched: Vec::new(),
                    connection,
                    streams: Vec::new(),
                    deadline: None,
                    is_due: true,
                    is_steady: false,
                    is_blocked: true,
                    is_armed: false,
                    blind_dispatches: 0,
                    is_unanswered: false,
                    flushed_frames: 0,
                    flush_is_costly: false,
                    own_waker,
                    keep_alive: None,
                    registered: None,
                }),
                requested: Requested::default(),
                is_ready: AtomicBool::new(false),
                woken: Woken::default(),
                claim: Claim::default(),
                lends: AtomicBool::new(false),
                status_requested: AtomicBool::new(false),
                last_status: Mutex::new(None),
                doorbell,
                probe,
                polls: AtomicU32::new(0),
                futile_polls: AtomicU32::new(0),
                is_blocked: AtomicBool::new(true),
            }
        });
        connection.watch()?;
        if connection.doorbell.is_some() {
            let source: Arc<dyn Source> = connection.clone();
            let registered = outside::register(Arc::downgrade(&source));
            connection.locked(|core| core.registered = Some(registered));
        }
        connection.locked(Core::keep_time);
        // So that there is a status, whichever thread uses the connection later.
        let _seen = connection.status();
        run_or_enqueue(connection.clone());
        Ok(connection)
    }

    fn watch(self: &Arc<Self>) -> std::io::Result<()> {
        let owner: Arc<dyn Ready> = self.clone();
        let owner = Arc::downgrade(&owner);
        let mut core = self.core.lock();
        let Core { link, watched, own_waker, flush_is_costly, .. } = &mut *core;
        if let Some(descriptor) = link.watch().readable_one() {
            watched.push(reactor::watch(descriptor, owner.clone())?);
        }
        *flush_is_costly = !watched.is_empty() && self.doorbell.is_none();
        if watched.is_empty() {
            let waker = own_waker.clone();
            link.on_ready(Arc::new(move || waker.wake_by_ref()));
        }
        Ok(())
    }

    /// Runs `act` under the lock, sends the resulting frames, and then wakes.
    pub(crate) fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut S, &mut At<'_>) -> R) -> R {
        let (done, later) = self.locked(|core| {
            if let Some(registered) = &core.registered {
                // If this thread waits next, it may drive the connection meanwhile.
                registered.mark_used();
            }
            let before = (core.session.counters().sent.frames, core.is_blocked);
            let done = core.act(act);
            core.keep_time();
            if core.may_send_later() && core.fill() {
                let put = core.session.counters().sent.frames != before.0;
                core.is_blocked = put || before.1;
                // Streams that wait for an empty queue need not wait for the next frame.
                core.wake_full();
                return (done, put);
            }
            let is_sent = core.send();
            let is_freed = S::IS_SHARED && self.claim.free_from_another();
            if (is_freed || !is_sent) && core.link.prepare_wait() {
                // There is room again, or a frame has arrived: no wake will report it.
                self.core.set_pending();
            }
            (done, false)
        });
        if later {
            self.queue();
        }
        done
    }

    /// Keeps the connection alive until it has ended.
    pub(crate) fn keep(self: &Arc<Self>) {
        self.locked(|core| {
            if core.ended.is_none() {
                core.keep_alive = Some(self.clone());
            }
        });
    }

    /// The current status; while another thread (or an outer call of this one) holds the lock, the
    /// status that was published at the last unlock after a request.
    pub(crate) fn status(&self) -> Option<Status> {
        self.status_requested.store(true, Ordering::Relaxed);
        let deferral = wakes::defer();
        if let Some(core) = self.core.try_lock() {
            // The unlock publishes the status. `last_status` is locked no longer than that: the
            // unlock may dispatch, and the dispatch may request the status again.
            self.unlock_and_recheck(core, deferral);
        }
        self.last_status.lock().clone()
    }

    /// Publishes the status, if it was requested.
    #[inline]
    fn publish_status(&self, core: &Core<S>) {
        if !self.status_requested.load(Ordering::Relaxed) {
            return;
        }
        self.status_requested.store(false, Ordering::Relaxed);
        *self.last_status.lock() = Some(Status {
            id: self.id,
            since: self.since,
            at: Instant::now(),
            transport: core.link.name(),
            peer: *core.link.peer(),
            streams: core.session.streams(),
            queued_bytes: core.session.queued_bytes(),
            credit_bytes: core.session.session_credit(),
            session: *core.session.counters(),
            link: core.link.counters(),
            is_over: core.ended.is_some(),
        });
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.locked(|core| core.ended.clone())
    }

    /// Closes it from this side: frames that are queued are still sent if there is room.
    pub(crate) fn close(self: &Arc<Self>, code: u16, why: &str) {
        self.locked(|core| {
            if core.ended.is_none() {
                core.session.close(code, bytes::Bytes::copy_from_slice(why.as_bytes()));
                core.send();
                core.end(Ended::Here);
            }
        });
        if let Some(doorbell) = &self.doorbell {
            doorbell.kick();
        }
    }

    /// Runs `act` under the lock. Every holder unlocks by way of
    /// [`unlock_and_recheck`](Self::unlock_and_recheck).
    fn locked<R>(&self, act: impl FnOnce(&mut Core<S>) -> R) -> R {
        let deferral = wakes::defer();
        let mut core = self.core.lock();
        let done = act(&mut core);
        self.unlock_and_recheck(core, deferral);
        done
    }

    /// Publishes a requested status, unlocks, wakes, and checks the pending flag.
    fn unlock_and_recheck(&self, core: MutexGuard<'_, Core<S>>, deferral: Deferral) {
        self.unlock(core, deferral);
        if self.core.is_pending()
            && let Some(me) = self.me.upgrade()
        {
            run_or_enqueue(me);
        }
    }

    #[inline]
    fn unlock(&self, core: MutexGuard<'_, Core<S>>, deferral: Deferral) {
        self.publish_status(&core);
        self.is_blocked.store(core.is_blocked || core.side.has_work(), Ordering::Relaxed);
        drop(core);
        drop(deferral);
    }

    /// Requests another dispatch by the I/O thread, after the other connections.
    fn queue(self: &Arc<Self>) {
        if reactor::again(self).is_err() {
            // Without an I/O thread there are no other connections to alternate with.
            self.core.set_pending();
        }
    }
}

impl<S: Side> Ready for Connection<S> {
    fn ready(self: Arc<Self>) {
        self.is_ready.store(true, Ordering::SeqCst);
        run_or_enqueue(self);
    }

    fn account(&self) -> Account {
        self.account
    }

    fn requested(&self) -> Option<&Requested> {
        Some(&self.requested)
    }
}

impl<S: Side> Wakeable for Connection<S> {
    fn woken(&self) -> &Woken {
        &self.woken
    }
}

impl<S: Side> Dispatch for Connection<S> {
    fn run(self: Arc<Self>) {
        loop {
            let deferral = wakes::defer();
            // The holder of the lock checks the pending flag when it unlocks.
            let Some(mut core) = self.core.enter() else { return };
            if self.is_ready.load(Ordering::Relaxed) && self.is_ready.swap(false, Ordering::AcqRel)
            {
                core.link.readiness_changed();
                core.is_armed = false;
            }
            let watched = (self.doorbell.as_deref(), self.probe.as_deref());
            let more = core.dispatch(&self.woken, watched, &self.claim);
            self.unlock(core, deferral);
            if more {
                self.queue();
            }
            if !self.core.is_pending() {
                return;
            }
        }
    }
}

impl<S: Side> Drop for Connection<S> {
    /// The last handle is dropped: the peer is notified.
    fn drop(&mut self) {
        let core = self.core.get_mut();
        if core.ended.is_none() {
            core.session.close(becket_wire::codes::DONE, bytes::Bytes::new());
            core.send();
            core.end(Ended::Here);
        }
    }
}
