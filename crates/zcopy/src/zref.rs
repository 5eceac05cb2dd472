// SPDX-License-Identifier: BSD-3-Clause
//! `zref`: descriptors are handed over as they are, within this process, through a channel of
//! `becket_chan` of the kind that is asked for.
//!
//! While a descriptor is in flight its region is pinned ([`InFlight`]), and it costs what any message
//! of 40 bytes costs.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use becket_chan::{Builder, Kind, Receiver, Sender};

use crate::backend::{Backend, Carrier, Link, Pending};
use crate::channel::Losses;
use crate::desc::Desc;
use crate::failure::Failure;
use crate::limits::{Limits, Time};
use crate::region::InFlight;

/// The backend that is built in, number 0.
#[derive(Debug)]
pub struct Zref;

/// Its link: both ends of a channel.
pub(crate) struct Pair {
    tx: Sender<InFlight>,
    rx: Receiver<InFlight>,
    losses: Arc<Losses>,
}

thread_local! {
    /// While a send is dropped: whether its descriptor came back.
    static DROPPING: Cell<Option<bool>> = const { Cell::new(None) };
}

impl Zref {
    /// What it can do beyond moving descriptors: nothing.
    pub const CAPS: u32 = 0;
}

impl Backend for Zref {
    fn attach(&self, carrier: &Arc<dyn Carrier>, _: &dyn Any) -> Result<Box<dyn Link>, Failure> {
        carrier.hand_over()
    }
}

impl Pair {
    /// Of a kind, for a carrier that hears of what is lost.
    pub(crate) fn new(kind: Kind, capacity: usize, losses: Arc<Losses>) -> Result<Self, Failure> {
        let builder = match kind {
            Kind::Rendezvous => Builder::rendezvous(),
            Kind::Bounded => Builder::bounded(capacity),
            Kind::Conflated => Builder::conflated(),
            Kind::Unlimited => Builder::unlimited(),
            _ => return Err(Failure::Unsupported),
        };
        let told = losses.clone();
        let lost = move |flight: InFlight| {
            let desc = flight.land();
            // One that was offered and not accepted is its producer's still.
            if DROPPING.get().is_some() {
                DROPPING.set(Some(true));
            } else {
                told.lost(desc);
            }
        };
        let (tx, rx) = builder.on_undelivered(lost).build();
        Ok(Self { tx, rx, losses })
    }

    /// Its channel, for the short way.
    pub(crate) fn ends(&self) -> (Sender<InFlight>, Receiver<InFlight>) {
        (self.tx.clone(), self.rx.clone())
    }
}

/// The send failed: the descriptor stays the producer's, with whatever share it carries.
fn refused(flight: InFlight, failure: Failure) -> Failure {
    let _still_theirs = flight.land();
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
            let flight = InFlight::launch(desc)?;
            limits.drive(self.tx.send(flight)).await.map_err(|error| {
                let failure = Failure::from(&error);
                refused(error.into_inner(), failure)
            })
        };
        let (operation, losses) = (Some(operation), &*self.losses);
        Box::pin(Offer { operation, losses, bytes: desc.len, begun: false })
    }

    fn recv<'a>(&'a self, limits: Limits<'a>) -> Pending<'a, Desc> {
        Box::pin(async move { Ok(limits.drive(self.rx.recv()).await?.land()) })
    }

    fn send_wait(&self, desc: Desc, limits: Limits<'_>) -> Result<(), Failure> {
        match self.try_send(desc) {
            Err(Failure::WouldBlock) if limits.time != Time::Now => {}
            answer => return answer,
        }
        let flight = InFlight::launch(desc)?;
        limits.wait(self.tx.send(flight)).map_err(|error| {
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
        while let Ok(flight) = self.rx.try_recv() {
            self.losses.lost(flight.land());
        }
    }
}

/// A send that, dropped, finds out whether it had happened: a receiver may have taken the descriptor
/// already. Then it is counted here, because nobody hears of it otherwise.
struct Offer<'a, F> {
    /// Pinned with the offer.
    operation: Option<F>,
    losses: &'a Losses,
    bytes: usize,
    begun: bool,
}

impl<F: Future<Output = Result<(), Failure>>> Future for Offer<'_, F> {
    type Output = Result<(), Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the operation is not moved; it is dropped where it is.
        let this = unsafe { self.get_unchecked_mut() };
        this.begun = true;
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
        if !self.begun || self.operation.is_none() {
            return;
        }
        DROPPING.set(Some(false));
        // Dropped where it is.
        self.operation = None;
        if DROPPING.take() == Some(false) {
            self.losses.happened(self.bytes);
        }
    }
}
