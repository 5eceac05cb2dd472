// SPDX-License-Identifier: BSD-3-Clause
//! Frames from the host to a stream that a coroutine serves.
//!
//! An unlimited channel carries them, within a credit, as it does those from the plugin
//! ([`crate::stream`]). A sender that is refused is notified through the stream's cell when there is
//! room again, as by a plugin.
//!
//! # Invariants
//!
//! 1. A frame takes credit before it is on the channel, and gives it back when it was taken off.
//! 2. A sender that found no credit has left its mark in it: the receive of a frame, of which there
//!    is one then, takes that away and reports that there is room.

use std::time::Instant;

use becket_chan::{Receiver, RecvError, Sender, Token, unlimited};

use crate::stream::{Credit, Rejected, STARVED};

/// See the module's documentation.
pub(crate) struct Inbound {
    sender: Sender<Vec<u8>>,
    receiver: Receiver<Vec<u8>>,
    sid: u64,
    credit: Credit,
}

impl Inbound {
    pub(super) fn new(sid: u64, frames_max: u32, bytes_max: u64) -> Self {
        let (sender, receiver) = unlimited();
        let credit = Credit::new();
        credit.open(sid, frames_max.max(1), bytes_max);
        Self { sender, receiver, sid, credit }
    }

    /// Queues a copy of a frame. One of any size is taken when there is no other.
    pub(crate) fn push(&self, data: &[u8]) -> Result<(), Rejected> {
        let len = data.len() as u64;
        self.credit.take(self.sid, len, STARVED)?;
        self.sender.try_send(data.to_vec()).map_err(|_closed| {
            self.credit.give_back(1, self.credit.units(len));
            Rejected::Late
        })
    }

    /// Waits for the next frame; true with it if the sender is to be notified of room.
    pub(crate) fn recv(
        &self,
        token: &Token,
        deadline: Option<Instant>,
    ) -> Result<(Vec<u8>, bool), RecvError> {
        let mut recv = self.receiver.recv().cancel_on(token);
        if let Some(deadline) = deadline {
            recv = recv.deadline(deadline);
        }
        let frame = recv.wait()?;
        let before = self.credit.give_back(1, self.credit.units(frame.len() as u64));
        Ok((frame, before & STARVED != 0))
    }

    /// No more frames come; those that are queued can be received.
    pub(crate) fn close(&self) {
        self.credit.end(self.sid);
        self.sender.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sid;

    const SID: u64 = sid::of_slot(3, 77);

    #[test]
    fn the_bounds_hold_and_a_refused_sender_is_notified_of_room() {
        let inbound = Inbound::new(SID, 2, 10);
        let token = Token::new();
        let next = || inbound.recv(&token, None).unwrap();
        assert_eq!(inbound.push(b"a frame of more than ten bytes"), Ok(()), "the first");
        assert_eq!(inbound.push(b"x"), Err(Rejected::Full), "ten bytes are queued");
        assert!(next().1, "somebody was refused");
        assert_eq!(inbound.push(b"one"), Ok(()));
        assert_eq!(inbound.push(b"two"), Ok(()));
        assert_eq!(inbound.push(b"3"), Err(Rejected::Full), "two frames are queued");
        assert_eq!(next(), (b"one".to_vec(), true));
        assert_eq!(next(), (b"two".to_vec(), false), "no sender was refused since");
    }

    #[test]
    fn what_was_queued_comes_before_the_close() {
        let inbound = Inbound::new(SID, 4, 64);
        assert_eq!(inbound.push(b"last"), Ok(()));
        inbound.close();
        assert_eq!(inbound.push(b"later"), Err(Rejected::Late));
        let token = Token::new();
        assert_eq!(inbound.recv(&token, None).unwrap().0, b"last");
        assert!(matches!(inbound.recv(&token, None), Err(RecvError::Closed)));
        token.cancel();
        assert!(inbound.recv(&token, None).is_err());
    }
}
