// SPDX-License-Identifier: BSD-3-Clause
//! `zref`: descriptors are passed unchanged within this process, through a channel of `becket_chan`
//! of the requested kind.
//!
//! While a descriptor is in flight its region is pinned ([`InFlight`]); apart from that, it costs
//! as much as any message of 40 bytes.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use becket_chan::{Builder, Kind, Receiver, Sender};

use crate::backend::{Backend, Carrier, Link, Pending};
use crate::channel::Undelivered;
use crate::desc::Desc;
use crate::failure::Failure;
use crate::limits::{Limits, Time};
use crate::region::InFlight;

/// The built-in backend, number 0.
#[derive(Debug)]
pub struct Zref;

/// The link of `zref`: both ends of a channel.
pub(crate) struct Pair {
    tx: Sender<InFlight>,
    rx: Receiver<InFlight>,
    undelivered: Arc<Undelivered>,
}

thread_local! {
    /// Set while a send is dropped: whether its descriptor was returned.
    static DROPPING: Cell<Option<bool>> = const { Cell::new(None) };
}

impl Zref {
    /// Capabilities beyond moving descriptors: none.
    pub const CAPS: u32 = 0;
}

impl Backend for Zref {
    fn attach(&self, carrier: &Arc<dyn Carrier>, _: &dyn Any) -> Result<Box<dyn Link>, Failure> {
        carrier.hand_over()
    }
}

impl Pair {
    /// A link of a kind, which reports undelivered descriptors to `undelivered`.
    pub(crate) fn new(
        kind: Kind,
        capacity: usize,
        undelivered: Arc<Undelivered>,
    ) -> Result<Self, Failure> {
        let builder = match kind {
            Kind::Rendezvous => Builder::rendezvous(),
            Kind::Bounded => Builder::bounded(capacity),
            Kind::Conflated => Builder::conflated(),
            Kind::Unlimited => Builder::unlimited(),
            _ => return Err(Failure::Unsupported),
        };
        let for_undelivered = undelivered.clone();
        let lost = move |in_flight: InFlight| {
            let desc = in_flight.land();
            // A descriptor that was offered and not accepted still belongs to its producer.
            if DROPPING.get().is_some() {
                DROPPING.set(Some(true));
            } else {
                for_undelivered.lost(desc);
            }
        };
        let (tx, rx) = builder.on_undelivered(lost).build();
        Ok(Self { tx, rx, undelivered })
    }

    /// Both ends of its channel, for the fast path.
    pub(crate) fn ends(&self) -> (Sender<InFlight>, Receiver<InFlight>) {
        (self.tx.clone(), self.rx.clone())
    }
}

/// The send failed: the descriptor stays the producer's, with the reference that it may carry.
fn refused(in_flight: InFlight, failure: Failure) -> Failure {
    let _still_the_producers = in_flight.land();
    failure
}

impl Link for Pair {
    #[inline]
    fn try_send(&self, desc: Desc) -> Result<(), Failure> {
        self.tx.try_send(InFlight::launch(desc)?).map_err(|error| {
            let failure = Failure::from(&error);
            refused(error.into_inner(), failure)
        })
    }

    #[inline]
    fn try_recv(&self) -> Result<Desc, Failure> {
        Ok(self.rx.try_recv()?.land())
    }

    fn send<'a>(&'a self, desc: Desc, limits: Limits<'a>) -> Pending<'a, ()> {
        let operation = async move {
            let in_flight = InFlight::launch(desc)?;
            limits.drive(self.tx.send(in_flight)).await.map_err(|error| {
                let failure = Failure::from(&error);
                refused(error.into_inner(), failure)
            })
        };
        let (operation, undelivered) = (Some(operation), &*self.undelivered);
        Box::pin(Offer { operation, undelivered, bytes: desc.len, started: false })
    }

    fn recv<'a>(&'a self, limits: Limits<'a>) -> Pending<'a, Desc> {
        Box::pin(async move { Ok(limits.drive(self.rx.recv()).await?.land()) })
    }

    fn send_wait(&self, desc: Desc, limits: Limits<'_>) -> Result<(), Failure> {
        match self.try_send(desc) {
            Err(Failure::WouldBlock) if limits.time != Time::Now => {}
            answer => return answer,
        }
        let in_flight = InFlight::launch(desc)?;
        limits.wait(self.tx.send(in_flight)).map_err(|error| {
            let failure = Failure::from(&error);
            refused(error.into_inner(), failure)
        })
    }

    fn recv_wait(&self, limits: Limits<'_>) -> Result<Desc, Failure> {
        match self.try_recv() {
            Err(Failure::WouldBlock) if limits.time != Time::Now => {}
            answer => return answer,
        }
        Ok(limits.wait(self.rx.recv())?.land())
    }

    fn in_flight(&self) -> usize {
        self.tx.len()
    }

    fn close(&self) {
        self.tx.close();
    }

    fn detach(&self) {
        while let Ok(in_flight) = self.rx.try_recv() {
            self.undelivered.lost(in_flight.land());
        }
    }
}

/// A send whose drop finds out whether the send succeeded: a receiver may have taken the descriptor
/// already. Such a send is counted here, because no caller gets its result.
struct Offer<'a, F> {
    /// Pinned with the offer.
    operation: Option<F>,
    undelivered: &'a Undelivered,
    bytes: usize,
    started: bool,
}

impl<F: Future<Output = Result<(), Failure>>> Future for Offer<'_, F> {
    type Output = Result<(), Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the operation is not moved; it is dropped where it is.
        let this = unsafe { self.get_unchecked_mut() };
        this.started = true;
        let Some(operation) = &mut this.operation else {
            return Poll::Pending;
        };
        // SAFETY: pinned with the offer.
        let answer = unsafe { Pin::new_unchecked(operation) }.poll(context);
        if answer.is_ready() {
            this.operation = None;
        }
        answer
    }
}

impl<F> Drop for Offer<'_, F> {
    fn drop(&mut self) {
        if !self.started || self.operation.is_none() {
            return;
        }
        DROPPING.set(Some(false));
        // Dropped where it is.
        self.operation = None;
        if DROPPING.take() == Some(false) {
            self.undelivered.count_send(self.bytes);
        }
    }
}
