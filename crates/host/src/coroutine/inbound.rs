// SPDX-License-Identifier: BSD-3-Clause
//! Frames from the host to a stream that a coroutine serves.
//!
//! An unlimited channel carries them; how many may be on it is counted beside it. A sender
//! that is refused is notified through the stream's cell when there is room again, as by a plugin.
//!
//! # Invariants
//!
//! 1. `starved` is set only while frames are counted: the receive of one of them takes it back and
//!    says that there is room.
//! 2. A frame is counted before it is on the channel, and until it was taken off it.

use std::time::Instant;

use becket_chan::{Receiver, RecvError, Sender, Token, unlimited};

use crate::reentry::Mutex;

/// See the module's documentation.
pub(crate) struct Inbound {
    sender: Sender<Vec<u8>>,
    receiver: Receiver<Vec<u8>>,
    frames_max: u32,
    bytes_max: u64,
    queued: Mutex<Queued>,
}

#[derive(Default)]
struct Queued {
    frames: u32,
    bytes: u64,
    starved: bool,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Taken,
    /// There is no room.
    Full,
    /// The host has closed.
    Closed,
}

impl Inbound {
    pub(super) fn new(frames_max: u32, bytes_max: u64) -> Self {
        let (sender, receiver) = unlimited();
        Self { sender, receiver, frames_max, bytes_max, queued: Mutex::default() }
    }

    /// Queues a copy of a frame. One of any size is taken when there is no other.
    pub(crate) fn push(&self, data: &[u8]) -> Pushed {
        let len = data.len() as u64;
        {
            let mut queued = self.queued.lock();
            let fits = queued.frames < self.frames_max
                && queued.bytes.saturating_add(len) <= self.bytes_max;
            if !fits && queued.frames > 0 {
                queued.starved = true;
                return Pushed::Full;
            }
            queued.frames += 1;
            queued.bytes += len;
        }
        match self.sender.try_send(data.to_vec()) {
            Ok(()) => Pushed::Taken,
            Err(_closed) => {
                self.count_off(len);
                Pushed::Closed
            }
        }
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
        let room = self.count_off(frame.len() as u64);
        Ok((frame, room))
    }

    /// No more frames come; those that are queued can be received.
    pub(crate) fn close(&self) {
        self.sender.close();
    }

    fn count_off(&self, len: u64) -> bool {
        let mut queued = self.queued.lock();
        queued.frames -= 1;
        queued.bytes -= len;
        std::mem::take(&mut queued.starved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_hold_and_who_was_refused_hears_of_room() {
        let inbound = Inbound::new(2, 10);
        let token = Token::new();
        let next = || inbound.recv(&token, None).unwrap();
        assert_eq!(inbound.push(b"a frame of more than ten bytes"), Pushed::Taken, "the first");
        assert_eq!(inbound.push(b"x"), Pushed::Full, "ten bytes are queued");
        assert!(next().1, "somebody was refused");
        assert_eq!(inbound.push(b"one"), Pushed::Taken);
        assert_eq!(inbound.push(b"two"), Pushed::Taken);
        assert_eq!(inbound.push(b"3"), Pushed::Full, "two frames are queued");
        assert_eq!(next(), (b"one".to_vec(), true));
        assert_eq!(next(), (b"two".to_vec(), false), "no sender was refused since");
    }

    #[test]
    fn what_was_queued_comes_before_the_close() {
        let inbound = Inbound::new(4, 64);
        assert_eq!(inbound.push(b"last"), Pushed::Taken);
        inbound.close();
        assert_eq!(inbound.push(b"later"), Pushed::Closed);
        let token = Token::new();
        assert_eq!(inbound.recv(&token, None).unwrap().0, b"last");
        assert!(matches!(inbound.recv(&token, None), Err(RecvError::Closed)));
        token.cancel();
        assert!(inbound.recv(&token, None).is_err());
    }
}
