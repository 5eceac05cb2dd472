// SPDX-License-Identifier: BSD-3-Clause
//! `zref`: descriptors are passed unchanged within this process, through a channel of `becket_chan`
//! of the requested kind.
//!
//! While a descriptor is in flight its region is pinned ([`InFlight`]); apart from that, it costs
//! as much as any message of 40 bytes. A channel of descriptors uses its `zref` directly, without a
//! link; so does a channel of C.

use std::any::Any;
use std::sync::Arc;

use becket_chan::{Builder, Kind, Receiver, SendError, Sender, TrySendError};

use crate::backend::{Backend, Carrier, Link};
use crate::desc::Desc;
use crate::failure::Failure;
use crate::region::InFlight;

/// The built-in backend, number 0. It makes no links: a channel that is attached to it moves
/// descriptors itself.
#[derive(Debug)]
pub struct Zref;

impl Zref {
    /// Capabilities beyond moving descriptors: none.
    pub const CAPS: u32 = 0;
}

impl Backend for Zref {
    fn attach(&self, _: &Arc<dyn Carrier>, _: &dyn Any) -> Result<Box<dyn Link>, Failure> {
        Err(Failure::Unsupported)
    }
}

/// Both ends of the channel.
pub(crate) struct Ends {
    pub(crate) tx: Sender<InFlight>,
    pub(crate) rx: Receiver<InFlight>,
}

impl Ends {
    /// A channel that passes undelivered descriptors to `lost`. `capacity` is for the bounded kind.
    pub(crate) fn new(
        kind: Kind,
        capacity: usize,
        lost: impl Fn(Desc) + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let builder = match kind {
            Kind::Rendezvous => Builder::rendezvous(),
            Kind::Bounded => Builder::bounded(capacity),
            Kind::Conflated => Builder::conflated(),
            Kind::Unlimited => Builder::unlimited(),
            _ => return Err(Failure::Unsupported),
        };
        let (tx, rx) =
            builder.on_undelivered(move |in_flight: InFlight| lost(in_flight.land())).build();
        Ok(Self { tx, rx })
    }
}

/// Converts the error of a send. The descriptor stays the producer's, with the reference that it
/// may carry.
#[cold]
pub(crate) fn refused(error: SendError<InFlight>) -> Failure {
    let failure = Failure::from(&error);
    let _still_the_producers = error.into_inner().land();
    failure
}

/// As [`refused`], for a send that does not wait.
#[cold]
pub(crate) fn refused_at_once(error: TrySendError<InFlight>) -> Failure {
    let failure = Failure::from(&error);
    let _still_the_producers = error.into_inner().land();
    failure
}
