// SPDX-License-Identifier: BSD-3-Clause
//! Frames that wait for room in the socket, in order.
//!
//! Each frame is one packet or two: as the peer packs its own (`wire::v1::Packets`). Until the peer
//! has sent something, header and payload are sent separately, which every peer can read: some read
//! a header and its payload with two calls.
//!
//! A call that finds room sends the frames in front, its own or not.
//!
//! # The element that may be lost
//!
//! If a peer dies with unread data, the system reports it (`ECONNRESET`): then at least the last
//! frame was not read. If that frame carried an element, the element is requeued in its channel.
//! Whether the frames before it were read is unknown, and an element must not be delivered twice.

use std::collections::VecDeque;

use becket_ipc::v1::Value;
use becket_wire::v1::{HEADER_BYTES, Packets};
use rustix::io::Errno;

/// Bytes that are accepted before the first frame is refused.
const BYTES_MAX: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Outgoing {
    frames: VecDeque<Waiting>,
    bytes: usize,
    next: u64,
    /// The peer is gone: nothing can be sent.
    gone: bool,
    /// The value of the last frame sent.
    unread: Option<Value>,
    /// Values to be requeued, without the lock: the newest first.
    undelivered: Vec<Value>,
}

struct Waiting {
    number: u64,
    bytes: Vec<u8>,
    value: Option<Value>,
    /// Its header is sent, its payload is not.
    half: bool,
}

impl Outgoing {
    /// Whether another frame may be accepted whose sender does not wait.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < BYTES_MAX
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Accepts a frame; returns its number.
    pub(super) fn push(&mut self, bytes: Vec<u8>, value: Option<Value>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bytes += bytes.len();
        self.frames.push_back(Waiting { number, bytes, value, half: false });
        number
    }

    /// Whether an accepted frame was sent.
    pub(super) fn is_sent(&self, number: u64) -> bool {
        self.frames.front().is_none_or(|front| front.number > number)
    }

    /// Takes a frame back. False: it was sent, or half of it was.
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
                    let value = self.frames.pop_front().and_then(|frame| frame.value);
                    self.is_last(value);
                }
                Ok(()) => {
                    front.half = true;
                    self.is_last(None);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Records that a frame with this value was sent: from now on the frame before may have been
    /// read.
    fn is_last(&mut self, value: Option<Value>) {
        if let Some(before) = std::mem::replace(&mut self.unread, value) {
            before.delivered();
        }
    }

    /// Ends sending. The remaining frames stay, so that none is taken for sent; their values are
    /// requeued.
    pub(super) fn end(&mut self) {
        self.gone = true;
        let values = self.frames.iter_mut().rev().filter_map(|frame| frame.value.take());
        self.undelivered.extend(values);
    }

    /// The peer is gone, and has left data unread.
    pub(super) fn was_unread(&mut self) {
        self.undelivered.extend(self.unread.take());
    }

    /// Values that are to be dropped without the lock: their requeueing may send.
    pub(super) fn take_undelivered(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.undelivered)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.is_last(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        [&[0; HEADER_BYTES], payload].concat()
    }

    /// Sends with room for `room` packets; returns the sizes sent.
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
        // The peer has switched its packing meanwhile: this frame continues as it began.
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
    fn of_what_was_sent_only_the_last_goes_back_and_of_the_rest_all() {
        use std::sync::Arc;

        use becket_chan::{Kind, unlimited};
        use becket_ipc::channels::{Channels, Wanted};
        use becket_ipc::v1::{Limits, Server, Session};
        use becket_wire::v1::Request;

        let channels = Arc::new(Channels::new(9));
        let wanted = Wanted { kind: Kind::Bounded, capacity: 9, element_bytes: Some(1) };
        let chan = channels.make(None, wanted).unwrap();
        let (tx, rx) = unlimited();
        let server = Server::new(channels, Limits::default());
        let session = Session::new(&server, move |answer| tx.try_send(answer).unwrap());
        let mut outgoing = Outgoing::default();
        for letter in ["a", "b", "c", "d"] {
            chan.sender().unwrap().try_send(letter.into()).unwrap();
            let mut bytes = Vec::new();
            Request::ChanTryRecv { chan: chan.id() }.encode(None, &mut bytes).unwrap();
            session.request(14, bytes.split_off(HEADER_BYTES).as_slice());
            let answer = rx.try_recv().unwrap();
            outgoing.push(answer.frame, answer.value);
        }
        let left = || {
            let mut left = Vec::new();
            while let Ok(element) = chan.receiver().unwrap().try_recv() {
                left.extend_from_slice(element.as_slice());
            }
            String::from_utf8(left).unwrap()
        };
        assert_eq!(send(&mut outgoing, Packets::One, 2).1.len(), 2);
        outgoing.end();
        outgoing.was_unread();
        outgoing.was_unread();
        assert_eq!(left(), "");
        drop(outgoing.take_undelivered());
        assert_eq!(left(), "bcd");
        drop(outgoing);
        assert_eq!(left(), "");
    }
}
