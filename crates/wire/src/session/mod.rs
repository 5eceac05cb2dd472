// SPDX-License-Identifier: BSD-3-Clause
//! A session: one side of one connection, without I/O and without a clock.
//!
//! | file          | what                                                        |
//! |---------------|-------------------------------------------------------------|
//! | `mod.rs`      | life cycle: handshake, draining, closing; queries           |
//! | `requests.rs` | commands: requests, replies, notices                        |
//! | `streams.rs`  | commands: streams, elements, credit, acks                   |
//! | `regions.rs`  | commands: regions of memory                                 |
//! | `receive.rs`  | received frames: of the session and of requests             |
//! | `incoming.rs` | received frames: of streams                                 |
//! | `transmit.rs` | sending                                                     |
//! | `time.rs`     | deadlines                                                   |
//! | `unsent.rs`   | elements in the send queue of a stream that is over         |
//!
//! ```text
//!              hello/welcome received              close, or an error        Close sent
//!   ┌──────────┐ ───────────▶ ┌──────┐ ───────────▶ ┌─────────┐ ───────────▶ ┌────────┐
//!   │ Greeting │              │ Open │              │ Closing │              │ Closed │
//!   └──────────┘ ─────┐       └──────┘ ───┐         └─────────┘              └────────┘
//!                     │                   │  Close received                       ▲
//!                     └───────────────────┴───────────────────────────────────────┘
//! ```
//!
//! Draining is not a state: after the `Drain` of either side nothing new begins, and open streams and
//! requests continue in `Open` until they end.
//!
//! Invariants:
//!
//! 1. All memory that the peer can make this side use is bounded by [`Limits`]: streams and requests by
//!    their tables, elements by credit, partly assembled ones by the session's credit, answers by one
//!    field for each stream and one slot for each request, pongs by their number.
//! 2. A command takes effect, or is [`Refused`] and has no effect.
//! 3. After an error no frame is received, and only a `Close` is sent.
//! 4. A frame is sent whole or not at all, in the order: handshake, pongs, control, frames due on
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
pub use self::unsent::UnsentBlocks;
use self::{regions::Regions, requests::Asked, time::Clock};
use crate::{
    Counters, Head, Kind, Left, Limits, PeerLimits, Refused, Role, SessionError, StreamId,
    assembly::Assembly,
    chunk::Chunk,
    ids::GENERATION_MAX,
    pool::QueuePool,
    ready::Ready,
    stream::{Ending, Phase, Stream},
    table::{Missing, Table},
};

/// The version of this protocol in a hello.
pub(crate) const VERSION: u32 = 2;

/// One side of a connection that speaks protocol 2. See the [module's notes](crate::protocol) for
/// the protocol.
///
/// The caller drives it: pass each frame to [`receive`](Self::receive), call
/// [`transmit`](Self::transmit) after frames and commands and when the transport is writable, and call
/// [`on_deadline`](Self::on_deadline) at [`deadline`](Self::deadline). It is not synchronized: put it
/// behind the connection's lock.
pub struct Session {
    role: Role,
    limits: Limits,
    peer: PeerLimits,
    state: State,
    clock: Clock,
    streams: Streams,
    /// Requests of this side.
    asked: Table<Asked>,
    /// Requests of the peer.
    asking: Table<requests::Asking>,
    regions: Regions,

    // To be sent, in this order.
    greets: bool,
    pongs: VecDeque<u64>,
    ping: Option<u64>,
    drain: Drain,
    control: VecDeque<Control>,
    /// How many frames in `control` are bounded by `control_frames_max` alone.
    loose: usize,
    /// Streams on which a frame is due.
    due: VecDeque<StreamId>,
    ready: Ready,
    close: Option<(u16, Bytes)>,

    /// Bytes of elements that may be sent over all streams.
    window: u64,
    taking: Taking,
    /// Bytes in the queues of all streams.
    queue_bytes: u64,
    pool: QueuePool,
    /// Memory of long bodies: of frames to be sent, and of received elements.
    bodies: Chunk,
    elements: Chunk,
    unsent: unsent::Unsent,
    unsent_blocks: UnsentBlocks,
    counters: Counters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Open,
    Closing,
    Closed,
}

/// Draining, by either side.
#[derive(Debug, Default)]
struct Drain {
    /// A `Drain` is to be sent.
    due: bool,
    /// This side is draining.
    here: bool,
    /// The peer is draining.
    there: bool,
    /// `Event::Drained` was returned.
    reported: bool,
}

/// The session credit that this side grants to the peer.
///
/// ```text
///   granted ── first piece ────────▶ in flight ── whole ──▶ owed ── Credit ──▶ granted
///                                                            │ ▲
///                                                       hold ▼ │ let_go
///                                                            held
/// ```
#[derive(Debug, Default)]
struct Taking {
    granted: u64,
    owed: u64,
    held: u64,
    /// A `Credit` is sent when this much is owed: half of the whole credit, or less, so that the credit
    /// that is not granted yet never blocks an element of the greatest length.
    grant_from: u64,
}

impl Taking {
    fn of(limits: &Limits) -> Self {
        let all = limits.session_credit_bytes;
        let spare = all - u64::from(limits.element_bytes_max);
        let grant_from = (all / 2).min(spare).max(1);
        Self { granted: all, grant_from, ..Self::default() }
    }
}

/// A queued frame that carries no element.
struct Control {
    head: Head,
    body: ControlBody,
    loose: bool,
}

/// The longest body that is queued in place, without an allocation.
const SHORT_BYTES_MAX: usize = 96;

enum ControlBody {
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Bytes),
}

/// The parts in one, if they have room.
#[inline]
fn join_short<'a>(parts: [&[u8]; 2], into: &'a mut [u8; SHORT_BYTES_MAX]) -> Option<&'a [u8]> {
    let [first, second] = parts;
    let body = into.get_mut(..first.len() + second.len())?;
    let (place, rest) = body.split_at_mut_checked(first.len())?;
    place.copy_from_slice(first);
    rest.copy_from_slice(second);
    Some(body)
}

impl ControlBody {
    /// A body of these parts. A long one is in memory of `chunk`.
    #[inline]
    fn join(parts: [&[u8]; 2], chunk: &mut Chunk) -> Self {
        let mut bytes = [0; SHORT_BYTES_MAX];
        if let Some(body) = join_short(parts, &mut bytes) {
            let len = body.len() as u8;
            return Self::Short { len, bytes };
        }
        Self::Long(chunk.join(parts))
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

/// The streams of both sides.
struct Streams {
    role: Role,
    own: Table<Stream>,
    peer: Table<Stream>,
}

impl Session {
    /// A session that begins `now`. A client sends its hello at once; a server waits for it.
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
            pool: QueuePool::default(),
            bodies: Chunk::default(),
            elements: Chunk::default(),
            unsent: unsent::Unsent::new(),
            unsent_blocks: UnsentBlocks::default(),
            counters: Counters::default(),
            limits,
        }
    }

    /// Resets this session to the state of [`new`](Self::new) with the same role, and keeps its
    /// allocations. Nothing is sent to the peer. For runs of many short sessions.
    pub fn renew(&mut self, limits: Limits, now: Instant) {
        // Lists every field by name, so that none can be forgotten; in place, because a session is
        // large.
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
            pool: _,
            bodies: _,
            elements: _,
            unsent,
            unsent_blocks,
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
        *unsent_blocks = UnsentBlocks::default();
        *counters = Counters::default();
    }

    /// Starts draining: nothing new begins, and a `Drain` is sent. Open streams and requests continue;
    /// when all have ended, `on_deadline` returns `Event::Drained`, or ends the session if that takes
    /// longer than `Limits::drain_ms`.
    pub fn drain(&mut self) {
        if !self.drain.here {
            self.drain.here = true;
            self.drain.due = true;
        }
    }

    /// Ends the session: all queues are dropped, and `transmit` sends only a `Close`. The queued
    /// elements are in [`take_unsent`](Self::take_unsent), the queued releases in
    /// [`take_unsent_blocks`](Self::take_unsent_blocks). `why` is cut to `Limits::text_bytes_max`.
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
        for control in std::mem::take(&mut self.control) {
            self.unsent_blocks.keep_release(&control);
        }
        self.loose = 0;
        self.due = VecDeque::new();
        self.ready.clear();
        self.queue_bytes = 0;
        self.unsent.clear();
        for (opener, table) in
            [(self.role, &mut self.streams.own), (self.role.other(), &mut self.streams.peer)]
        {
            for (index, generation, stream) in table.iter_mut() {
                self.unsent_blocks.keep_returns(stream);
                unsent::keep(&mut self.unsent, StreamId::new(opener, index, generation), stream);
            }
        }
        self.streams.own = Table::new(GENERATION_MAX);
        self.streams.peer = Table::new(GENERATION_MAX);
        self.asked = Table::new(u32::MAX);
        self.asking = Table::new(u32::MAX);
        self.regions = Regions::default();
    }

    /// Holds `bytes` of the element of the last event: they stay in the application's memory, and their
    /// session credit is granted again only after [`let_go`](Self::let_go). Credit that is not held is
    /// granted again at once.
    pub fn hold(&mut self, bytes: u64) {
        let bytes = bytes.min(self.taking.owed);
        self.taking.owed -= bytes;
        self.taking.held += bytes;
    }

    /// Releases bytes that were held.
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

    /// This side's limits, after adjustment.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The longest element that can be sent or returned, in bytes: both sides accept it.
    #[must_use]
    pub fn element_bytes_max(&self) -> u32 {
        self.peer.element_bytes_max.min(self.limits.element_bytes_max)
    }

    /// Whether commands are accepted: after the handshake, before the end.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the session is over: frames and commands are refused.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closing | State::Closed)
    }

    /// Whether either side is draining.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.drain.here || self.drain.there
    }

    /// Whether no stream or request of either side is open and nothing is queued.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_quiet() && !self.has_control() && self.queue_bytes == 0
    }

    /// The credit left on a stream; `None`: no such stream.
    #[must_use]
    pub fn credit(&self, id: StreamId) -> Option<Left> {
        Some(self.streams.get(id)?.outgoing.credit)
    }

    /// Session credit in bytes that is not reserved for a stream yet.
    #[must_use]
    pub const fn session_credit(&self) -> u64 {
        self.window
    }

    /// Elements and bytes in the send queue of a stream.
    #[must_use]
    pub fn queued(&self, id: StreamId) -> Option<Left> {
        let outgoing = &self.streams.get(id)?.outgoing;
        Some(Left { messages: outgoing.queue.len() as u64, bytes: outgoing.queue_bytes })
    }

    /// Bytes in the send queues of all streams.
    #[must_use]
    pub const fn queued_bytes(&self) -> u64 {
        self.queue_bytes
    }

    /// Queued frames without elements, and streams on which a frame is due.
    #[must_use]
    pub fn queued_control(&self) -> usize {
        self.control.len() + self.pongs.len() + self.due.len()
    }

    /// Entries in the lists of streams that can send. At most twice the streams, plus 128.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.ready.len()
    }

    /// Session credit in bytes that the peer has spent and that was not granted again: elements in
    /// flight, partly assembled or held here. At most `Limits::session_credit_bytes`.
    #[must_use]
    pub const fn charged_bytes(&self) -> u64 {
        self.limits.session_credit_bytes.saturating_sub(self.taking.granted)
    }

    /// Bytes of [`charged_bytes`](Self::charged_bytes) for which no credit is due to the peer: in flight,
    /// partly assembled or held. Zero when nothing is in flight and nothing is held.
    #[must_use]
    pub const fn outstanding_bytes(&self) -> u64 {
        self.charged_bytes().saturating_sub(self.taking.owed)
    }

    /// Open streams of both sides.
    #[must_use]
    pub const fn streams(&self) -> usize {
        self.streams.own.len() + self.streams.peer.len()
    }

    /// Open requests: of this side, of the peer.
    #[must_use]
    pub const fn requests(&self) -> (usize, usize) {
        (self.asked.len(), self.asking.len())
    }

    /// The counters of this session.
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

    fn fits(&self, body_bytes: usize) -> Result<(), Refused> {
        if body_bytes > self.peer.frame_body_bytes_max as usize {
            return Err(Refused::TooLong);
        }
        Ok(())
    }

    /// Cuts a text to the length that the peer accepts.
    #[inline]
    fn shorten(&self, why: &mut Bytes) {
        let most = match self.state {
            State::Greeting => 256,
            _ => self.limits.text_bytes_max.min(self.peer.frame_body_bytes_max),
        };
        why.truncate(most as usize);
    }

    /// Queues a frame. The caller bounds the number of such frames.
    fn queue_control(&mut self, head: Head, body: Bytes) {
        self.control.push_back(Control { head, body: ControlBody::Long(body), loose: false });
    }

    /// Queues a frame of which at most `control_frames_max` may wait.
    fn queue_unordered(&mut self, head: Head, body: Bytes) -> Result<(), Refused> {
        if self.loose >= self.limits.control_frames_max as usize {
            return Err(Refused::Full);
        }
        self.loose += 1;
        self.control.push_back(Control { head, body: ControlBody::Long(body), loose: true });
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
        self.pool.put(&mut outgoing.queue);
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

    /// Runs a command, and counts it if it is refused.
    #[inline]
    fn command<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let result = run(self);
        if let Err(refused) = &result {
            self.count_refused(*refused);
        }
        result
    }

    fn count_refused(&mut self, refused: Refused) {
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

    /// The peer's frame crossed with the end of its stream, request or region.
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

/// Lists a stream that has something to send.
#[inline]
fn list(ready: &mut Ready, id: StreamId, stream: &mut Stream) {
    if !std::mem::replace(&mut stream.outgoing.listed, true) {
        ready.push(stream.priority as usize, id);
    }
}

/// The head of a frame on a stream.
const fn head(kind: Kind, id: StreamId) -> Head {
    let mut head = Head::new(kind);
    head.stream = id.number();
    head
}

/// Whether the application may send on a stream.
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
