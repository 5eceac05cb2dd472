// SPDX-License-Identifier: BSD-3-Clause
//! rtrb: a ring for one sender and one receiver. It cannot wait, so both sides poll; it shows the
//! cost of a ring that cannot sleep.

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::super::batch::batched;
use super::super::channel::{Message, Refused, WaitRx, WaitTx, channel};
use super::super::peer::Peer;

/// A ring.
pub(crate) struct Bounded<const CAPACITY: usize>;

channel!(Rtrb, Bounded<N>, N: RingBuffer::new(N), Producer<T>, Consumer<T>);
impl<T: Message> WaitTx<T> for Producer<T> {
    fn send_wait(&mut self, mut value: T) -> Result<(), Refused> {
        while let Err(PushError::Full(back)) = self.push(value) {
            if self.is_abandoned() {
                return Err(Refused);
            }
            value = back;
        }
        Ok(())
    }
}

impl<T: Message> WaitRx<T> for Consumer<T> {
    fn recv_wait(&mut self) -> Result<T, Refused> {
        loop {
            if let Ok(value) = self.pop() {
                return Ok(value);
            }
            if self.is_abandoned() {
                return Err(Refused);
            }
        }
    }
}

batched!(
    /// A ring, written and read in chunks.
    Rtrb Batched, Producer<u64>, Consumer<u64>, RingBuffer::new(1024);
    send |tx, values, _none: ()| {
        let count = values.end.saturating_sub(values.start) as usize;
        let chunk = tx.write_chunk_uninit(count).map_err(|_| Refused)?;
        if chunk.fill_from_iter(values) == count { Ok(()) } else { Err(Refused) }
    };
    recv |rx, each, _none: ()| {
        rx.read_chunk(rx.slots()).map_err(|_| Refused)?.into_iter().for_each(each);
    }
);
