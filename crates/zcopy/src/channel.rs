// SPDX-License-Identifier: BSD-3-Clause
//! A channel of descriptors, over whatever backend is attached.
//!
//! ```text
//!   ZChannel ──► Core ─┬─ station   kind, counters, hook: what a backend sees (`Carrier`)
//!                      └─ binding   the links; the one that is bound moves the descriptors
//!   Link ────────────────► station
//! ```
//!
//! While `zref` is bound, an operation that needs no waiting goes past its link, straight into the
//! channel behind it.
//!
//! # Invariants
//!
//! 1. Each operation is counted once, by what it came to, whatever the backend.
//! 2. A send takes its descriptor by reference. On failure it is as it was: the bytes are the
//!    producer's. On success a debug build puts [`Desc::POISON`] there.
//! 3. A token that is set wins over everything, also over a channel that is ready or closed.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use becket_chan::{Kind, Receiver, Sender};
use parking_lot::Mutex;

use crate::backend::{Carrier, Link};
use crate::binding::{Binding, Bound, DetachError};
use crate::counters::{CounterSnapshot, Counters, Event};
use crate::desc::Desc;
use crate::failure::Failure;
use crate::operation::{ZRecv, ZSend};
use crate::pool;
use crate::region::InFlight;
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
    /// `zref` is bound: the short way may be gone.
    short: AtomicBool,
    /// Held while a backend is bound, so that `short` says what is.
    turn: Mutex<()>,
}

type Hook = Box<dyn Fn(Desc) + Send + Sync>;

struct Station {
    kind: Kind,
    capacity: Option<usize>,
    counters: Arc<Counters>,
    losses: Arc<Losses>,
    /// `zref`'s channel, once it was attached.
    ends: OnceLock<(Sender<InFlight>, Receiver<InFlight>)>,
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
        let ends = OnceLock::new();
        let station = Arc::new(Station { kind, capacity, counters, losses, ends });
        Self(Arc::new(Core {
            carrier: station.clone(),
            station,
            binding: Binding::default(),
            closed: AtomicBool::new(false),
            short: AtomicBool::new(false),
            turn: Mutex::new(()),
        }))
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
        let turn = self.0.turn.lock();
        let bound = self.0.binding.bind(backend, &self.0.carrier, options);
        bound.unwrap_or(Err(Failure::Unsupported))?;
        self.0.short.store(backend == BackendId::ZREF, Ordering::Release);
        drop(turn);
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
        let _turn = self.0.turn.lock();
        self.0.binding.detach(self.is_closed())?;
        self.0.short.store(false, Ordering::Release);
        Ok(())
    }

    /// Sends a descriptor. Drive it with `.await` or [`wait`](ZSend::wait).
    ///
    /// On success the bytes are a consumer's, and in a debug build `desc` is poisoned; on failure
    /// nothing has happened to it.
    ///
    /// Dropped before it completed, the send may have happened or not, and only the consumer knows.
    /// Who needs to know gives it a token ([`ZSend::cancel_on`]) and awaits the answer.
    pub fn send<'a>(&'a self, desc: &'a mut Desc) -> ZSend<'a> {
        ZSend::new(self, desc)
    }

    /// Receives a descriptor. Drive it with `.await` or [`wait`](ZRecv::wait).
    ///
    /// **Cancel safe** with `zref`: dropped, it has taken nothing.
    pub fn recv(&self) -> ZRecv<'_> {
        ZRecv::new(self)
    }

    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the descriptor is as it was.
    #[inline]
    pub fn try_send(&self, desc: &mut Desc) -> Result<(), Failure> {
        if self.send_short(desc) { Ok(()) } else { self.try_send_bound(desc) }
    }

    #[inline(never)]
    fn try_send_bound(&self, desc: &mut Desc) -> Result<(), Failure> {
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
    #[inline]
    pub fn try_recv(&self) -> Result<Desc, Failure> {
        self.recv_short().map_or_else(|| self.try_recv_bound(), Ok)
    }

    #[inline(never)]
    fn try_recv_bound(&self) -> Result<Desc, Failure> {
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

    /// Sends by `zref`, if that is bound and needs no waiting. False: nothing has happened, and why is
    /// for the long way to find out.
    #[inline]
    pub(crate) fn send_short(&self, desc: &mut Desc) -> bool {
        let Some((tx, _)) = self.ends() else {
            return false;
        };
        let Ok(flight) = InFlight::launch(*desc) else {
            return false;
        };
        if let Err(refused) = tx.try_send(flight) {
            let _still_theirs = refused.into_inner().land();
            return false;
        }
        self.0.station.counters.count(Event::Sent, desc.len as u64);
        desc.poison();
        true
    }

    /// Receives by `zref`, if that is bound and has something.
    #[inline]
    pub(crate) fn recv_short(&self) -> Option<Desc> {
        let (_, rx) = self.ends()?;
        let desc = rx.try_recv().ok()?.land();
        self.0.station.counters.count(Event::Received, desc.len as u64);
        Some(desc)
    }

    #[inline]
    fn ends(&self) -> Option<&(Sender<InFlight>, Receiver<InFlight>)> {
        if self.0.short.load(Ordering::Acquire) { self.0.station.ends.get() } else { None }
    }

    #[inline]
    pub(crate) fn bound(&self) -> Result<Bound<'_>, Failure> {
        self.0.binding.bound().ok_or_else(|| self.unbound())
    }

    #[cold]
    fn unbound(&self) -> Failure {
        if self.is_closed() { Failure::Closed } else { Failure::Unsupported }
    }

    #[inline]
    pub(crate) fn bound_for(&self, desc: &Desc) -> Result<Bound<'_>, Failure> {
        desc.checked()?;
        self.bound()
    }

    /// Counts what a send came to, unless its link does.
    #[inline]
    pub(crate) fn sent(
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
    pub(crate) fn received(
        &self,
        answer: Result<Desc, Failure>,
        counts: bool,
    ) -> Result<Desc, Failure> {
        if !counts {
            let answer = answer.as_ref().map_err(|failure| *failure);
            self.0.station.counters.receiving(answer, |desc| desc.len);
        }
        answer
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
        let pair = Pair::new(self.kind, capacity, self.losses.clone())?;
        let _attached_once = self.ends.set(pair.ends());
        Ok(Box::new(pair))
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
