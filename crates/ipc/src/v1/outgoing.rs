// SPDX-License-Identifier: BSD-3-Clause
//! Answers on their way, and the value that the client has not read yet.
//!
//! ```text
//!    oldest                                      newest
//!   ┌──────────┐   ┌────────┬────────┬────────┬────────┐
//!   │ unread   │   │ answer │ value  │ answer │ value  │  queue
//!   └──────────┘   └────────┴────────┴────────┴────────┘
//!    sent; nothing is sent after it until it is read
//! ```
//!
//! A value is the last thing in the client's socket until it is read. So when the kernel says that
//! the client has vanished with something unread, it was that one; when it says that everything
//! had been read, the value was the client's.

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
    /// A value that was sent and perhaps not read.
    unread: Option<Taken>,
    /// How the client packs its frames, and so has them packed.
    pub(super) packets: Packets,
}

/// What went out.
#[derive(Default)]
pub(super) struct Flushed {
    /// Frames of which nothing is left.
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Why it cannot go on, unless the socket tells when it can.
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

    /// Everything that waits, for whoever sends it himself.
    pub(super) fn take_all(&mut self) -> Vec<(Vec<u8>, Option<Taken>)> {
        self.queue.drain(..).map(|answer| (answer.frame, answer.value)).collect()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// How many bytes of them wait.
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
                    // The client was there: so what is not in its socket any more it has read. Of
                    // one that has gone the socket is empty too, but then nothing can be sent.
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

    /// The client is gone: the values that it has not read, the oldest first.
    pub(super) fn take_unread(&mut self, left_unread: bool) -> impl Iterator<Item = Taken> + use<> {
        let unread = self.unread.take().filter(|_| left_unread);
        let queue = std::mem::take(&mut self.queue);
        unread.into_iter().chain(queue.into_iter().filter_map(|answer| answer.value))
    }
}

impl Answer {
    /// Sends a piece; whether it was the last.
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
