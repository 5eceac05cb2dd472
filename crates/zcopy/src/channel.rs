// SPDX-License-Identifier: BSD-3-Clause
//! A channel of descriptors, over whatever backend is attached.
//!
//! ```text
//!   ZChannel ──► Core ─┬─ zref      a channel of becket_chan: bound, it is used directly
//!                      ├─ binding   the links of the other backends
//!                      └─ shared    kind, counters, hook: what a backend sees (`Carrier`)
//! ```
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

use becket_chan::Kind;
use parking_lot::Mutex;

use crate::backend::Carrier;
use crate::binding::{Binding, Bound, DetachError};
use crate::counters::{CountedBy, CounterSnapshot, Counters, Event};
use crate::desc::Desc;
use crate::error::Error;
use crate::failure::Failure;
use crate::operation::{ZRecv, ZSend};
use crate::pool;
use crate::region::InFlight;
use crate::registry::BackendId;
use crate::zref::{Ends, refused_at_once};

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
    shared: Arc<Shared>,
    /// `zref`'s channel, once `zref` is attached.
    zref: OnceLock<Ends>,
    /// `zref` is bound, and not a link of `binding`.
    zref_bound: AtomicBool,
    closed: AtomicBool,
    binding: Binding,
    /// True once `zref` was detached. Locked while a backend is bound or detached, so that
    /// `zref_bound` matches the binding.
    bind_lock: Mutex<bool>,
}

type Hook = Box<dyn Fn(Desc) + Send + Sync>;

/// The channel as a backend sees it.
struct Shared {
    kind: Kind,
    capacity: Option<usize>,
    counters: Counters,
    hook: Option<Hook>,
}

/// What moves a descriptor.
pub(crate) enum Route<'a, V> {
    /// `zref`'s channel; for a send, the descriptor in flight.
    Zref(&'a Ends, V),
    /// The bound link.
    Link(Bound<'a>),
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

    /// A channel without a backend: operations fail with [`Failure::Unsupported`] until one is
    /// [attached](Self::attach). `hook` gets the descriptors that were accepted and will not be
    /// received, with the references that they carry; without a hook those references are released.
    #[must_use]
    pub fn new(
        kind: Kind,
        capacity: Option<usize>,
        hook: Option<Box<dyn Fn(Desc) + Send + Sync>>,
    ) -> Self {
        let counters = Counters::default();
        Self(Arc::new(Core {
            shared: Arc::new(Shared { kind, capacity, counters, hook }),
            zref: OnceLock::new(),
            zref_bound: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            binding: Binding::default(),
            bind_lock: Mutex::new(false),
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
        let core = &*self.0;
        let zref_detached = core.bind_lock.lock();
        if backend != BackendId::ZREF {
            let carrier: Arc<dyn Carrier> = core.shared.clone();
            let bound = core.binding.bind(backend, &carrier, options);
            bound.unwrap_or(Err(Failure::Unsupported))?;
        } else if *zref_detached {
            return Err(Failure::Closed);
        } else if core.zref.get().is_none() {
            let shared = core.shared.clone();
            let (kind, capacity) = (shared.kind, shared.capacity.unwrap_or(1));
            let ends = Ends::new(kind, capacity, move |desc| shared.undelivered(desc))?;
            let _set_once = core.zref.set(ends);
        }
        core.zref_bound.store(backend == BackendId::ZREF, Ordering::Release);
        drop(zref_detached);
        if self.is_closed() {
            core.close();
        }
        Ok(())
    }

    /// Detaches every backend, which closes their links.
    ///
    /// # Errors
    ///
    /// [`DetachError`]: the channel is not closed, and descriptors are in flight.
    pub fn detach(&self) -> Result<(), DetachError> {
        let core = &*self.0;
        let mut zref_detached = core.bind_lock.lock();
        let in_flight = self.in_flight();
        if in_flight > 0 && !self.is_closed() {
            return Err(DetachError { in_flight });
        }
        core.zref_bound.store(false, Ordering::Release);
        *zref_detached |= core.zref.get().is_some();
        core.detach();
        Ok(())
    }

    /// Sends a descriptor. Drive it with `.await` or [`wait`](ZSend::wait).
    ///
    /// On success the bytes belong to a consumer, and in a debug build `desc` is poisoned; on
    /// failure `desc` is unchanged.
    ///
    /// **Not cancel safe**: if the operation is dropped before it completes, the send may or may
    /// not have happened, and only the consumer can find out. To learn the outcome, cancel the send
    /// by a token ([`ZSend::cancel_on`]) and await its result.
    #[inline]
    pub fn send<'a>(&'a self, desc: &'a mut Desc) -> ZSend<'a> {
        ZSend::new(self, desc)
    }

    /// Receives a descriptor. Drive it with `.await` or [`wait`](ZRecv::wait).
    ///
    /// **Cancel safe** with `zref`, and with any backend that passes the conformance suite: dropped
    /// before it completes, it has received nothing.
    #[inline]
    pub fn recv(&self) -> ZRecv<'_> {
        ZRecv::new(self)
    }

    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the descriptor is unchanged.
    // Inlined, so that a descriptor stays in registers: what it was written to field by field cannot
    // be read as words without a stall.
    #[inline(always)]
    pub fn try_send(&self, desc: &mut Desc) -> Result<(), Failure> {
        let Some(ends) = self.zref() else { return self.try_send_by_link(desc) };
        let in_flight = match InFlight::of(desc) {
            Ok(in_flight) => in_flight,
            Err(error) => return self.not_launched(error),
        };
        match ends.tx.try_send(in_flight) {
            Ok(()) => {
                self.sent_by_zref(desc);
                Ok(())
            }
            Err(error) => Err(refused_at_once(error)),
        }
    }

    /// Counts a send whose descriptor was refused.
    #[cold]
    fn not_launched(&self, error: Error) -> Result<(), Failure> {
        let failure = Failure::from(error);
        self.0.shared.counters.sending(0, Err(failure), true, CountedBy::Channel);
        Err(failure)
    }

    #[inline(never)]
    fn try_send_by_link(&self, desc: &mut Desc) -> Result<(), Failure> {
        let was_open = !self.is_closed();
        let link = desc.checked().map_err(Failure::from).and_then(|_| self.link());
        let (answer, by) = match link {
            Ok(link) => (link.link.try_send(*desc), link.counted_by()),
            Err(failure) => (Err(failure), CountedBy::Channel),
        };
        self.sent(desc, answer, was_open, by)
    }

    /// Receives without waiting.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    #[inline(always)] // As above.
    pub fn try_recv(&self) -> Result<Desc, Failure> {
        let Some(ends) = self.zref() else { return self.try_recv_by_link() };
        match ends.rx.try_recv() {
            Ok(in_flight) => Ok(self.received_by_zref(in_flight)),
            Err(error) => Err(Failure::from(error)),
        }
    }

    #[inline(never)]
    fn try_recv_by_link(&self) -> Result<Desc, Failure> {
        let (answer, by) = match self.link() {
            Ok(link) => (link.link.try_recv(), link.counted_by()),
            Err(failure) => (Err(failure), CountedBy::Channel),
        };
        self.received(answer, by)
    }

    /// Closes the channel: sends fail from here on, receives drain it and then fail, and every
    /// waiting operation wakes. True: it was open.
    pub fn close(&self) -> bool {
        let was_open = !self.0.closed.swap(true, Ordering::AcqRel);
        self.0.close();
        was_open
    }

    /// Whether it was closed.
    #[must_use]
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// The number of descriptors that were accepted and have not been received.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let zref = self.0.zref.get().map_or(0, |ends| ends.tx.len());
        zref + self.0.binding.in_flight()
    }

    /// The counters of the channel.
    #[must_use]
    pub fn counters(&self) -> CounterSnapshot {
        let zref = self.0.zref.get().map(|ends| ends.tx.snapshot());
        self.0.shared.counters.snapshot(zref.as_ref())
    }

    #[inline]
    fn zref(&self) -> Option<&Ends> {
        if self.0.zref_bound.load(Ordering::Acquire) { self.0.zref.get() } else { None }
    }

    /// The route of a send of `desc`; through `zref`, `desc` is in flight from here on.
    #[inline]
    pub(crate) fn send_route(&self, desc: &Desc) -> Result<Route<'_, InFlight>, Failure> {
        match self.zref() {
            Some(ends) => Ok(Route::Zref(ends, InFlight::of(desc)?)),
            None => {
                desc.checked()?;
                self.link().map(Route::Link)
            }
        }
    }

    /// The route of a receive.
    #[inline]
    pub(crate) fn recv_route(&self) -> Result<Route<'_, ()>, Failure> {
        self.zref().map_or_else(|| self.link().map(Route::Link), |ends| Ok(Route::Zref(ends, ())))
    }

    #[cold]
    fn link(&self) -> Result<Bound<'_>, Failure> {
        let unbound = || if self.is_closed() { Failure::Closed } else { Failure::Unsupported };
        self.0.binding.bound().ok_or_else(unbound)
    }

    /// Counts the outcome of a send.
    #[inline]
    pub(crate) fn sent(
        &self,
        desc: &mut Desc,
        answer: Result<(), Failure>,
        was_open: bool,
        by: CountedBy,
    ) -> Result<(), Failure> {
        self.0.shared.counters.sending(desc.len, answer, was_open, by);
        answer.inspect(|()| desc.poison())
    }

    /// Counts a send through `zref` that succeeded, apart from what its channel has counted.
    #[inline]
    pub(crate) fn sent_by_zref(&self, desc: &mut Desc) {
        self.0.shared.counters.sent_bytes(desc.len);
        desc.poison();
    }

    /// Ends the flight of a descriptor that was received through `zref`, and counts its bytes.
    #[inline]
    pub(crate) fn received_by_zref(&self, in_flight: InFlight) -> Desc {
        let desc = in_flight.land();
        self.0.shared.counters.received_bytes(desc.len);
        desc
    }

    /// Counts the bytes of a send through `zref` that had succeeded when its operation was dropped.
    pub(crate) fn sent_unseen(&self, desc: &Desc) {
        self.0.shared.counters.sent_bytes(desc.len);
    }

    /// Counts the outcome of a receive.
    #[inline]
    pub(crate) fn received(
        &self,
        answer: Result<Desc, Failure>,
        by: CountedBy,
    ) -> Result<Desc, Failure> {
        self.0.shared.counters.receiving(answer.map(|desc| desc.len), by);
        answer
    }
}

impl Core {
    fn close(&self) {
        if let Some(ends) = self.zref.get() {
            ends.tx.close();
        }
        self.binding.close();
    }

    fn detach(&self) {
        if let Some(ends) = self.zref.get() {
            ends.tx.close();
            for in_flight in ends.rx.split_off(0) {
                self.shared.counters.drained();
                self.shared.undelivered(in_flight.land());
            }
        }
        let _forced = self.binding.detach(true);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.detach();
    }
}

impl fmt::Debug for ZChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ZChannel");
        shown.field("kind", &self.0.shared.kind).field("closed", &self.is_closed()).finish()
    }
}

impl Carrier for Shared {
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
        self.counters.lost();
        match &self.hook {
            Some(hook) => hook(desc),
            None => {
                pool::give_back(&desc);
            }
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
