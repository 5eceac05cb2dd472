// SPDX-License-Identifier: BSD-3-Clause
//! One connection: a link, the session that speaks over it, and what this side does with it.
//!
//! There is no thread and no task of a connection's own. Whoever has something to do for it takes
//! its lock: a user who sends, a channel that wakes one of its streams, the I/O thread when
//! something has come. Who finds the lock taken leaves a mark, and the holder looks again.
//!
//! ```text
//!   user ────────── with ──┐         ┌─ take ──► session ──► side   frames that have come
//!   a channel's wake ─ turn ┼─ lock ─┼─ woken ────────────► side   streams with news
//!   I/O thread ────── turn ─┘        └─ transmit ──► flush        what is to be sent
//!                                        unlock, then wake those who waited
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `core` | what the lock guards, and what its holder does |
//! | `mark` | the lock, and the mark of who found it taken |
//! | `claim` | who looks after it in place of the I/O thread |
//! | `drive` | a thread that waits for its own connection |
//! | `waking` | who wakes a connection, and whom it wakes |
//! | `end` | how it ended |
//!
//! # Invariants
//!
//! 1. Nobody waits while holding the lock, and nobody is woken under it who could call in.
//! 2. Whoever finds the lock taken leaves a [mark](mark) that its holder sees: no news is lost.
//! 3. Before the lock is let go with nothing left to do, the link was asked for a wake
//!    (`prepare_wait`), or a thread drives the link and has promised to look.
//! 4. A turn takes at most `FRAMES_A_TURN` frames; a peer that sends without end is served in turns
//!    with the others.
//! 5. It ends once: everybody who waits learns of the same [`Ended`].

mod claim;
mod core;
mod drive;
mod end;
pub(crate) mod mark;
pub(crate) mod waking;

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use becket_coro::outside::{self, Source};
use becket_wire::{Event, Session};
use parking_lot::{Mutex, MutexGuard};

use self::claim::Claim;
use self::core::Core;
pub(crate) use self::drive::Parker;
pub use self::end::Ended;
use self::mark::Marked;
use self::waking::{StreamWaker, Turn, Wakeable, Wakes, Woken, take_turn};
use crate::blocks::Blocks;
use crate::reactor::{self, Ready};
use crate::shm::{Doorbell, Lookout};
use crate::transport::{Beside, Link, LinkCounters, Peer};

/// The number of the connection's own waker, among those of its streams.
const OWN: u32 = u32::MAX;

/// What the next connection is called.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number for a connection, of whichever protocol.
pub(crate) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// What one side of a connection does: a client or a server.
pub(crate) trait Side: Send + Sized + 'static {
    /// The session says that something has come.
    fn event(&mut self, at: &mut At<'_>, event: Event<'_>, beside: Beside<'_>);
    /// Its blocks of shared memory, and the other side's.
    fn blocks(&mut self) -> &mut Blocks;
    /// A stream's waker was woken.
    fn woken(&mut self, at: &mut At<'_>, stream: u32);
    /// The connection is over: whoever waits learns of it, whatever was not sent goes back.
    fn ended(&mut self, at: &mut At<'_>, ended: &Ended);
}

/// What a side works with during a turn.
pub(crate) struct At<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) wakes: &'a mut Wakes,
    /// Streams that wait until the session's queue is shorter: they are woken then.
    pub(crate) full: &'a mut Vec<u32>,
    /// The link, but for while frames are taken from it: so what is to be sent need not be queued.
    pub(crate) link: Option<&'a mut dyn Link>,
    connection: &'a Weak<dyn Wakeable>,
}

impl At<'_> {
    /// The waker of the stream of this number.
    pub(crate) fn waker(&self, stream: u32) -> Waker {
        StreamWaker::make(self.connection.clone(), stream)
    }
}

pub(crate) struct Connection<S: Side> {
    me: Weak<Self>,
    id: u64,
    since: Instant,
    core: Marked<Core<S>>,
    /// It is in the I/O thread's queue.
    queued: AtomicBool,
    /// The system has spoken of its descriptor, which it does once: the next turn looks there.
    told: AtomicBool,
    woken: Woken,
    claim: Claim,
    /// Somebody wants to see what it is like.
    asked: AtomicBool,
    /// What was seen of it last.
    seen: Mutex<Option<Status>>,
    /// Where who drives it sleeps; `None`: its link can only be waited for by descriptors.
    doorbell: Option<Arc<Doorbell>>,
    /// Where who drives it looks.
    lookout: Option<Arc<Lookout>>,
    /// How often that was.
    looks: AtomicU32,
    /// Something waits for room: who drives it does not wait until something has come.
    is_blocked: AtomicBool,
}

/// A connection that is closed when its last user has gone, whoever else knows it then.
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

/// A connection at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Unique among the connections of this process, never used again.
    pub id: u64,
    /// When it began.
    pub since: Instant,
    /// When this was so: a connection that is at work shows what was seen of it last.
    pub at: Instant,
    /// The transport: `unix-stream`, `unix-seqpacket`, `shared-memory`, `memory`.
    pub transport: &'static str,
    /// Who is at the other end.
    pub peer: Peer,
    /// Streams that are open.
    pub streams: usize,
    /// Bytes of elements that wait to be sent.
    pub queued_bytes: u64,
    /// Bytes of elements that may be sent beyond what is promised to streams.
    pub credit_bytes: u64,
    /// What the session has counted.
    pub session: becket_wire::Counters,
    /// What the transport has counted.
    pub link: LinkCounters,
    /// It has ended.
    pub is_over: bool,
}

impl<S: Side> Connection<S> {
    /// Starts to speak over a link.
    ///
    /// # Errors
    ///
    /// The system has no room to watch its descriptors.
    pub(crate) fn start(
        link: Box<dyn Link>,
        session: Session,
        side: S,
    ) -> std::io::Result<Arc<Self>> {
        let mut link = link;
        let bell = link.bell().filter(|_| Doorbell::is_supported());
        let (doorbell, lookout) = bell.map(|bell| (bell.doorbell(), bell.lookout())).unzip();
        let connection = Arc::new_cyclic(|me: &Weak<Self>| {
            let connection: Weak<dyn Wakeable> = me.clone();
            let own_waker = StreamWaker::make(connection.clone(), OWN);
            Self {
                me: me.clone(),
                id: next_id(),
                since: Instant::now(),
                core: Marked::new(Core {
                    link,
                    session,
                    side,
                    ended: None,
                    wakes: Wakes::default(),
                    full: Vec::new(),
                    watched: Vec::new(),
                    connection,
                    streams: Vec::new(),
                    deadline: None,
                    is_due: true,
                    is_blocked: true,
                    waits: false,
                    blind_turns: 0,
                    is_unanswered: false,
                    flush_is_dear: false,
                    own_waker,
                    kept: None,
                    registered: None,
                }),
                queued: AtomicBool::new(false),
                told: AtomicBool::new(false),
                woken: Woken::default(),
                claim: Claim::default(),
                asked: AtomicBool::new(false),
                seen: Mutex::new(None),
                doorbell,
                lookout,
                looks: AtomicU32::new(0),
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
        // So that there is something to show, whoever works with it later.
        let _seen = connection.status();
        take_turn(connection.clone());
        Ok(connection)
    }

    fn watch(self: &Arc<Self>) -> std::io::Result<()> {
        let owner: Arc<dyn Ready> = self.clone();
        let owner = Arc::downgrade(&owner);
        let mut core = self.core.lock();
        let Core { link, watched, own_waker, flush_is_dear, .. } = &mut *core;
        for descriptor in link.watch().each_readable() {
            watched.push(reactor::watch(descriptor, owner.clone())?);
        }
        *flush_is_dear = !watched.is_empty() && self.doorbell.is_none();
        if watched.is_empty() {
            let waker = own_waker.clone();
            link.on_ready(Arc::new(move || waker.wake_by_ref()));
        }
        Ok(())
    }

    /// Does something under the lock, sends what came of it, and wakes whom it woke.
    pub(crate) fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut S, &mut At<'_>) -> R) -> R {
        let (done, later) = self.locked(|core| {
            let before = (core.session.counters().sent.frames, core.is_blocked);
            let done = core.act(act);
            core.keep_time();
            if core.may_send_later() && core.fill() {
                let put = core.session.counters().sent.frames != before.0;
                core.is_blocked = put || before.1;
                // Who waits until nothing is queued need not wait for the next frame.
                core.wake_full();
                return (done, put);
            }
            if !core.send() && core.link.prepare_wait() {
                // There is room again, or something has come: no wake will tell.
                self.core.mark();
            }
            (done, false)
        });
        if later {
            self.queue();
        }
        done
    }

    /// Lives on its own from now on, until it has ended.
    pub(crate) fn keep(self: &Arc<Self>) {
        self.locked(|core| {
            if core.ended.is_none() {
                core.kept = Some(self.clone());
            }
        });
    }

    /// What it is like now; while somebody works with it (who asks may be inside one of its turns),
    /// what it was like when they were done the last time after somebody had asked.
    pub(crate) fn status(&self) -> Option<Status> {
        self.asked.store(true, Ordering::Relaxed);
        if let Some(core) = self.core.try_lock() {
            // It shows itself then. What was seen is locked for no longer than that: letting go may
            // give it a turn, in which somebody asks again.
            self.leave(core);
        }
        self.seen.lock().clone()
    }

    /// Leaves what it is like for who has asked.
    #[inline]
    fn show(&self, core: &Core<S>) {
        if !self.asked.load(Ordering::Relaxed) {
            return;
        }
        self.asked.store(false, Ordering::Relaxed);
        *self.seen.lock() = Some(Status {
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

    /// Ends it from this side: what was handed to the session so far is still sent if there is room.
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

    /// Does something under the lock. Every holder lets go of it by way of [`leave`](Self::leave).
    fn locked<R>(&self, act: impl FnOnce(&mut Core<S>) -> R) -> R {
        let mut core = self.core.lock();
        let done = act(&mut core);
        self.leave(core);
        done
    }

    /// Shows itself to who has asked, lets go of the lock, wakes, and looks whether somebody left a mark.
    fn leave(&self, core: MutexGuard<'_, Core<S>>) {
        self.let_go(core);
        if self.core.is_marked()
            && let Some(me) = self.me.upgrade()
        {
            take_turn(me);
        }
    }

    #[inline]
    fn let_go(&self, mut core: MutexGuard<'_, Core<S>>) {
        self.show(&core);
        self.is_blocked.store(core.is_blocked, Ordering::Relaxed);
        let wakes = std::mem::take(&mut core.wakes);
        drop(core);
        wakes.fire();
    }

    /// The I/O thread gives it another turn, after the others.
    fn queue(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) && reactor::again(self.clone()).is_err() {
            // There is no I/O thread: then nobody else has a turn that this one could take away.
            self.queued.store(false, Ordering::Release);
            self.core.mark();
        }
    }
}

impl<S: Side> Ready for Connection<S> {
    fn ready(self: Arc<Self>) {
        self.queued.store(false, Ordering::Release);
        self.told.store(true, Ordering::SeqCst);
        take_turn(self);
    }
}

impl<S: Side> Wakeable for Connection<S> {
    fn woken(&self) -> &Woken {
        &self.woken
    }
}

impl<S: Side> Turn for Connection<S> {
    fn turn(self: Arc<Self>) {
        loop {
            // Who has it looks again when it lets go.
            let Some(mut core) = self.core.enter() else { return };
            if self.told.load(Ordering::Relaxed) && self.told.swap(false, Ordering::AcqRel) {
                core.link.told();
                core.waits = false;
            }
            let watched = (self.doorbell.as_deref(), self.lookout.as_deref());
            let more = core.turn(&self.woken, watched, &self.claim);
            self.let_go(core);
            if more {
                self.queue();
            }
            if !self.core.is_marked() {
                return;
            }
        }
    }
}

impl<S: Side> Drop for Connection<S> {
    /// The last handle has gone: the other side is told.
    fn drop(&mut self) {
        let core = self.core.get_mut();
        if core.ended.is_none() {
            core.session.close(becket_wire::codes::DONE, bytes::Bytes::new());
            core.send();
            core.end(Ended::Here);
        }
    }
}
