// SPDX-License-Identifier: BSD-3-Clause
//! Frames to send, and the value that the client has not read yet.
//!
//! ```text
//!    oldest                                      newest
//!   ┌──────────┐   ┌────────┬────────┬────────┬────────┐
//!   │ unread   │   │ frame  │ value  │ frame  │ value  │  queue
//!   └──────────┘   └────────┴────────┴────────┴────────┘
//!    sent; nothing is sent after it until it is read
//! ```
//!
//! A value is the last thing in the client's socket until it is read. So when the kernel reports
//! that the client has disconnected with unread data, it was the value; when it reports that
//! everything was read, the client has the value. An edge-triggered event reports that there is room
//! (see [`reactor`](crate::reactor)): then the sender has to [flush](Outgoing::flush).

use std::collections::VecDeque;
use std::os::fd::AsFd;

use becket_wire::v1::{HEADER_BYTES, Packets};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::session::Value;
use super::unread::has_read_all;
use crate::transport::{Socket, SocketKind};

/// The frames of one connection that are to be sent.
#[derive(Debug, Default)]
pub struct Outgoing {
    queue: VecDeque<Waiting>,
    queued_bytes: u64,
    /// The number of the next frame.
    next: u64,
    /// A value that was sent and possibly not read.
    unread: Option<Value>,
    is_held: bool,
    /// How the client splits its frames into packets, and so does this side.
    pub packets: Packets,
}

/// The result of a flush.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Frames that were sent completely.
    pub frames: u64,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Why it cannot continue, unless the socket reports when it can.
    pub failed: Option<Errno>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    frame: Vec<u8>,
    sent_bytes: usize,
    value: Option<Value>,
}

impl Outgoing {
    /// Queues a frame, and the value in it, if there is one; returns the frame's number.
    pub fn push(&mut self, frame: Vec<u8>, value: Option<Value>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.queued_bytes += frame.len() as u64;
        self.queue.push_back(Waiting { number, frame, sent_bytes: 0, value });
        number
    }

    /// Takes all waiting frames, for a caller that sends them itself.
    pub(super) fn take_all(&mut self) -> Vec<(Vec<u8>, Option<Value>)> {
        self.queued_bytes = 0;
        self.queue.drain(..).map(|waiting| (waiting.frame, waiting.value)).collect()
    }

    /// Whether a frame was sent completely.
    #[must_use]
    pub fn is_sent(&self, number: u64) -> bool {
        self.queue.front().is_none_or(|front| front.number > number)
    }

    /// Takes a frame back. False: it was sent, or a part of it was.
    pub fn withdraw(&mut self, number: u64) -> bool {
        let at = self.queue.binary_search_by_key(&number, |waiting| waiting.number);
        let Ok(at) = at else { return false };
        if self.queue.get(at).is_none_or(|waiting| waiting.sent_bytes > 0) {
            return false;
        }
        if let Some(waiting) = self.queue.remove(at) {
            self.queued_bytes -= waiting.frame.len() as u64;
        }
        true
    }

    /// The number of waiting frames.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether every frame was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The bytes that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// Whether the last flush stopped at a value that the client has not read.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Sends what can be sent.
    pub fn flush(&mut self, socket: &Socket) -> Flushed {
        let is_split = socket.kind() == SocketKind::Seqpacket && self.packets == Packets::Two;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.send(is_split, || has_read_all(socket.as_fd()), |piece| send(socket, piece, flags))
    }

    fn send(
        &mut self,
        is_split: bool,
        has_read_all: impl Fn() -> bool,
        mut write: impl FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Flushed {
        let mut flushed = Flushed::default();
        self.is_held = false;
        while let Some(front) = self.queue.front_mut() {
            if self.unread.is_some() && !has_read_all() {
                self.is_held = true;
                break;
            }
            match write(front.piece(is_split)) {
                Ok(bytes) => {
                    // The client is connected: so it has read what is not in its socket any more.
                    // The socket of a disconnected client is empty too, but nothing can be sent to
                    // it.
                    if let Some(read) = self.unread.take() {
                        read.delivered();
                    }
                    front.sent_bytes += bytes;
                    flushed.bytes += bytes as u64;
                    self.queued_bytes -= bytes as u64;
                    if front.sent_bytes >= front.frame.len() {
                        self.unread = self.queue.pop_front().and_then(|waiting| waiting.value);
                        flushed.frames += 1;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => {
                    flushed.failed = Some(errno);
                    break;
                }
            }
        }
        flushed
    }

    /// The client is gone, and has left data unread: the value that was sent last.
    pub fn take_unread(&mut self) -> Option<Value> {
        self.unread.take()
    }

    /// The client is gone: the values that were not sent, the oldest first. Their frames stay, so
    /// that none is taken for sent.
    pub fn take_unsent(&mut self) -> impl Iterator<Item = Value> + use<'_> {
        self.queue.iter_mut().filter_map(|waiting| waiting.value.take())
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(sent) = self.unread.take() {
            sent.delivered();
        }
    }
}

impl Waiting {
    /// The next piece to send.
    fn piece(&self, is_split: bool) -> &[u8] {
        let rest = self.frame.get(self.sent_bytes..).unwrap_or_default();
        let is_header_alone = is_split && self.sent_bytes == 0;
        if is_header_alone { rest.get(..HEADER_BYTES).unwrap_or(rest) } else { rest }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use becket_chan::{Kind, unlimited};
    use becket_wire::v1::Request;

    use super::super::{Limits, Server, Session};
    use super::*;
    use crate::channels::{Channels, Wanted};

    fn frame(payload: &[u8]) -> Vec<u8> {
        [&[0; HEADER_BYTES], payload].concat()
    }

    /// Sends with room for `room` packets; returns the sizes sent.
    fn send(outgoing: &mut Outgoing, packets: Packets, room: usize) -> Vec<usize> {
        let mut sent = Vec::new();
        let flushed = outgoing.send(
            packets == Packets::Two,
            || true,
            |packet| {
                if sent.len() == room {
                    return Err(Errno::AGAIN);
                }
                sent.push(packet.len());
                Ok(packet.len())
            },
        );
        assert_eq!(flushed.failed, None);
        sent
    }

    #[test]
    fn a_frame_is_one_packet_or_two_and_never_two_halves_of_each() {
        let mut outgoing = Outgoing::default();
        let first = outgoing.push(frame(b"abc"), None);
        let second = outgoing.push(frame(b""), None);
        assert_eq!(send(&mut outgoing, Packets::Two, 1), [8]);
        assert!(!outgoing.is_sent(first) && !outgoing.withdraw(first));
        // The peer has switched its packing meanwhile: this frame continues as it began.
        assert_eq!(send(&mut outgoing, Packets::One, 9), [3, 8]);
        assert!(outgoing.is_sent(second) && outgoing.queued_bytes() == 0);
        outgoing.push(frame(b"abc"), None);
        assert_eq!(send(&mut outgoing, Packets::One, 9), [11]);
    }

    #[test]
    fn a_frame_that_has_not_begun_can_be_taken_back() {
        let mut outgoing = Outgoing::default();
        let first = outgoing.push(frame(b"a"), None);
        let second = outgoing.push(frame(b"bc"), None);
        assert!(outgoing.withdraw(first) && !outgoing.withdraw(first));
        assert!(outgoing.is_sent(first) && !outgoing.is_sent(second));
        assert_eq!(send(&mut outgoing, Packets::One, 9), [10]);
    }

    #[test]
    fn a_value_is_the_last_in_the_socket_until_it_is_read() {
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
            let left = std::iter::from_fn(|| chan.receiver().unwrap().try_recv().ok());
            String::from_utf8(left.flat_map(|element| element.as_slice().to_vec()).collect())
        };
        let write = |piece: &[u8]| Ok(piece.len());
        assert_eq!(outgoing.send(false, || false, write).frames, 1);
        assert!(outgoing.is_held());
        // The first is read, the second is not.
        let is_read = std::cell::Cell::new(true);
        assert_eq!(outgoing.send(false, || is_read.replace(false), write).frames, 1);
        assert!(outgoing.is_held());
        assert_eq!(left().unwrap(), "");
        let values: Vec<_> =
            outgoing.take_unread().into_iter().chain(outgoing.take_unsent()).collect();
        Value::requeue(values);
        assert_eq!(left().unwrap(), "bcd");
        assert!(!outgoing.is_empty() && outgoing.take_unread().is_none());
        drop(outgoing);
        assert_eq!(left().unwrap(), "");
    }
}
