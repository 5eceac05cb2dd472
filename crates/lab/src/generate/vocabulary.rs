// SPDX-License-Identifier: BSD-3-Clause
//! The words of generated modules: what a backend is called with, and what it calls.
//!
//! They say the same as [`contract`](crate::contract), with the standard library alone. The generator
//! writes this file into each module, from the line below on; the interpreted backend uses it as it
//! stands here.

// Vocabulary.

/// What a flow carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Somebody waits for it.
    Interactive,
    /// As it comes.
    Normal,
    /// Much of it; it may wait.
    Bulk,
}

/// Why a flow was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody wanted it.
    Reset,
    /// Something failed.
    Error,
}

/// How a flow ends at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its last chunk is final.
    Final,
    /// By a half-close behind its last chunk.
    HalfClose,
    /// It is broken off behind its last chunk.
    Reset,
    /// Its last chunk is final; then it offers more, which must be refused.
    LateWrite,
    /// Behind its last chunk it offers one that leaves a gap, which must be refused.
    Malformed,
}

/// Where a flow is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its number is known, nothing else.
    New,
    /// It was asked for.
    Opening,
    /// Bytes may go both ways.
    Open,
    /// Nothing more comes in; what is there is still put out.
    HalfClosed,
    /// All was put out, and the end was said.
    Draining,
    /// It ended in order.
    Closed,
    /// It was broken off.
    Reset,
    /// It ended by an error.
    Failed,
}

impl State {
    /// All of them, as the rows of a lifecycle table.
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

/// What may happen to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is asked for.
    Open,
    /// It is there.
    Opened,
    /// One side sends no more.
    HalfClose,
    /// Nothing more comes in.
    Drain,
    /// It ends in order.
    Close,
    /// It is broken off.
    Reset,
    /// It ends by an error.
    Fail,
}

impl Event {
    /// All of them, as the columns of a lifecycle table.
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

/// Why a backend did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It does not claim the capability of this name.
    Unsupported(&'static str),
    /// It carries no more flows at once.
    TooManyFlows,
    /// It does not know the flow.
    UnknownFlow,
    /// The number is in use.
    FlowInUse,
    /// The flow takes nothing more.
    Closed,
    /// A chunk that is not the next, or not as long as its bytes.
    Malformed,
}

/// A piece of a flow, whose bytes stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Whose it is.
    pub flow: u32,
    /// Its number in its flow, from 1.
    pub sequence: u64,
    /// Where its first byte stands in the flow.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Nothing comes behind it.
    pub is_final: bool,
}

/// A chunk that a source gives: not before `at`, and `base + (seed + salt) % span` bytes, but no more
/// than `bytes_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The tick, in milliseconds.
    pub at: u64,
    /// Bytes for each seed.
    pub base: u64,
    /// What the seed adds is less than this, which is not 0.
    pub span: u64,
    /// What makes it another for the same seed.
    pub salt: u64,
    /// The longest that it may be.
    pub bytes_max: u64,
}

impl Piece {
    /// How many bytes it has in runs of this seed.
    #[must_use]
    pub const fn bytes(&self, seed: u64) -> u64 {
        let bytes = self.base + seed.wrapping_add(self.salt) % self.span;
        if bytes < self.bytes_max { bytes } else { self.bytes_max }
    }
}

/// What the source of one flow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Its number.
    pub number: u32,
    /// What it carries.
    pub class: Class,
    /// When it opens, in milliseconds.
    pub opens_at: u64,
    /// How it ends.
    pub end: End,
    /// Its chunks, in order.
    pub pieces: &'static [Piece],
}

/// What comes with a call: the world, as a backend sees it.
pub trait Host {
    /// How many bytes the call should move at most.
    fn budget_bytes(&self) -> usize;
    /// The backend has something to put out: it is to be polled.
    fn wants_poll(&mut self);
    /// The flow would take more than it did when it was offered something last.
    fn has_room(&mut self, flow: u32);
}

/// Where a backend puts what it has, during one poll.
pub trait Port {
    /// Bytes of this flow that are taken at the moment.
    fn room(&self, flow: u32) -> usize;
    /// The next bytes of a flow. False: nothing of it was taken.
    fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> bool;
    /// Nothing more comes out on this flow.
    fn half_closed(&mut self, flow: u32);
    /// The flow was broken off at the other end.
    fn reset(&mut self, flow: u32, cause: Cause);
}

/// What carries flows: calls do what they can, and return.
pub trait Carries {
    /// A flow begins.
    ///
    /// # Errors
    ///
    /// [`Refusal::FlowInUse`], [`Refusal::TooManyFlows`]: the flow never was.
    fn open(&mut self, flow: u32, class: Class) -> Result<(), Refusal>;

    /// Offers a chunk. Gives how many of its bytes were taken.
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

    /// No more comes in on this flow.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unsupported`], [`Refusal::UnknownFlow`], [`Refusal::Closed`].
    fn half_close<H: Host>(&mut self, host: &mut H, flow: u32) -> Result<(), Refusal>;

    /// The flow is broken off: what was not put out is lost. Does nothing to one that is over.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unsupported`]: the flow is closed instead.
    fn reset<H: Host>(&mut self, host: &mut H, flow: u32, cause: Cause) -> Result<(), Refusal>;

    /// The flow is over and forgotten. Does nothing to one that is not known.
    fn close<H: Host>(&mut self, host: &mut H, flow: u32);

    /// Puts out what there is, and room for.
    fn poll<H: Host, P: Port>(&mut self, host: &mut H, port: &mut P);

    /// Bytes that it holds, of all flows.
    fn buffered_bytes(&self) -> u64;

    /// Flows that it knows.
    fn flows(&self) -> usize;
}
