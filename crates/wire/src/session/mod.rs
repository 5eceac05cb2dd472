// SPDX-License-Identifier: BSD-3-Clause
//! A session: one side of one connection, without I/O and without a clock.
//!
//! | file          | what                                                        |
//! |---------------|-------------------------------------------------------------|
//! | `mod.rs`      | the session's own life: greeting, draining, closing; queries |
//! | `requests.rs` | commands: requests, replies, notices                        |
//! | `streams.rs`  | commands: streams, elements, credit, acks                   |
//! | `regions.rs`  | commands: regions of memory                                 |
//! | `receive.rs`  | frames in: the session's and the requests'                  |
//! | `incoming.rs` | frames in: the streams'                                     |
//! | `transmit.rs` | frames out                                                  |
//! | `time.rs`     | deadlines                                                   |
//! | `unsent.rs`   | elements that were queued when their stream was over        |
//!
//! ```text
//!              hello/welcome came                  close, or an error        Close sent
//!   ┌──────────┐ ───────────▶ ┌──────┐ ───────────▶ ┌─────────┐ ───────────▶ ┌────────┐
//!   │ Greeting │              │ Open │              │ Closing │              │ Closed │
//!   └──────────┘ ─────┐       └──────┘ ───┐         └─────────┘              └────────┘
//!                     │                   │  Close came                           ▲
//!                     └───────────────────┴───────────────────────────────────────┘
//! ```
//!
//! Draining is not a state of its own: from either side's `Drain` on nothing new is begun, and what
//! is open goes on in `Open` until it has ended.
//!
//! Invariants:
//!
//! 1. What the other side makes this one keep is bounded by [`Limits`]: streams and requests by
//!    their tables, elements by credit, half-assembled ones by the session's credit, answers by one
//!    field for each stream and one place for each request, pongs by their number.
//! 2. A command either takes effect or is [`Refused`] without any.
//! 3. After an error nothing more is received, and all that is sent is a `Close`.
//! 4. A frame is sent whole or not at all, in the order: greeting, pongs, control, what is due to
//!    streams, elements.

mod incoming;
mod receive;
mod regions;
mod requests;
mod streams;
mod time;
mod transmit;
mod unsent;

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

pub use self::streams::Withdrawn;
use self::{regions::Regions, requests::Asked, time::Clock};
use crate::{
    Counters, Head, Kind, Left, Limits, PeerLimits, Refused, Role, SessionError, StreamId,
    assembly::Assembly,
    ids::GENERATION_MAX,
    ready::Ready,
    spare::SpareQueues,
    stream::{Ending, Phase, Stream},
    table::{Missing, Table},
};

/// The version that this protocol has in a hello.
pub(crate) const VERSION: u32 = 2;

/// One side of a connection that speaks protocol 2. See the [module's notes](crate::protocol) for
/// the protocol.
///
/// It is driven: give it each frame with [`receive`](Self::receive), let it send with
/// [`transmit`](Self::transmit) whenever something was received or commanded or room has come, and
/// call [`on_deadline`](Self::on_deadline) when [`deadline`](Self::deadline) has come. It is not
/// shared between threads by itself: put it behind the connection's lock.
pub struct Session {
    role: Role,
    limits: Limits,
    peer: PeerLimits,
    state: State,
    clock: Clock,
    streams: Streams,
    /// Requests of this side.
    asked: Table<Asked>,
    /// Requests of the other side.
    asking: Table<requests::Asking>,
    regions: Regions,

    // What is to be sent, in this order.
    greets: bool,
    pongs: VecDeque<u64>,
    ping: Option<u64>,
    drain: Drain,
    control: VecDeque<Control>,
    /// How many in `control` nothing else bounds.
    loose: usize,
    /// Streams about which something is due.
    due: VecDeque<StreamId>,
    ready: Ready,
    close: Option<(u16, Bytes)>,

    /// Bytes of elements that may be sent over all streams.
    window: u64,
    taking: Taking,
    /// Bytes in the queues of all streams.
    queue_bytes: u64,
    spare: SpareQueues,
    unsent: unsent::Unsent,
    counters: Counters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Open,
    Closing,
    Closed,
}

/// Draining, of either side.
#[derive(Debug, Default)]
struct Drain {
    /// `Drain` is to be sent.
    due: bool,
    /// This side drains.
    here: bool,
    /// The other side does.
    there: bool,
    /// The application knows that all has ended.
    told: bool,
}

/// The session's credit for the other side.
///
/// ```text
///   granted ── an element begins ──▶ under way ── whole ──▶ owed ── Credit ──▶ granted
///                                                            │ ▲
///                                                       hold ▼ │ let_go
///                                                            held
/// ```
#[derive(Debug, Default)]
struct Taking {
    granted: u64,
    owed: u64,
    held: u64,
    /// What is owed is told when it is as much: half of all, or as much less as an element may need,
    /// so that what is not told never keeps an element back.
    told_from: u64,
}

impl Taking {
    fn of(limits: &Limits) -> Self {
        let all = limits.session_credit_bytes;
        let spare = all - u64::from(limits.element_bytes_max);
        let told_from = (all / 2).min(spare).max(1);
        Self { granted: all, told_from, ..Self::default() }
    }
}

/// A frame without elements that waits to be sent.
struct Control {
    head: Head,
    body: Bytes,
    loose: bool,
}

/// The streams of both openers.
struct Streams {
    role: Role,
    own: Table<Stream>,
    peer: Table<Stream>,
}

impl Session {
    /// A session that begins `now`. A client has its hello to send at once; a server waits for it.
    #[must_use]
    pub fn new(role: Role, limits: Limits, now: Instant) -> Self {
        let limits = limits.settled();
        Self {
            role,
            peer: PeerLimits::NONE,
            state: State::Greeting,
            clock: Clock::new(now),
            streams: Streams {
                role,
                own: Table::new(GENERATION_MAX),
                peer: Table::new(GENERATION_MAX),
            },
            asked: Table::new(u32::MAX),
            asking: Table::new(u32::MAX),
            regions: Regions::default(),
            greets: role == Role::Client,
            pongs: VecDeque::new(),
            ping: None,
            drain: Drain::default(),
            control: VecDeque::new(),
            loose: 0,
            due: VecDeque::new(),
            ready: Ready::default(),
            close: None,
            window: 0,
            taking: Taking::of(&limits),
            queue_bytes: 0,
            spare: SpareQueues::default(),
            unsent: unsent::Unsent::new(),
            counters: Counters::default(),
            limits,
        }
    }

    /// Ends whatever is going on, unheard, and begins anew `now`: as [`new`](Self::new) of the same
    /// role, with the memory of before. For who runs many short sessions one after another.
    pub fn renew(&mut self, limits: Limits, now: Instant) {
        // Every field by its name: none can be forgotten.
        let Self {
            role,
            limits: own_limits,
            peer,
            state,
            clock,
            streams,
            asked,
            asking,
            regions,
            greets,
            pongs,
            ping,
            drain,
            control,
            loose,
            due,
            ready,
            close,
            window,
            taking,
            queue_bytes,
            spare: _,
            unsent,
            counters,
        } = self;
        *own_limits = limits.settled();
        *peer = PeerLimits::NONE;
        *state = State::Greeting;
        *clock = Clock::new(now);
        streams.own.clear();
        streams.peer.clear();
        asked.clear();
        asking.clear();
        *regions = Regions::default();
        *greets = *role == Role::Client;
        pongs.clear();
        *ping = None;
        *drain = Drain::default();
        control.clear();
        *loose = 0;
        due.clear();
        ready.renew();
        *close = None;
        *window = 0;
        *taking = Taking::of(own_limits);
        *queue_bytes = 0;
        unsent.clear();
        *counters = Counters::default();
    }

    /// Begins nothing new from now on and tells the other side. What is open goes on; when all of
    /// it has ended, `on_deadline` gives `Event::Drained`, or ends the session when that takes
    /// longer than `Limits::drain_ms`.
    pub fn drain(&mut self) {
        if !self.drain.here {
            self.drain.here = true;
            self.drain.due = true;
        }
    }

    /// Ends the session: everything queued is dropped, `transmit` sends a `Close` and nothing else.
    /// `why` is cut to `Limits::text_bytes_max`.
    pub fn close(&mut self, code: u16, why: impl Into<Bytes>) {
        if matches!(self.state, State::Closing | State::Closed) {
            return;
        }
        let mut why = why.into();
        self.shorten(&mut why);
        self.let_all_go();
        self.state = State::Closing;
        self.close = Some((code, why));
    }

    #[cold]
    fn fail(&mut self, error: SessionError) -> SessionError {
        self.close(error.code(), error.to_string());
        error
    }

    #[cold]
    #[inline(never)]
    fn let_all_go(&mut self) {
        self.greets = false;
        self.pongs = VecDeque::new();
        self.ping = None;
        self.drain.due = false;
        self.control = VecDeque::new();
        self.loose = 0;
        self.due = VecDeque::new();
        self.ready.clear();
        self.queue_bytes = 0;
        self.unsent.clear();
        for (opener, table) in
            [(self.role, &mut self.streams.own), (self.role.other(), &mut self.streams.peer)]
        {
            for (index, generation, stream) in table.iter_mut() {
                unsent::keep(&mut self.unsent, StreamId::new(opener, index, generation), stream);
            }
        }
        self.streams.own = Table::new(GENERATION_MAX);
        self.streams.peer = Table::new(GENERATION_MAX);
        self.asked = Table::new(u32::MAX);
        self.asking = Table::new(u32::MAX);
        self.regions = Regions::default();
    }

    /// Tells the session that `bytes` of an element it has just given out stay in the application's
    /// memory. Until [`let_go`](Self::let_go) the other side gets no session credit for them; what
    /// is not held is granted again at once.
    pub fn hold(&mut self, bytes: u64) {
        let bytes = bytes.min(self.taking.owed);
        self.taking.owed -= bytes;
        self.taking.held += bytes;
    }

    /// Bytes that were held are so no more.
    pub fn let_go(&mut self, bytes: u64) {
        let bytes = bytes.min(self.taking.held);
        self.taking.held -= bytes;
        self.taking.owed += bytes;
    }

    /// Which side this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// This side's limits, as they are kept.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the other side takes; all 0 before `Event::Ready`.
    #[must_use]
    pub const fn peer_limits(&self) -> &PeerLimits {
        &self.peer
    }

    /// The longest element that can be sent or returned: what both sides take.
    #[must_use]
    pub fn element_bytes_max(&self) -> u32 {
        self.peer.element_bytes_max.min(self.limits.element_bytes_max)
    }

    /// The greeting is over and the session is not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Open
    }

    /// Nothing is received or commanded any more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closing | State::Closed)
    }

    /// Either side drains.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.drain.here || self.drain.there
    }

    /// No stream and no request is open, of either side, and nothing waits to be sent.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_quiet() && !self.has_control() && self.queue_bytes == 0
    }

    /// How much may be sent on a stream; `None`: there is no such stream.
    #[must_use]
    pub fn credit(&self, id: StreamId) -> Option<Left> {
        Some(self.streams.get(id)?.outgoing.credit)
    }

    /// Bytes of elements that may be sent over all streams, beyond what is promised to one already.
    #[must_use]
    pub const fn session_credit(&self) -> u64 {
        self.window
    }

    /// Elements and bytes that wait to be sent on a stream.
    #[must_use]
    pub fn queued(&self, id: StreamId) -> Option<Left> {
        let outgoing = &self.streams.get(id)?.outgoing;
        Some(Left { messages: outgoing.queue.len() as u64, bytes: outgoing.queue_bytes })
    }

    /// Bytes of elements that wait to be sent, over all streams.
    #[must_use]
    pub const fn queued_bytes(&self) -> u64 {
        self.queue_bytes
    }

    /// Frames without elements that wait to be sent, and streams about which something is due.
    #[must_use]
    pub fn queued_control(&self) -> usize {
        self.control.len() + self.pongs.len() + self.due.len()
    }

    /// Entries in the lists of who sends next. Never more than twice the streams, plus 128.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.ready.len()
    }

    /// Bytes of elements of the other side that are under way, half assembled or held here, as far
    /// as it has been charged for them. Never more than `Limits::session_credit_bytes`.
    #[must_use]
    pub const fn charged_bytes(&self) -> u64 {
        self.limits.session_credit_bytes.saturating_sub(self.taking.granted)
    }

    /// Streams that are open, of both sides.
    #[must_use]
    pub const fn streams(&self) -> usize {
        self.streams.own.len() + self.streams.peer.len()
    }

    /// Requests that are open: this side's and the other one's.
    #[must_use]
    pub const fn requests(&self) -> (usize, usize) {
        (self.asked.len(), self.asking.len())
    }

    /// What has been counted so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    // ── helpers of the other files ──────────────────────────────────────────────────────────────

    const fn is_quiet(&self) -> bool {
        self.streams.own.len() + self.streams.peer.len() + self.asked.len() + self.asking.len() == 0
    }

    fn usable(&self) -> Result<(), Refused> {
        match self.state {
            State::Open => Ok(()),
            State::Greeting => Err(Refused::NotReady),
            State::Closing | State::Closed => Err(Refused::Closed),
        }
    }

    fn may_begin(&self) -> Result<(), Refused> {
        self.usable()?;
        if self.is_draining() { Err(Refused::Draining) } else { Ok(()) }
    }

    fn fits(&self, body: &Bytes) -> Result<(), Refused> {
        if body.len() > self.peer.frame_body_bytes_max as usize {
            return Err(Refused::TooLong);
        }
        Ok(())
    }

    /// Words are cut to what the other side takes.
    #[inline]
    fn shorten(&self, why: &mut Bytes) {
        let most = match self.state {
            State::Greeting => 256,
            _ => self.limits.text_bytes_max.min(self.peer.frame_body_bytes_max),
        };
        why.truncate(most as usize);
    }

    /// Queues a frame whose number something else bounds.
    fn say(&mut self, head: Head, body: Bytes) {
        self.control.push_back(Control { head, body, loose: false });
    }

    /// Queues a frame whose number only this bounds.
    fn say_loose(&mut self, head: Head, body: Bytes) -> Result<(), Refused> {
        if self.loose >= self.limits.control_frames_max as usize {
            return Err(Refused::Full);
        }
        self.loose += 1;
        self.control.push_back(Control { head, body, loose: true });
        Ok(())
    }

    fn mark_due(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id)
            && !stream.due.listed
        {
            stream.due.listed = true;
            self.due.push_back(id);
        }
    }

    fn mark_ready(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            list(&mut self.ready, id, stream);
        }
    }

    fn remove(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let outgoing = &mut stream.outgoing;
        let (queue_bytes, listed) = (outgoing.queue_bytes, outgoing.listed);
        self.spare.put(&mut outgoing.queue);
        let assembled = stream.incoming.assembly.as_ref().map_or(0, Assembly::bytes);
        self.streams.discard(id);
        self.queue_bytes -= queue_bytes;
        self.taking.owed += u64::from(assembled);
        if listed {
            self.forget_ready();
        }
    }

    #[cold]
    #[inline(never)]
    fn forget_ready(&mut self) {
        let streams = &self.streams;
        self.ready.forget(|id| streams.get(id).is_some_and(|stream| stream.outgoing.listed));
    }

    fn counted<T>(&mut self, result: Result<T, Refused>) -> Result<T, Refused> {
        if let Err(refused) = &result {
            let counts = &mut self.counters.refused;
            *match refused {
                Refused::NoCredit => &mut counts.no_credit,
                Refused::Full => &mut counts.full,
                Refused::TooLong => &mut counts.too_long,
                Refused::TooMany => &mut counts.too_many,
                Refused::Draining => &mut counts.draining,
                _ => &mut counts.gone,
            } += 1;
        }
        result
    }

    /// The other side's frame crossed with the end of what it is about.
    fn stale(&mut self) {
        self.counters.stale_frames += 1;
    }
}

impl Streams {
    #[inline]
    fn get(&self, id: StreamId) -> Option<&Stream> {
        let table = if id.opener() == self.role { &self.own } else { &self.peer };
        table.get(id.index(), id.generation())
    }

    #[inline]
    fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let table = if id.opener() == self.role { &mut self.own } else { &mut self.peer };
        table.get_mut(id.index(), id.generation())
    }

    fn missing(&self, id: StreamId) -> Missing {
        let table = if id.opener() == self.role { &self.own } else { &self.peer };
        table.missing(id.index())
    }

    fn discard(&mut self, id: StreamId) {
        let own = id.opener() == self.role;
        let table = if own { &mut self.own } else { &mut self.peer };
        table.discard(id.index(), id.generation(), own);
    }
}

/// A stream has something to send.
#[inline]
fn list(ready: &mut Ready, id: StreamId, stream: &mut Stream) {
    if !std::mem::replace(&mut stream.outgoing.listed, true) {
        ready.push(stream.priority as usize, id);
    }
}

/// A head about a stream.
const fn head(kind: Kind, id: StreamId) -> Head {
    let mut head = Head::new(kind);
    head.stream = id.number();
    head
}

/// A stream on which the application sends.
fn sending(stream: &Stream) -> Result<(), Refused> {
    match stream.phase {
        Phase::Opening | Phase::Live => {}
        Phase::Asked => return Err(Refused::State),
        Phase::Resetting | Phase::Echoing => return Err(Refused::Ended),
    }
    match stream.outgoing.ending {
        Ending::Going => Ok(()),
        Ending::Asked(..) | Ending::Done => Err(Refused::Ended),
    }
}
