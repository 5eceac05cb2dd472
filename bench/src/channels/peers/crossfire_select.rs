// SPDX-License-Identifier: BSD-3-Clause
//! crossfire's `Select`: over receivers only, and reused. Its `Multiplex`, which owns the receivers
//! of channels that are made for it, was slower in these rows.

use crossfire::select::Select;
use crossfire::{MRx, MTx, mpmc};

use super::super::channel::Refused;
use super::super::peer::Peer;
use super::super::ready::{Ready, rounds};

type Array = mpmc::Array<u64>;

/// Channels and a select over their receivers.
pub(crate) struct Selected {
    senders: Vec<MTx<Array>>,
    receivers: Vec<MRx<Array>>,
}

impl Ready for Selected {
    const PEER: Peer = Peer::Crossfire;

    fn open(channels: usize) -> Self {
        let (senders, receivers) = (0..channels).map(|_| mpmc::bounded_blocking(16)).unzip();
        Self { senders, receivers }
    }

    fn rounds(&mut self, n: u64) -> Result<u64, Refused> {
        let mut select = Select::new();
        for rx in &self.receivers {
            select.add(rx);
        }
        rounds(n, self.senders.len(), |channel, number| {
            let tx = self.senders.get(channel).ok_or(Refused)?;
            tx.try_send(number).map_err(|_| Refused)?;
            let ready = select.select().map_err(|_| Refused)?;
            let rx = self.receivers.iter().find(|rx| ready.is_from(*rx)).ok_or(Refused)?;
            rx.read_select(ready).map_err(|_| Refused)
        })
    }
}
