// SPDX-License-Identifier: BSD-3-Clause
//! A channel of descriptors, over whatever backend is attached.
//!
//! ```text
//!   ZChannel ──► Core ─┬─ station   kind, counters, hook: what a backend sees (`Carrier`)
//!                      └─ binding   the links; the one that is bound moves the descriptors
//!   Link ────────────────► station
//! ```
//!
//! # Invariants
//!
//! 1. Each operation is counted once, by what it came to, whatever the backend.
//! 2. A send takes its descriptor by reference. On failure it is as it was: the bytes are the
//!    producer's. On success a debug build puts [`Desc::POISON`] there.
//! 3. A token that is set wins over everything, also over a channel that is ready or closed.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_chan::{Kind, Token, timer};

use crate::backend::{Carrier, Link, Pending};
use crate::binding::{Binding, Bound, DetachError};
use crate::counters::{CounterSnapshot, Counters, Event};
use crate::desc::Desc;
use crate::failure::Failure;
use crate::limits::{Limits, Time};
use crate::pool;
use crate::registry::BackendId;
use crate::zref::Pair;

/// A channel of descriptors. Clones are the same channel; any thread may use it.
///
/// ```
/// use becket_zcopy::{Block, Class, Meta, Pool, Region, ZChannel};
///
/// let region = Region::heap(4096, Meta::default())?;
/// let pool = Pool::new(&region, &[Class { block_bytes: 1024, blocks: 4 }])?;
/// let channel = ZChannel::bounded(8);
///
/// let mut lease = pool.try_lease(3)?;
/// lease.copy_from_slice(b"abc");
/// let mut desc = lease.freeze().into_desc().unwrap();
/// channel.send(&mut desc).wait().unwrap();
///
/// let block = Block::claim(&channel.recv().wait().unwrap())?;
/// assert_eq!(&*block, b"abc");
/// # Ok::<(), becket_zcopy::Error>(())
/// ```
#[derive(Clone)]
pub struct ZChannel(Arc<Core>);

struct Core {
    station: Arc<Station>,
    carrier: Arc<dyn Carrier>,
    binding: Binding,
    closed: AtomicBool,
}

type Hook = Box<dyn Fn(Desc) + Send + Sync>;

struct Station {
    kind: Kind,
    capacity: Option<usize>,
    counters: Arc<Counters>,
    losses: Arc<Losses>,
}

/// What becomes of descriptors that nobody will receive.
pub(crate) struct Losses {
    counters: Arc<Counters>,
    hook: Option<Hook>,
}

impl ZChannel {
    /// Hands over; with `zref`.
    #[must_use]
    pub fn rendezvous() -> Self {
        Self::new(Kind::Rendezvous, None, None).on_zref()
    }

    /// Holds `capacity` descriptors, at least one; with `zref`.
    #[must_use]
    pub fn bounded(capacity: usize) -> Self {
        Self::new(Kind::Bounded, Some(capacity.max(1)), None).on_zref()
    }

    /// Holds the latest; with `zref`.
    #[must_use]
    pub fn conflated() -> Self {
        Self::new(Kind::Conflated, None, None).on_zref()
    }

    /// Holds what comes; with `zref`.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(Kind::Unlimited, None, None).on_zref()
    }

    /// A channel without a backend: operations are [`Failure::Unsupported`] until one is
    /// [attached](Self::attach). `hook` gets the descriptors that were accepted and that nobody will
    /// receive, with the shares that they carry; without one those shares are given back.
    #[must_use]
    pub fn new(
        kind: Kind,
        capacity: Option<usize>,
        hook: Option<Box<dyn Fn(Desc) + Send + Sync>>,
    ) -> Self {
        let counters = Arc::<Counters>::default();
        let losses = Arc::new(Losses { counters: counters.clone(), hook });
        let station = Arc::new(Station { kind, capacity, counters, losses });
        let (carrier, binding) = (station.clone() as Arc<dyn Carrier>, Binding::default());
        Self(Arc::new(Core { station, carrier, binding, closed: AtomicBool::new(false) }))
    }

    fn on_zref(self) -> Self {
        let attached = self.attach(BackendId::ZREF, &());
        debug_assert_eq!(attached, Ok(()));
        self
    }

    /// Attaches a backend, unless it is, and binds it: the last one bound moves the descriptors.
    ///
    /// # Errors
    ///
    /// What the backend says; [`Failure::Unsupported`]: there is none of that number;
    /// [`Failure::Closed`]: it has been detached from this channel.
    pub fn attach(&self, backend: BackendId, options: &dyn Any) -> Result<(), Failure> {
        let bound = self.0.binding.bind(backend, &self.0.carrier, options);
        bound.unwrap_or(Err(Failure::Unsupported))?;
        if self.is_closed() {
            self.0.binding.close();
        }
        Ok(())
    }

    /// Detaches every backend, which closes what they hold.
    ///
    /// # Errors
    ///
    /// [`DetachError`]: the channel is not closed, and something is in flight.
    pub fn detach(&self) -> Result<(), DetachError> {
        self.0.binding.detach(self.is_closed())
    }

    /// Sends a descriptor. Drive it with `.await` or [`wait`](ZSend::wait).
    ///
    /// On success the bytes are a consumer's, and in a debug build `desc` is poisoned; on failure
    /// nothing has happened to it.
    ///
    /// Dropped before it completed, the send may have happened or not, and only the consumer knows.
    /// Who needs to know gives it a token ([`ZSend::cancel_on`]) and awaits the answer.
    pub fn send<'a>(&'a self, desc: &'a mut Desc) -> ZSend<'a> {
        ZSend { channel: self, desc, limits: Limits::default(), stage: Stage::New }
    }

    /// Receives a descriptor. Drive it with `.await` or [`wait`](ZRecv::wait).
    ///
    /// **Cancel safe** with `zref`: dropped, it has taken nothing.
    pub fn recv(&self) -> ZRecv<'_> {
        ZRecv { channel: self, limits: Limits::default(), stage: Stage::New }
    }

    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the descriptor is as it was.
    pub fn try_send(&self, desc: &mut Desc) -> Result<(), Failure> {
        let was_open = !self.is_closed();
        let (answer, counts) = match self.bound_for(desc) {
            Ok(bound) => (bound.link.try_send(*desc), bound.counts),
            Err(failure) => (Err(failure), false),
        };
        self.sent(desc, answer, was_open, counts)
    }

    /// Receives without waiting.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub fn try_recv(&self) -> Result<Desc, Failure> {
        match self.bound() {
            Ok(bound) => self.received(bound.link.try_recv(), bound.counts),
            Err(failure) => self.received(Err(failure), false),
        }
    }

    /// Sends fail from here on; receives take what is there, and then fail; whoever waits wakes.
    /// True: it was open.
    pub fn close(&self) -> bool {
        let was_open = !self.0.closed.swap(true, Ordering::AcqRel);
        self.0.binding.close();
        was_open
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Descriptors that were accepted and have not been received.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.binding.in_flight()
    }

    /// What has gone through it.
    #[must_use]
    pub fn counters(&self) -> CounterSnapshot {
        self.0.station.counters.snapshot()
    }

    #[inline]
    fn bound(&self) -> Result<Bound<'_>, Failure> {
        self.0.binding.bound().ok_or_else(|| self.unbound())
    }

    #[cold]
    fn unbound(&self) -> Failure {
        if self.is_closed() { Failure::Closed } else { Failure::Unsupported }
    }

    #[inline]
    fn bound_for(&self, desc: &Desc) -> Result<Bound<'_>, Failure> {
        desc.checked()?;
        self.bound()
    }

    /// Counts what a send came to, unless its link does.
    #[inline]
    fn sent(
        &self,
        desc: &mut Desc,
        answer: Result<(), Failure>,
        was_open: bool,
        counts: bool,
    ) -> Result<(), Failure> {
        if !counts {
            self.0.station.counters.sending(desc.len, answer, was_open)?;
        }
        answer.inspect(|()| desc.poison())
    }

    /// Counts what a receive came to, unless its link does.
    #[inline]
    fn received(&self, answer: Result<Desc, Failure>, counts: bool) -> Result<Desc, Failure> {
        if counts { answer } else { self.0.station.counters.receiving(answer, |desc| desc.len) }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let _detached = self.binding.detach(true);
    }
}

impl fmt::Debug for ZChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ZChannel");
        shown.field("kind", &self.0.station.kind).field("closed", &self.is_closed()).finish()
    }
}

impl Carrier for Station {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    fn count(&self, event: Event, bytes: u64) {
        self.counters.count(event, bytes);
    }

    fn undelivered(&self, desc: Desc) {
        self.losses.lost(desc);
    }

    fn hand_over(&self) -> Result<Box<dyn Link>, Failure> {
        let capacity = self.capacity.unwrap_or(1);
        Ok(Box::new(Pair::new(self.kind, capacity, self.losses.clone())?))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Losses {
    /// Nobody will have it.
    pub(crate) fn lost(&self, desc: Desc) {
        self.counters.lost();
        match &self.hook {
            Some(hook) => hook(desc),
            None => {
                pool::give_back(&desc);
            }
        }
    }

    /// A send that was dropped had happened.
    pub(crate) fn happened(&self, bytes: usize) {
        let _counted = self.counters.sending(bytes, Ok(()), true);
    }
}

enum Stage<'a, T> {
    New,
    Pending { operation: Pending<'a, T>, was_open: bool, counts: bool },
    Over,
}

/// A send of a descriptor. See [`ZChannel::send`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ZSend<'a> {
    channel: &'a ZChannel,
    desc: &'a mut Desc,
    limits: Limits<'a>,
    stage: Stage<'a, ()>,
}

/// A receive of a descriptor. See [`ZChannel::recv`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ZRecv<'a> {
    channel: &'a ZChannel,
    limits: Limits<'a>,
    stage: Stage<'a, Desc>,
}

macro_rules! limits {
    ($operation:ident) => {
        impl<'a> $operation<'a> {
            /// Gives up `duration` from now. The earlier of two deadlines holds.
            pub fn timeout(self, duration: Duration) -> Self {
                self.deadline(timer::after(duration))
            }

            /// Gives up at `deadline`. The earlier of two deadlines holds.
            pub fn deadline(mut self, deadline: Instant) -> Self {
                let earlier = match self.limits.time {
                    Time::Until(at) => at.min(deadline),
                    _ => deadline,
                };
                self.limits.time = Time::Until(earlier);
                self
            }

            /// Gives up when `token` is cancelled. One that is set wins over everything.
            pub fn cancel_on(mut self, token: &'a Token) -> Self {
                self.limits.token = Some(token);
                self
            }
        }
    };
}

limits!(ZSend);
limits!(ZRecv);

impl ZSend<'_> {
    /// Sends from a thread or a coroutine, which is parked while it has to wait.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the descriptor is as it was.
    pub fn wait(self) -> Result<(), Failure> {
        let Self { channel, desc, limits, .. } = self;
        let was_open = !channel.is_closed();
        let bound = allowed(limits).and_then(|()| channel.bound_for(desc));
        let (answer, counts) = match bound {
            Ok(bound) => (bound.link.send_wait(*desc, limits), bound.counts),
            Err(failure) => (Err(failure), false),
        };
        channel.sent(desc, answer, was_open, counts)
    }
}

impl ZRecv<'_> {
    /// Receives from a thread or a coroutine, which is parked while it has to wait.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub fn wait(self) -> Result<Desc, Failure> {
        let Self { channel, limits, .. } = self;
        match allowed(limits).and_then(|()| channel.bound()) {
            Ok(bound) => channel.received(bound.link.recv_wait(limits), bound.counts),
            Err(failure) => channel.received(Err(failure), false),
        }
    }
}

/// A token that is set wins over everything.
#[inline]
fn allowed(limits: Limits<'_>) -> Result<(), Failure> {
    if limits.is_cancelled() { Err(Failure::Cancelled) } else { Ok(()) }
}

impl Future for ZSend<'_> {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.stage, Stage::New) {
            let was_open = !this.channel.is_closed();
            let bound = allowed(this.limits).and_then(|()| this.channel.bound_for(this.desc));
            let (answer, counts) = match bound {
                Ok(Bound { link, counts }) => match link.try_send(*this.desc) {
                    Err(Failure::WouldBlock) => {
                        let operation = link.send(*this.desc, this.limits);
                        this.stage = Stage::Pending { operation, was_open, counts };
                        (None, counts)
                    }
                    answer => (Some(answer), counts),
                },
                Err(failure) => (Some(Err(failure)), false),
            };
            if let Some(answer) = answer {
                this.stage = Stage::Over;
                return Poll::Ready(this.channel.sent(this.desc, answer, was_open, counts));
            }
        }
        let Stage::Pending { operation, was_open, counts } = &mut this.stage else {
            // Polled again after it was ready: it has nothing more to say.
            return Poll::Pending;
        };
        let Poll::Ready(answer) = operation.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let (was_open, counts) = (*was_open, *counts);
        this.stage = Stage::Over;
        Poll::Ready(this.channel.sent(this.desc, answer, was_open, counts))
    }
}

impl Future for ZRecv<'_> {
    type Output = Result<Desc, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.stage, Stage::New) {
            let (answer, counts) = match allowed(this.limits).and_then(|()| this.channel.bound()) {
                Ok(Bound { link, counts }) => match link.try_recv() {
                    Err(Failure::WouldBlock) => {
                        let operation = link.recv(this.limits);
                        this.stage = Stage::Pending { operation, was_open: true, counts };
                        (None, counts)
                    }
                    answer => (Some(answer), counts),
                },
                Err(failure) => (Some(Err(failure)), false),
            };
            if let Some(answer) = answer {
                this.stage = Stage::Over;
                return Poll::Ready(this.channel.received(answer, counts));
            }
        }
        let Stage::Pending { operation, counts, .. } = &mut this.stage else {
            return Poll::Pending;
        };
        let Poll::Ready(answer) = operation.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let counts = *counts;
        this.stage = Stage::Over;
        Poll::Ready(this.channel.received(answer, counts))
    }
}
