// SPDX-License-Identifier: BSD-3-Clause
//! The events of a run.

use strum::{IntoStaticStr, VariantArray};

use crate::contract::{ErrorClass, FlowEvent, FlowId, FlowState, Tick};
use crate::pattern::Direction;

/// An event of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Time.
    pub tick: Tick,
    /// The flow; 0: the whole run.
    pub flow: FlowId,
    /// What happened.
    pub what: EventKind,
}

/// The stage of a run that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The ingress adapter, between the source and the runtime.
    Ingress,
    /// The egress adapter, between the runtime and the sink.
    Egress,
    /// The network, with the session at its end; no adapter.
    Network,
}

/// A call of an adapter about a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// [`Adapter::open`](crate::contract::Adapter::open).
    Open,
    /// [`Adapter::half_close`](crate::contract::Adapter::half_close).
    HalfClose,
    /// [`Adapter::reset`](crate::contract::Adapter::reset).
    Reset,
    /// [`Adapter::close`](crate::contract::Adapter::close).
    Close,
}

/// What an adapter reports about a flow when it is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutletEvent {
    /// Its output has ended.
    HalfClosed,
    /// It was reset at the other end.
    Reset,
    /// It failed, in the adapter or at the other end.
    Failed,
    /// It is over, in order.
    Closed,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FaultKind {
    /// Bytes arrive later.
    Delay,
    /// Nothing arrives for a while.
    Stall,
    /// Fewer bytes are offered than there are.
    PartialRead,
    /// Fewer bytes are taken than are offered.
    PartialWrite,
    /// Nothing is taken, once.
    WouldBlock,
    /// Bytes arrive twice.
    Duplicate,
    /// Bytes do not arrive.
    Drop,
    /// Bytes overtake earlier ones.
    Reorder,
    /// A bit is changed.
    Corrupt,
    /// The end of a message is missing.
    Truncate,
    /// A flow is reset.
    Reset,
    /// One direction ends early.
    HalfClose,
    /// An adapter is polled without a reason.
    SpuriousWake,
    /// A flow is cancelled.
    Cancel,
    /// An adapter is dropped and created anew.
    Crash,
    /// Virtual time jumps.
    ClockJump,
    /// There is less room than before.
    BufferShrink,
    /// The sink takes few bytes.
    SlowConsumer,
    /// The sink asks for more than it should.
    GreedyConsumer,
    /// The sink takes nothing of one flow.
    BlockedConsumer,
}

/// A part of a run that carries bytes and is not an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The lab's source.
    Source,
    /// A session.
    Session,
    /// The link.
    Link,
    /// The lab's target.
    Target,
    /// The queue between the session and the egress adapter.
    Boundary,
    /// The lab's sink.
    Sink,
}

impl Part {
    /// Name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "the lab's source",
            Self::Session => "the session",
            Self::Link => "the lab's link",
            Self::Target => "the lab's target",
            Self::Boundary => "what waits for the egress adapter",
            Self::Sink => "the lab's sink",
        }
    }
}

/// A call of a session besides those for flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SessionCall {
    /// A stream is opened.
    Open,
    /// A stream is accepted.
    Accept,
    /// A stream is refused.
    Refuse,
    /// An element is queued.
    Send,
    /// An element is sent directly, if possible.
    SendThrough,
    /// Credit is granted.
    Grant,
    /// Credit is revoked.
    Revoke,
    /// Elements are accepted.
    Ack,
    /// An element is refused.
    Nack,
    /// An element is withdrawn by its sender.
    Withdraw,
    /// An element is returned by its receiver.
    GiveBack,
    /// Unsent elements are taken from the queue.
    TakeUnsent,
    /// One direction of a stream ends.
    End,
    /// A stream is reset.
    Reset,
    /// A region is announced.
    Region,
    /// A region is withdrawn.
    Unregion,
    /// A block of a region is released.
    Release,
    /// A request is sent.
    Request,
    /// A request is answered.
    Reply,
    /// A request is cancelled.
    Cancel,
    /// A notice is sent.
    Notice,
    /// Arrived bytes are held in memory.
    Hold,
    /// Held bytes are released.
    LetGo,
    /// A deadline: pings, and their answers.
    OnDeadline,
    /// The session drains: nothing new begins.
    Drain,
    /// The session closes.
    Close,
}

impl SessionCall {
    /// The name of the session's function.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What a session may keep when it should keep nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kept {
    /// Open streams.
    Streams,
    /// Open requests.
    Requests,
    /// Frames that wait to be sent.
    Frames,
    /// Bytes of elements that wait to be sent.
    QueuedBytes,
    /// Bytes of arrived elements for which no credit is returned.
    ChargedBytes,
    /// Bytes of credit that neither side has.
    LostCredit,
    /// Memory of elements that it was given to send.
    Memory,
}

impl Kept {
    /// Name in findings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams that are open",
            Self::Requests => "requests that are open",
            Self::Frames => "frames that wait to be sent",
            Self::QueuedBytes => "bytes that wait to be sent",
            Self::ChargedBytes => "bytes that came and are charged for",
            Self::LostCredit => "bytes of credit that neither side has",
            Self::Memory => "buffers of what was sent",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// An adapter was called about a flow.
    Called {
        /// Which adapter.
        place: Stage,
        /// The call.
        call: Call,
        /// Its refusal, if any.
        refused: Option<ErrorClass>,
    },
    /// Bytes were offered to an adapter.
    Offered {
        /// Which adapter.
        place: Stage,
        /// The chunk's number.
        sequence: u64,
        /// Offset of the first byte.
        offset: u64,
        /// Number of bytes.
        bytes: u64,
        /// The direction ends after them.
        is_final: bool,
    },
    /// An adapter reported how many bytes of an offer it took.
    Took {
        /// Which adapter.
        place: Stage,
        /// Number of bytes.
        bytes: u64,
    },
    /// An adapter refused an offer.
    OfferRefused {
        /// Which adapter.
        place: Stage,
        /// The kind of refusal.
        class: ErrorClass,
    },
    /// An adapter put bytes out.
    Out {
        /// Which adapter.
        place: Stage,
        /// The chunk's number.
        sequence: u64,
        /// Offset of the first byte.
        offset: u64,
        /// Number of bytes.
        bytes: u64,
        /// The direction ends after them.
        is_final: bool,
    },
    /// An adapter put out more than there was room for: it was refused.
    OutBeyondRoom {
        /// Which adapter.
        place: Stage,
        /// Number of bytes.
        bytes: u64,
        /// The room, in bytes.
        room: u64,
    },
    /// An adapter put out bytes of a flow that takes none: one that never existed, or is over.
    OutOnNoFlow {
        /// Which adapter.
        place: Stage,
        /// Number of bytes.
        bytes: u64,
        /// The state of the flow.
        state: FlowState,
    },
    /// An adapter put out a wrong byte, or the target received one ([`Stage::Network`]).
    OtherByte {
        /// Where it was seen.
        place: Stage,
        /// Its offset.
        offset: u64,
    },
    /// A byte is wrong behind this part, and was correct in front of it.
    Changed {
        /// The part, which is never an adapter.
        part: Part,
        /// Its offset.
        offset: u64,
    },
    /// A chunk's number or offset is not the next.
    OutOfPlace {
        /// Which adapter put it out.
        place: Stage,
        /// The number that was expected.
        sequence: u64,
        /// The offset that was expected.
        offset: u64,
    },
    /// An adapter reported something about a flow.
    Signalled {
        /// Which adapter.
        place: Stage,
        /// The report.
        said: OutletEvent,
    },
    /// An adapter holds this many bytes, more than before.
    Holds {
        /// Which adapter.
        place: Stage,
        /// Number of bytes.
        bytes: u64,
    },
    /// A flow was assigned a stream of the session.
    Stream {
        /// Its number.
        stream: u32,
    },
    /// The stream of a flow ended.
    StreamOver {
        /// `true`: by a reset.
        is_reset: bool,
        /// The code that came with it.
        code: u16,
    },
    /// Bytes crossed the network.
    Crossed {
        /// Direction.
        direction: Direction,
        /// Number of bytes.
        bytes: u64,
    },
    /// The target sent bytes.
    Answered {
        /// Number of bytes.
        bytes: u64,
        /// The direction ends after them.
        is_final: bool,
    },
    /// A session ended by an error: on the client's side, or on the server's.
    SessionError {
        /// On the client's side.
        is_client: bool,
        /// The code that is sent to the other side.
        code: u16,
    },
    /// A flow entered another state.
    Moved {
        /// The state.
        state: FlowState,
    },
    /// An event that is not allowed in the state of its flow.
    Illegal {
        /// By which adapter.
        place: Stage,
        /// The state, which does not change.
        state: FlowState,
        /// The event.
        event: FlowEvent,
    },
    /// The source has bytes, and no adapter takes them.
    Stalled,
    /// The source continues.
    Resumed,
    /// A fault was injected.
    Fault(FaultKind),
    /// The sink, which took nothing of this flow, takes of it again.
    Unblocked,
    /// The faults are cleared: every flow must end from now on.
    FaultsCleared,
    /// Nothing moves any more, and this flow is not over.
    Stuck {
        /// Its state.
        state: FlowState,
    },
    /// The run reached its maximum number of steps: an adapter requests polls for ever.
    OutOfSteps,
    /// Every flow is over, and an adapter still holds bytes.
    Left {
        /// Which adapter.
        place: Stage,
        /// Number of bytes.
        bytes: u64,
    },
    /// Every flow is over, nothing happens any more, and an adapter waits for a later time.
    Waits {
        /// Which adapter.
        place: Stage,
    },
    /// Every flow is over, and a session still keeps something.
    SessionKeeps {
        /// On the client's side.
        is_client: bool,
        /// What it keeps.
        kept: Kept,
        /// How much.
        amount: u64,
    },
    /// A session made a call besides those for flows, or the result of one is wrong.
    SessionCall {
        /// On the client's side.
        is_client: bool,
        /// The call.
        call: SessionCall,
        /// The result is correct.
        is_right: bool,
    },
    /// The run is over.
    Finished,
}

impl EventKind {
    /// All fields as numbers: equal numbers mean equal events.
    #[inline]
    pub(super) fn words(&self) -> [u64; 4] {
        let place = |place: Stage| place as u64;
        match *self {
            Self::Called { place: at, call, refused } => {
                [1, place(at) << 8 | call as u64, refused.map_or(0, |class| class as u64), 0]
            }
            Self::Offered { place: at, sequence, offset, bytes, is_final } => {
                [2 | place(at) << 8 | u64::from(is_final) << 16, sequence, offset, bytes]
            }
            Self::Took { place: at, bytes } => [3, place(at), bytes, 0],
            Self::OfferRefused { place: at, class } => [4, place(at), class as u64, 0],
            Self::Out { place: at, sequence, offset, bytes, is_final } => {
                [5 | place(at) << 8 | u64::from(is_final) << 16, sequence, offset, bytes]
            }
            Self::OutBeyondRoom { place: at, bytes, room } => [6, place(at), bytes, room],
            Self::OutOnNoFlow { place: at, bytes, state } => [7, place(at), bytes, state as u64],
            Self::OtherByte { place: at, offset } => [8, place(at), offset, 0],
            Self::OutOfPlace { place: at, sequence, offset } => [9, place(at), sequence, offset],
            Self::Signalled { place: at, said } => [10, place(at), said as u64, 0],
            Self::Holds { place: at, bytes } => [11, place(at), bytes, 0],
            Self::Stream { stream } => [12, stream.into(), 0, 0],
            Self::StreamOver { is_reset, code } => [13, is_reset.into(), code.into(), 0],
            Self::Crossed { direction, bytes } => [14, direction as u64, bytes, 0],
            Self::Answered { bytes, is_final } => [15, bytes, is_final.into(), 0],
            Self::SessionError { is_client, code } => [16, is_client.into(), code.into(), 0],
            Self::Moved { state } => [17, state as u64, 0, 0],
            Self::Illegal { place: at, state, event } => {
                [18, place(at), state as u64, event as u64]
            }
            Self::Stalled => [19, 0, 0, 0],
            Self::Resumed => [20, 0, 0, 0],
            Self::Fault(kind) => [21, kind as u64, 0, 0],
            Self::FaultsCleared => [22, 0, 0, 0],
            Self::Stuck { state } => [23, state as u64, 0, 0],
            Self::Finished => [24, 0, 0, 0],
            Self::OutOfSteps => [25, 0, 0, 0],
            Self::Left { place: at, bytes } => [26, place(at), bytes, 0],
            Self::Unblocked => [27, 0, 0, 0],
            Self::Changed { part, offset } => [28, part as u64, offset, 0],
            Self::Waits { place: at } => [31, place(at), 0, 0],
            Self::SessionKeeps { is_client, kept, amount } => {
                [29, is_client.into(), kept as u64, amount]
            }
            Self::SessionCall { is_client, call, is_right } => {
                [30, is_client.into(), call as u64, is_right.into()]
            }
        }
    }
}
