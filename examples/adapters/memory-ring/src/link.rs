// SPDX-License-Identifier: BSD-3-Clause
//! What a channel has of the backend: the ring, and who waits for it.
//!
//! # Waiting
//!
//! Two bells, channels of one place: `room` rings when somebody may send, `filled` when somebody may
//! receive. An operation tries; if that would block, it waits for its bell, within its limits, and tries
//! again. So it parks whoever it is (task, thread, coroutine), and a dropped one has taken nothing.
//!
//! One ring wakes one waiter. A bell holds one ring, so that two that come together may count as one:
//! therefore **who succeeds and sees that another could succeed as well rings for the next one**. And
//! who took a ring and found nothing (somebody was faster) simply waits again.
//!
//! # Ownership
//!
//! A descriptor is [launched](InFlight::launch) before it is pushed: its region stays until it has
//! arrived. If it is not pushed, it is landed again, and is the producer's as before.

use std::sync::Arc;

use becket_chan::{Receiver, RecvError, Sender, bounded};
use becket_zcopy::{Carrier, Desc, Error, Failure, InFlight, Limits, Link, Pending};
use parking_lot::Mutex;

use crate::Options;
use crate::ring::{Left, Refused, Ring};

pub(crate) struct RingLink {
    carrier: Arc<dyn Carrier>,
    ring: Mutex<Ring<InFlight>>,
    room: Bell,
    filled: Bell,
    bytes_max: usize,
}

impl RingLink {
    pub(crate) fn new(carrier: Arc<dyn Carrier>, window: usize, options: Options) -> Self {
        let Options { bytes_max, grant } = options;
        let ring = Mutex::new(Ring::new(window, grant));
        Self { carrier, ring, room: Bell::new(), filled: Bell::new(), bytes_max }
    }

    /// Who else can go on now.
    fn tell(&self, left: Left) {
        if left.room {
            self.room.ring();
        }
        if left.filled {
            self.filled.ring();
        }
    }
}

// ANCHOR: link
impl Link for RingLink {
    fn try_send(&self, desc: Desc) -> Result<(), Failure> {
        if desc.len > self.bytes_max {
            return Err(Error::TooLong { len: desc.len, max: self.bytes_max }.into());
        }
        let flight = InFlight::launch(desc)?;
        let pushed = self.ring.lock().push(flight);
        match pushed {
            Ok(left) => {
                self.tell(left);
                Ok(())
            }
            Err((refused, flight)) => {
                // Not sent: the producer's again, with whatever share it carries.
                let _theirs = flight.land();
                Err(refused.into())
            }
        }
    }

    fn try_recv(&self) -> Result<Desc, Failure> {
        let (flight, left) = self.ring.lock().pop()?;
        self.tell(left);
        Ok(flight.land())
    }

    fn send<'a>(&'a self, desc: Desc, limits: Limits<'a>) -> Pending<'a, ()> {
        // The time counts from here, however often it waits.
        let limits = limits.from_now();
        Box::pin(async move {
            loop {
                match self.try_send(desc) {
                    Err(Failure::WouldBlock) => self.room.heard(limits).await?,
                    answer => return answer,
                }
            }
        })
    }

    fn recv<'a>(&'a self, limits: Limits<'a>) -> Pending<'a, Desc> {
        let limits = limits.from_now();
        Box::pin(async move {
            loop {
                match self.try_recv() {
                    Err(Failure::WouldBlock) => self.filled.heard(limits).await?,
                    answer => return answer,
                }
            }
        })
    }

    fn in_flight(&self) -> usize {
        self.ring.lock().len()
    }

    fn close(&self) {
        // First the ring, then the bells: who hears of the end tries once more, and sees it.
        self.ring.lock().close();
        self.room.close();
        self.filled.close();
    }

    fn detach(&self) {
        while let Ok(desc) = self.try_recv() {
            self.carrier.undelivered(desc);
        }
    }
}
// ANCHOR_END: link

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::WouldBlock => Self::WouldBlock,
            Refused::Closed => Self::Closed,
        }
    }
}

/// Wakes one of those who wait, or the next one to come.
struct Bell {
    rings: Sender<()>,
    heard: Receiver<()>,
}

impl Bell {
    fn new() -> Self {
        let (rings, heard) = bounded(1);
        Self { rings, heard }
    }

    fn ring(&self) {
        // Full: it rings already, and who hears it rings on.
        let _rings_already = self.rings.try_send(());
    }

    /// Waits for it. Closed is heard as well: the ring knows what that means.
    async fn heard(&self, limits: Limits<'_>) -> Result<(), Failure> {
        match limits.drive(self.heard.recv()).await {
            Ok(()) | Err(RecvError::Closed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn close(&self) {
        self.rings.close();
    }
}
