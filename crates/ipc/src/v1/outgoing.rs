// SPDX-License-Identifier: BSD-3-Clause
//! Answers to send, and the value that the client has not read yet.
//!
//! ```text
//!    oldest                                      newest
//!   ┌──────────┐   ┌────────┬────────┬────────┬────────┐
//!   │ unread   │   │ answer │ value  │ answer │ value  │  queue
//!   └──────────┘   └────────┴────────┴────────┴────────┘
//!    sent; nothing is sent after it until it is read
//! ```
//!
//! A value is the last thing in the client's socket until it is read. So when the kernel reports
//! that the client has disconnected with unread data, it was the value; when it reports that
//! everything was read, the client has the value.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use becket_wire::v1::{HEADER_BYTES, Packets};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::operation::Taken;
use super::unread::has_read_all;
use crate::transport::{Socket, SocketKind};

#[derive(Default)]
pub(super) struct Outgoing {
    queue: VecDeque<Answer>,
    /// A value that was sent and possibly not read.
    unread: Option<Taken>,
    /// How the client splits its frames into packets, and its answers are split.
    pub(super) packets: Packets,
}

/// The result of a flush.
#[derive(Default)]
pub(super) struct Flushed {
    /// Frames that were sent completely.
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Why it cannot continue, unless the socket reports when it can.
    pub(super) failed: Option<Errno>,
}

struct Answer {
    frame: Vec<u8>,
    sent_bytes: usize,
    value: Option<Taken>,
}

impl Outgoing {
    pub(super) fn push(&mut self, frame: Vec<u8>, value: Option<Taken>) {
        if !frame.is_empty() {
            self.queue.push_back(Answer { frame, sent_bytes: 0, value });
        }
    }

    /// Takes all waiting answers, for a caller that sends them itself.
    pub(super) fn take_all(&mut self) -> Vec<(Vec<u8>, Option<Taken>)> {
        self.queue.drain(..).map(|answer| (answer.frame, answer.value)).collect()
    }

    /// The number of waiting answers.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Their bytes.
    pub(super) fn queued_bytes(&self) -> u64 {
        let queued = |answer: &Answer| answer.frame.len().saturating_sub(answer.sent_bytes) as u64;
        self.queue.iter().map(queued).sum()
    }

    /// Sends what can be sent.
    pub(super) fn flush(&mut self, socket: &Socket) -> Flushed {
        let mut flushed = Flushed::default();
        while let Some(answer) = self.queue.front_mut() {
            if self.unread.is_some() && !has_read_all(socket.as_fd()) {
                break;
            }
            let sent_bytes = answer.sent_bytes;
            let sent = answer.send(socket, self.packets);
            flushed.bytes += answer.sent_bytes.saturating_sub(sent_bytes) as u64;
            match sent {
                Ok(is_whole) => {
                    // The client is connected: so it has read what is not in its socket any more.
                    // The socket of a disconnected client is empty too, but nothing can be sent to
                    // it.
                    self.unread = None;
                    if is_whole {
                        self.unread = self.queue.pop_front().and_then(|answer| answer.value);
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

    /// The client is gone: takes the values that it has not read, the oldest first.
    pub(super) fn take_unread(&mut self, left_unread: bool) -> impl Iterator<Item = Taken> + use<> {
        let unread = self.unread.take().filter(|_| left_unread);
        let queue = std::mem::take(&mut self.queue);
        unread.into_iter().chain(queue.into_iter().filter_map(|answer| answer.value))
    }
}

impl Answer {
    /// Sends a piece; returns whether it was the last.
    fn send(&mut self, socket: &Socket, packets: Packets) -> Result<bool, Errno> {
        let rest = self.frame.get(self.sent_bytes..).unwrap_or_default();
        let is_header_alone = socket.kind() == SocketKind::Seqpacket
            && packets == Packets::Two
            && self.sent_bytes == 0;
        let piece = if is_header_alone { rest.get(..HEADER_BYTES).unwrap_or(rest) } else { rest };
        self.sent_bytes += send(socket, piece, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        Ok(self.sent_bytes >= self.frame.len())
    }
}
