// SPDX-License-Identifier: BSD-3-Clause
//! What can happen in a run.

use crate::contract::{ErrorClass, FlowEvent, FlowId, FlowState, Tick};
use crate::pattern::Direction;

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub tick: Tick,
    /// To which flow; 0: to the run.
    pub flow: FlowId,
    /// What.
    pub what: What,
}

/// Which adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Between the source and the runtime.
    Ingress,
    /// Between the runtime and the sink.
    Egress,
    /// None: the network, with the session at its end.
    Network,
}

/// What an adapter is asked to do with a flow.
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

/// What an adapter says of a flow when it is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Said {
    /// Nothing more comes out.
    HalfClosed,
    /// It was broken off outside.
    Reset,
    /// It failed, here or at the other end.
    Failed,
    /// It is over, in order.
    Closed,
}

/// What the lab does to those whom it examines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// Bytes arrive later.
    Delay,
    /// Nothing arrives for a while.
    Stall,
    /// Fewer bytes are given than there are.
    PartialRead,
    /// Fewer bytes are taken than are offered.
    PartialWrite,
    /// Nothing is taken, once.
    WouldBlock,
    /// Bytes arrive twice.
    Duplicate,
    /// Bytes do not arrive.
    Drop,
    /// Bytes arrive before those in front of them.
    Reorder,
    /// A bit is another.
    Corrupt,
    /// The end of a message is missing.
    Truncate,
    /// A flow is broken off.
    Reset,
    /// One direction ends early.
    HalfClose,
    /// An adapter is polled without a reason.
    SpuriousWake,
    /// A flow is given up.
    Cancel,
    /// An adapter is thrown away and made anew.
    Crash,
    /// Time makes a jump.
    ClockJump,
    /// There is less room than before.
    BufferShrink,
    /// The sink takes little.
    SlowConsumer,
    /// The sink wants more than it should.
    GreedyConsumer,
    /// The sink takes nothing of one flow.
    BlockedConsumer,
}

/// A part of a run that carries bytes and is no adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The lab's source.
    Source,
    /// A session.
    Session,
    /// The lab's network.
    Carrier,
    /// The lab's target.
    Target,
    /// What waits between the session and the egress adapter.
    Boundary,
    /// The lab's sink.
    Sink,
}

impl Part {
    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "the lab's source",
            Self::Session => "the session",
            Self::Carrier => "the lab's carrier",
            Self::Target => "the lab's target",
            Self::Boundary => "what waits for the egress adapter",
            Self::Sink => "the lab's sink",
        }
    }
}

/// A call of a session that is made besides carrying flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SessionCall {
    /// A stream is opened.
    Open,
    /// It is accepted.
    Accept,
    /// It is refused.
    Refuse,
    /// An element is queued.
    Send,
    /// An element goes straight into the network, if it can.
    SendThrough,
    /// Credit is given.
    Grant,
    /// Credit is taken back.
    Revoke,
    /// Elements are accepted.
    Ack,
    /// An element is refused.
    Nack,
    /// An element is taken back by its sender.
    Withdraw,
    /// An element is given back by its receiver.
    GiveBack,
    /// What was not sent is taken out.
    TakeUnsent,
    /// One direction of a stream ends.
    End,
    /// A stream is broken off.
    Reset,
    /// Memory is announced.
    Region,
    /// It is taken back.
    Unregion,
    /// A block of it is given back.
    Release,
    /// Something is asked.
    Request,
    /// It is answered.
    Reply,
    /// The answer is not wanted any more.
    Cancel,
    /// News.
    Notice,
    /// Bytes that came stay in memory.
    Hold,
    /// They do not any more.
    LetGo,
    /// Time has passed: pings, and their answers.
    OnDeadline,
    /// Nothing new is begun.
    Drain,
    /// The session ends.
    Close,
}

impl SessionCall {
    /// The name of the session's function.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Send => "send",
            Self::SendThrough => "send_through",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Ack => "ack",
            Self::Nack => "nack",
            Self::Withdraw => "withdraw",
            Self::GiveBack => "give_back",
            Self::TakeUnsent => "take_unsent",
            Self::End => "end",
            Self::Reset => "reset",
            Self::Region => "region",
            Self::Unregion => "unregion",
            Self::Release => "release",
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Cancel => "cancel",
            Self::Notice => "notice",
            Self::Hold => "hold",
            Self::LetGo => "let_go",
            Self::OnDeadline => "on_deadline",
            Self::Drain => "drain",
            Self::Close => "close",
        }
    }
}

/// What a session may keep when it is to keep nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kept {
    /// Streams that are open.
    Streams,
    /// Requests that are open.
    Requests,
    /// Frames that wait to be sent.
    Frames,
    /// Bytes of elements that wait to be sent.
    QueuedBytes,
    /// Bytes of elements that came, for which no credit goes back.
    ChargedBytes,
    /// Bytes of credit that neither side has.
    LostCredit,
    /// Memory of what was given to it to be sent.
    Memory,
}

impl Kept {
    /// As findings have it.
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
pub enum What {
    /// An adapter was asked to do something; how it refused, if it did.
    Called {
        /// Which adapter.
        place: Place,
        /// What was asked.
        call: Call,
        /// How it refused.
        refused: Option<ErrorClass>,
    },
    /// Bytes were offered to an adapter.
    Offered {
        /// Which adapter.
        place: Place,
        /// The chunk's number.
        sequence: u64,
        /// Where the first byte stands.
        offset: u64,
        /// How many.
        bytes: u64,
        /// Nothing comes behind them.
        is_final: bool,
    },
    /// It says that it took so many of them.
    Took {
        /// Which adapter.
        place: Place,
        /// How many.
        bytes: u64,
    },
    /// It refused them.
    OfferRefused {
        /// Which adapter.
        place: Place,
        /// How.
        class: ErrorClass,
    },
    /// An adapter put bytes out.
    Out {
        /// Which adapter.
        place: Place,
        /// The chunk's number.
        sequence: u64,
        /// Where the first byte stands.
        offset: u64,
        /// How many.
        bytes: u64,
        /// Nothing comes behind them.
        is_final: bool,
    },
    /// It put out more than there was room for: it was not taken.
    OutBeyondRoom {
        /// Which adapter.
        place: Place,
        /// How many bytes.
        bytes: u64,
        /// For how many there was room.
        room: u64,
    },
    /// It put bytes out on a flow that takes none: that never was, or is over.
    OutOnNoFlow {
        /// Which adapter.
        place: Place,
        /// How many bytes.
        bytes: u64,
        /// The state of the flow.
        state: FlowState,
    },
    /// A byte that was put out is not the one that it has to be.
    OtherByte {
        /// Which adapter put it out.
        place: Place,
        /// Where it stands.
        offset: u64,
    },
    /// A byte behind this part is not the one that it has to be, and before it all were.
    Changed {
        /// Which part: no adapter is one.
        part: Part,
        /// Where it stands.
        offset: u64,
    },
    /// A chunk's number or offset is not the next.
    OutOfPlace {
        /// Which adapter put it out.
        place: Place,
        /// The number that was expected.
        sequence: u64,
        /// The offset that was expected.
        offset: u64,
    },
    /// An adapter said something of a flow.
    Said {
        /// Which adapter.
        place: Place,
        /// What.
        said: Said,
    },
    /// An adapter holds so many bytes, more than it did before.
    Holds {
        /// Which adapter.
        place: Place,
        /// How many.
        bytes: u64,
    },
    /// A flow got a stream of the session.
    Stream {
        /// Its number.
        stream: u32,
    },
    /// The stream of a flow ended.
    StreamOver {
        /// By whom: `true`, by a reset.
        is_reset: bool,
        /// The code that came with it.
        code: u16,
    },
    /// Bytes came across the network.
    Crossed {
        /// Which way.
        direction: Direction,
        /// How many.
        bytes: u64,
    },
    /// The target sent bytes.
    Answered {
        /// How many.
        bytes: u64,
        /// Nothing comes behind them.
        is_final: bool,
    },
    /// A session ended by an error: on the client's side, or on the server's.
    SessionError {
        /// On the client's side.
        is_client: bool,
        /// The code that the other side is told.
        code: u16,
    },
    /// A flow has another state.
    Moved {
        /// Which.
        state: FlowState,
    },
    /// Something happened that cannot happen to a flow in its state.
    Illegal {
        /// By which adapter.
        place: Place,
        /// The state, which stays.
        state: FlowState,
        /// What should have happened.
        event: FlowEvent,
    },
    /// The source has bytes, and nothing takes them.
    Stalled,
    /// It goes on.
    Resumed,
    /// A fault struck.
    Fault(FaultKind),
    /// The sink, which took nothing of this flow, takes of it again.
    Unblocked,
    /// No more faults strike: every flow must end from now on.
    Calm,
    /// Nothing moves any more, and this flow is not over.
    Stuck {
        /// Its state.
        state: FlowState,
    },
    /// The run took as many steps as it may: an adapter asks to be polled again and again.
    OutOfSteps,
    /// Every flow is over, and an adapter still holds bytes.
    Left {
        /// Which adapter.
        place: Place,
        /// How many.
        bytes: u64,
    },
    /// Every flow is over, nothing happens any more, and an adapter waits for a later time.
    Waits {
        /// Which adapter.
        place: Place,
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
    /// A session did something besides carrying flows, or what came of it is wrong.
    SessionCall {
        /// On the client's side.
        is_client: bool,
        /// Which call it was.
        call: SessionCall,
        /// It is as it has to be.
        is_right: bool,
    },
    /// The run is over.
    Finished,
}

impl What {
    /// Everything of it, as numbers: the same numbers are the same event.
    #[inline]
    pub(super) fn words(&self) -> [u64; 4] {
        let place = |place: Place| place as u64;
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
            Self::Said { place: at, said } => [10, place(at), said as u64, 0],
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
            Self::Calm => [22, 0, 0, 0],
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
