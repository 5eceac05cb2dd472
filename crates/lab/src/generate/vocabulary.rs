// SPDX-License-Identifier: BSD-3-Clause
//! The types of generated modules: what a backend is called with, and the traits that it calls.
//!
//! They correspond to those of [`contract`](crate::contract), with the standard library alone. The
//! generator copies the code below the marker into each module; the interpreted backend uses it
//! here.

// Vocabulary.

/// The priority class of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A user waits for it.
    Interactive,
    /// No particular priority.
    Normal,
    /// Large, and not urgent.
    Bulk,
}

/// Why a flow was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// On request.
    Reset,
    /// Because of a failure.
    Error,
}

/// How a flow ends at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its last chunk is final.
    Final,
    /// A half-close after its last chunk.
    HalfClose,
    /// A reset after its last chunk.
    Reset,
    /// Its last chunk is final; then it offers more, which must be refused.
    LateWrite,
    /// After its last chunk it offers one behind a gap, which must be refused.
    Malformed,
}

/// The states of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Only its number is known.
    New,
    /// It was requested.
    Opening,
    /// Bytes may go both ways.
    Open,
    /// No more bytes come in; those that are there are still put out.
    HalfClosed,
    /// Everything was put out, and the end was reported.
    Draining,
    /// It ended in order.
    Closed,
    /// It was reset.
    Reset,
    /// It ended by an error.
    Failed,
}

impl State {
    /// All states, in the order of the rows of a lifecycle table.
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Opening,
        Self::Open,
        Self::HalfClosed,
        Self::Draining,
        Self::Closed,
        Self::Reset,
        Self::Failed,
    ];
}

/// The events of a flow's lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is requested.
    Open,
    /// It is established.
    Opened,
    /// One side sends no more.
    HalfClose,
    /// No more bytes come in.
    Drain,
    /// It ends in order.
    Close,
    /// It is reset.
    Reset,
    /// It ends by an error.
    Fail,
}

impl Event {
    /// All events, in the order of the columns of a lifecycle table.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Opened,
        Self::HalfClose,
        Self::Drain,
        Self::Close,
        Self::Reset,
        Self::Fail,
    ];
}

/// Why a backend refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It does not claim the capability of this name.
    Unsupported(&'static str),
    /// It carries its maximum number of flows already.
    TooManyFlows,
    /// The flow does not exist.
    UnknownFlow,
    /// The number is in use.
    FlowInUse,
    /// The flow takes nothing more.
    Closed,
    /// The chunk is not the next one, or its length is not that of its bytes.
    Malformed,
}

/// A piece of a flow. Its bytes are passed beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Its flow.
    pub flow: u32,
    /// Its number in its flow, from 1.
    pub sequence: u64,
    /// Position of its first byte in the flow.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// It is the last one.
    pub is_final: bool,
}

/// A planned chunk of a source: not before `at`, with `base + (seed + salt) % span` bytes, but no
/// more than `bytes_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The tick, in milliseconds.
    pub at: u64,
    /// Minimum length in bytes.
    pub base: u64,
    /// The seed adds less than this number, which is not 0.
    pub span: u64,
    /// Distinguishes chunks with the same seed.
    pub salt: u64,
    /// Maximum length in bytes.
    pub bytes_max: u64,
}

impl Piece {
    /// Length in bytes in runs with this seed.
    #[must_use]
    pub const fn bytes(&self, seed: u64) -> u64 {
        let bytes = self.base + seed.wrapping_add(self.salt) % self.span;
        if bytes < self.bytes_max { bytes } else { self.bytes_max }
    }
}

/// The plan of the source of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Its number.
    pub number: u32,
    /// Its priority class.
    pub class: Class,
    /// When it opens, in milliseconds.
    pub opens_at: u64,
    /// How it ends.
    pub end: End,
    /// Its chunks, in order.
    pub pieces: &'static [Piece],
}

/// The context of a call: everything that a backend may use of its environment.
pub trait Host {
    /// Maximum number of bytes that the call should move.
    fn budget_bytes(&self) -> usize;
    /// Requests a poll: the backend has something to put out.
    fn wants_poll(&mut self);
    /// Reports that the flow would take more than it did at the latest offer.
    fn has_room(&mut self, flow: u32);
}

/// Receives the output of a backend during one poll.
pub trait Port {
    /// How many bytes of this flow would be taken now.
    fn room(&self, flow: u32) -> usize;
    /// Puts out the next bytes of a flow. False: nothing was taken.
    fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> bool;
    /// Ends the output of this flow.
    fn half_closed(&mut self, flow: u32);
    /// The flow was reset at the other end.
    fn reset(&mut self, flow: u32, cause: Cause);
}

/// A backend, which carries flows. A call never blocks: it does what it can and returns.
pub trait Carries {
    /// Opens a flow.
    ///
    /// # Errors
    ///
    /// [`Refusal::FlowInUse`], [`Refusal::TooManyFlows`]: the flow does not exist.
    fn open(&mut self, flow: u32, class: Class) -> Result<(), Refusal>;

    /// Offers a chunk. Returns how many of its bytes were taken.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownFlow`], [`Refusal::Closed`], [`Refusal::Malformed`]: nothing was taken.
    fn offer<H: Host>(
        &mut self,
        host: &mut H,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, Refusal>;

    /// No more bytes come in on this flow.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unsupported`], [`Refusal::UnknownFlow`], [`Refusal::Closed`].
    fn half_close<H: Host>(&mut self, host: &mut H, flow: u32) -> Result<(), Refusal>;

    /// Resets the flow: bytes that were not put out are dropped. No effect on a flow that is over.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unsupported`]: the flow is closed instead.
    fn reset<H: Host>(&mut self, host: &mut H, flow: u32, cause: Cause) -> Result<(), Refusal>;

    /// The flow is over, and is removed. No effect on an unknown flow.
    fn close<H: Host>(&mut self, host: &mut H, flow: u32);

    /// Puts out what it has, as far as there is room.
    fn poll<H: Host, P: Port>(&mut self, host: &mut H, port: &mut P);

    /// Bytes that it holds, of all flows together.
    fn buffered_bytes(&self) -> u64;

    /// Number of flows that exist.
    fn flows(&self) -> usize;
}
