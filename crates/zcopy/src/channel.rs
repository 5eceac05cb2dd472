// SPDX-License-Identifier: BSD-3-Clause
//! A channel of descriptors, over whatever backend is attached.
//!
//! ```text
//!   ZChannel ──► Core ─┬─ state     kind, counters, hook: what a backend sees (`Carrier`)
//!                      └─ binding   the links; the bound one moves the descriptors
//!   Link ────────────────► state
//! ```
//!
//! While `zref` is bound, the fast path of an operation bypasses its link and uses the channel
//! behind it directly.
//!
//! # Invariants
//!
//! 1. Each operation is counted once, by its outcome, whatever the backend.
//! 2. A send takes its descriptor by reference. On failure the descriptor is unchanged, and the
//!    bytes stay the producer's. On success a debug build overwrites it with [`Desc::POISON`].
//! 3. A cancelled token takes precedence over everything, also over a channel that is ready or
//!    closed.

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
    state: Arc<CarrierState>,
    carrier: Arc<dyn Carrier>,
    binding: Binding,
    closed: AtomicBool,
    /// `zref` is bound: the fast path may be used.
    zref_bound: AtomicBool,
    /// Held while a backend is bound, so that `zref_bound` matches the binding.
    bind_lock: Mutex<()>,
}

type Hook = Box<dyn Fn(Desc) + Send + Sync>;

struct CarrierState {
    kind: Kind,
    capacity: Option<usize>,
    counters: Arc<Counters>,
    undelivered: Arc<Undelivered>,
    /// `zref`'s channel, once `zref` is attached.
    ends: OnceLock<(Sender<InFlight>, Receiver<InFlight>)>,
}

/// Handles descriptors that will not be received.
pub(crate) struct Undelivered {
    counters: Arc<Counters>,
    hook: Option<Hook>,
}

impl ZChannel {
    /// A rendezvous channel, over `zref`.
    #[must_use]
    pub fn rendezvous() -> Self {
        Self::new(Kind::Rendezvous, None, None).on_zref()
    }

    /// A channel that holds `capacity` descriptors, at least one, over `zref`.
    #[must_use]
    pub fn bounded(capacity: usize) -> Self {
        Self::new(Kind::Bounded, Some(capacity.max(1)), None).on_zref()
    }

    /// A channel that holds the latest descriptor, over `zref`.
    #[must_use]
    pub fn conflated() -> Self {
        Self::new(Kind::Conflated, None, None).on_zref()
    }

    /// An unbounded channel, over `zref`.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(Kind::Unlimited, None, None).on_zref()
    }

    /// A channel without a backend: operations are [`Failure::Unsupported`] until one is
    /// [attached](Self::attach). `hook` gets the descriptors that were accepted and will not be
    /// received, with the references that they carry; without a hook those references are released.
    #[must_use]
    pub fn new(
        kind: Kind,
        capacity: Option<usize>,
        hook: Option<Box<dyn Fn(Desc) + Send + Sync>>,
    ) -> Self {
        let counters = Arc::<Counters>::default();
        let undelivered = Arc::new(Undelivered { counters: counters.clone(), hook });
        let ends = OnceLock::new();
        let state = Arc::new(CarrierState { kind, capacity, counters, undelivered, ends });
        Self(Arc::new(Core {
            carrier: state.clone(),
            state,
            binding: Binding::default(),
            closed: AtomicBool::new(false),
            zref_bound: AtomicBool::new(false),
            bind_lock: Mutex::new(()),
        }))
    }

    fn on_zref(self) -> Self {
        let attached = self.attach(BackendId::ZREF, &());
        debug_assert_eq!(attached, Ok(()));
        self
    }

    /// Attaches a backend, unless it is attached already, and binds it: the backend bound last
    /// moves the descriptors.
    ///
    /// # Errors
    ///
    /// The backend's error; [`Failure::Unsupported`]: no backend has that number;
    /// [`Failure::Closed`]: the backend was detached from this channel.
    pub fn attach(&self, backend: BackendId, options: &dyn Any) -> Result<(), Failure> {
        let binding = self.0.bind_lock.lock();
        let bound = self.0.binding.bind(backend, &self.0.carrier, options);
        bound.unwrap_or(Err(Failure::Unsupported))?;
        self.0.zref_bound.store(backend == BackendId::ZREF, Ordering::Release);
        drop(binding);
        if self.is_closed() {
            self.0.binding.close();
        }
        Ok(())
    }

    /// Detaches every backend, which closes their links.
    ///
    /// # Errors
    ///
    /// [`DetachError`]: the channel is not closed, and descriptors are in flight.
    pub fn detach(&self) -> Result<(), DetachError> {
        let _binding = self.0.bind_lock.lock();
        self.0.binding.detach(self.is_closed())?;
        self.0.zref_bound.store(false, Ordering::Release);
        Ok(())
    }

    /// Sends a descriptor. Drive it with `.await` or [`wait`](ZSend::wait).
    ///
    /// On success the bytes belong to a consumer, and in a debug build `desc` is poisoned; on
    /// failure `desc` is unchanged.
    ///
    /// If the operation is dropped before it completes, the send may or may not have happened, and
    /// only the consumer can find out. To learn the outcome, cancel the send by a token
    /// ([`ZSend::cancel_on`]) and await its result.
    pub fn send<'a>(&'a self, desc: &'a mut Desc) -> ZSend<'a> {
        ZSend::new(self, desc)
    }

    /// Receives a descriptor. Drive it with `.await` or [`wait`](ZRecv::wait).
    ///
    /// **Cancel safe** with `zref`: dropped before it completes, it has received nothing.
    pub fn recv(&self) -> ZRecv<'_> {
        ZRecv::new(self)
    }

    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the descriptor is unchanged.
    #[inline]
    pub fn try_send(&self, desc: &mut Desc) -> Result<(), Failure> {
        if self.send_fast(desc) { Ok(()) } else { self.try_send_bound(desc) }
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
        self.recv_fast().map_or_else(|| self.try_recv_bound(), Ok)
    }

    #[inline(never)]
    fn try_recv_bound(&self) -> Result<Desc, Failure> {
        match self.bound() {
            Ok(bound) => self.received(bound.link.try_recv(), bound.counts),
            Err(failure) => self.received(Err(failure), false),
        }
    }

    /// Closes the channel: sends fail from here on, receives drain it and then fail, and every
    /// waiting operation wakes. True: it was open.
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

    /// The counters of the channel.
    #[must_use]
    pub fn counters(&self) -> CounterSnapshot {
        self.0.state.counters.snapshot()
    }

    /// Sends through `zref`, if it is bound and has room. False: nothing was sent, and the slow
    /// path has to determine why.
    #[inline]
    pub(crate) fn send_fast(&self, desc: &mut Desc) -> bool {
        let Some((tx, _)) = self.ends() else {
            return false;
        };
        let Ok(in_flight) = InFlight::launch(*desc) else {
            return false;
        };
        if let Err(refused) = tx.try_send(in_flight) {
            let _still_the_producers = refused.into_inner().land();
            return false;
        }
        self.0.state.counters.count(Event::Sent, desc.len as u64);
        desc.poison();
        true
    }

    /// Receives through `zref`, if it is bound and has a descriptor.
    #[inline]
    pub(crate) fn recv_fast(&self) -> Option<Desc> {
        let (_, rx) = self.ends()?;
        let desc = rx.try_recv().ok()?.land();
        self.0.state.counters.count(Event::Received, desc.len as u64);
        Some(desc)
    }

    #[inline]
    fn ends(&self) -> Option<&(Sender<InFlight>, Receiver<InFlight>)> {
        if self.0.zref_bound.load(Ordering::Acquire) { self.0.state.ends.get() } else { None }
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

    /// Counts the outcome of a send, unless its link does.
    #[inline]
    pub(crate) fn sent(
        &self,
        desc: &mut Desc,
        answer: Result<(), Failure>,
        was_open: bool,
        counts: bool,
    ) -> Result<(), Failure> {
        if !counts {
            self.0.state.counters.sending(desc.len, answer, was_open)?;
        }
        answer.inspect(|()| desc.poison())
    }

    /// Counts the outcome of a receive, unless its link does.
    #[inline]
    pub(crate) fn received(
        &self,
        answer: Result<Desc, Failure>,
        counts: bool,
    ) -> Result<Desc, Failure> {
        if !counts {
            let answer = answer.as_ref().map_err(|failure| *failure);
            self.0.state.counters.receiving(answer, |desc| desc.len);
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
        shown.field("kind", &self.0.state.kind).field("closed", &self.is_closed()).finish()
    }
}

impl Carrier for CarrierState {
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
        self.undelivered.lost(desc);
    }

    fn hand_over(&self) -> Result<Box<dyn Link>, Failure> {
        let capacity = self.capacity.unwrap_or(1);
        let pair = Pair::new(self.kind, capacity, self.undelivered.clone())?;
        let _attached_once = self.ends.set(pair.ends());
        Ok(Box::new(pair))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Undelivered {
    /// Counts a descriptor that will not be received, and passes it to the hook.
    pub(crate) fn lost(&self, desc: Desc) {
        self.counters.lost();
        match &self.hook {
            Some(hook) => hook(desc),
            None => {
                pool::give_back(&desc);
            }
        }
    }

    /// Counts a send that was dropped after it had succeeded.
    pub(crate) fn count_send(&self, bytes: usize) {
        let _counted = self.counters.sending(bytes, Ok(()), true);
    }
}
