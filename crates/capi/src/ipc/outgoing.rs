// SPDX-License-Identifier: BSD-3-Clause
//! Frames that wait for room in the socket, in the order in which they came.
//!
//! Each frame is one packet or two: as the peer packs its own (`wire::v1::Packets`). Until it has
//! sent something, header and payload go apart, which every peer can read: some read a header and
//! its payload with two calls.
//!
//! Whoever finds room sends whatever stands in front, its own or not.
//!
//! # The element that may be lost
//!
//! A peer that dies with something unread is told of (`ECONNRESET`): then at least the frame that
//! was sent last was not read. If that brought an element, the element goes back to its channel.
//! Of the frames before it nobody knows, and an element must not come twice.

use std::collections::VecDeque;

use becket_wire::v1::{HEADER_BYTES, Packets};
use rustix::io::Errno;

/// Bytes that are taken before the first frame is refused.
const BYTES_MAX: usize = 1 << 20;

/// Gives an element back that was not delivered.
pub(super) type GiveBack = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Outgoing {
    frames: VecDeque<Waiting>,
    bytes: usize,
    next: u64,
    /// The peer is gone: nothing can be sent.
    gone: bool,
    /// Of the frame that was sent last.
    give_back: Option<GiveBack>,
}

struct Waiting {
    number: u64,
    bytes: Vec<u8>,
    give_back: Option<GiveBack>,
    /// Its header is gone, its payload is not.
    half: bool,
}

impl Outgoing {
    /// Whether another frame may be taken that nobody waits for.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < BYTES_MAX
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Takes a frame; its number.
    pub(super) fn push(&mut self, bytes: Vec<u8>, give_back: Option<GiveBack>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bytes += bytes.len();
        self.frames.push_back(Waiting { number, bytes, give_back, half: false });
        number
    }

    /// Whether a frame that was taken is gone.
    pub(super) fn is_sent(&self, number: u64) -> bool {
        self.frames.front().is_none_or(|front| front.number > number)
    }

    /// Takes a frame back. False: it is gone, or half of it is.
    pub(super) fn withdraw(&mut self, number: u64) -> bool {
        let at = self.frames.binary_search_by_key(&number, |frame| frame.number);
        let Ok(at) = at else { return false };
        if self.frames.get(at).is_none_or(|frame| frame.half) {
            return false;
        }
        if let Some(frame) = self.frames.remove(at) {
            self.bytes -= frame.bytes.len();
        }
        true
    }

    /// Sends packets until nothing is left (true) or there is no room.
    pub(super) fn send(
        &mut self,
        packets: Packets,
        mut packet: impl FnMut(&[u8]) -> Result<(), Errno>,
    ) -> Result<bool, Errno> {
        while let Some(front) = self.frames.front_mut() {
            let (header, payload) = front.bytes.split_at(HEADER_BYTES.min(front.bytes.len()));
            let whole = payload.is_empty() || packets == Packets::One;
            let next = match front.half {
                true => payload,
                false if whole => front.bytes.as_slice(),
                false => header,
            };
            let last = whole || front.half;
            match packet(next) {
                Ok(()) if last => {
                    self.bytes -= front.bytes.len();
                    self.give_back = self.frames.pop_front().and_then(|frame| frame.give_back);
                }
                Ok(()) => {
                    front.half = true;
                    self.give_back = None;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Nothing can be sent any more. What is left stays, so that nobody takes it for sent.
    pub(super) fn end(&mut self) {
        self.gone = true;
    }

    /// The peer has left something unread.
    pub(super) fn was_unread(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        [&[0; HEADER_BYTES], payload].concat()
    }

    /// Room for so many packets; what was sent.
    fn send(outgoing: &mut Outgoing, packets: Packets, room: usize) -> (bool, Vec<usize>) {
        let mut sent = Vec::new();
        let done = outgoing.send(packets, |packet| {
            if sent.len() == room {
                return Err(Errno::AGAIN);
            }
            sent.push(packet.len());
            Ok(())
        });
        (done.unwrap(), sent)
    }

    #[test]
    fn a_frame_is_one_packet_or_two_and_never_two_halves_of_each() {
        let mut outgoing = Outgoing::default();
        let first = outgoing.push(frame(b"abc"), None);
        let second = outgoing.push(frame(b""), None);
        assert_eq!(send(&mut outgoing, Packets::Two, 1), (false, vec![8]));
        assert!(!outgoing.is_sent(first) && !outgoing.withdraw(first));
        // The peer has shown meanwhile that it packs otherwise: this frame goes on as it began.
        assert_eq!(send(&mut outgoing, Packets::One, 9), (true, vec![3, 8]));
        assert!(outgoing.is_sent(second) && outgoing.bytes == 0);
        outgoing.push(frame(b"abc"), None);
        assert_eq!(send(&mut outgoing, Packets::One, 9), (true, vec![11]));
    }

    #[test]
    fn a_frame_that_has_not_begun_can_be_taken_back() {
        let mut outgoing = Outgoing::default();
        let first = outgoing.push(frame(b"a"), None);
        let second = outgoing.push(frame(b"bc"), None);
        assert!(outgoing.withdraw(first) && !outgoing.withdraw(first));
        assert!(outgoing.is_sent(first) && !outgoing.is_sent(second));
        assert_eq!(send(&mut outgoing, Packets::One, 9), (true, vec![10]));
    }

    #[test]
    fn only_the_last_frame_is_given_back_and_only_once() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};

        let given = Arc::new(AtomicU32::new(0));
        let give = |number: u32| -> Option<GiveBack> {
            let given = given.clone();
            Some(Box::new(move || given.store(number, Ordering::Relaxed)))
        };
        let mut outgoing = Outgoing::default();
        outgoing.push(frame(b"first"), give(1));
        outgoing.push(frame(b"second"), give(2));
        outgoing.push(frame(b"third"), give(3));
        assert_eq!(send(&mut outgoing, Packets::One, 2).1.len(), 2);
        outgoing.was_unread();
        assert_eq!(given.swap(0, Ordering::Relaxed), 2);
        outgoing.was_unread();
        assert_eq!(given.load(Ordering::Relaxed), 0);
        // Half of it: who sends it is told, and who knows what was read before it.
        assert_eq!(send(&mut outgoing, Packets::Two, 1).1.len(), 1);
        outgoing.was_unread();
        assert_eq!(given.load(Ordering::Relaxed), 0);
    }
}
