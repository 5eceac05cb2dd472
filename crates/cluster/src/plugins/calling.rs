// SPDX-License-Identifier: BSD-3-Clause
//! A stream at the host's side, without its table: both directions, and their windows.

use std::collections::VecDeque;

use async_nats::Subject;
use becket_host::NrStatus;
use bytes::Bytes;

use super::frames::{Line, Message, NOTES, Receiving, encode_frame};
use super::headers::Window;
use super::names;
use super::outbox::Outgoing;

/// A stream that is about to be opened, and the window for its frames.
pub(super) struct Opening {
    pub(super) calling: Calling,
    pub(super) window: Window,
}

impl Opening {
    pub(super) fn new() -> Self {
        let mut calling = Calling::default();
        let window = calling.receiving.first_window();
        Self { calling, window }
    }
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Calling {
    /// Where the node receives; `None`: it has not opened the stream yet.
    node: Option<Subject>,
    receiving: Receiving,
    /// Frames that the host has not taken.
    held: VecDeque<(NrStatus, Bytes)>,
    /// A thread gives frames to the host.
    is_delivering: bool,
    /// There is room, which that thread may not have seen.
    has_room: bool,
    /// The host takes none.
    is_full: bool,
    sent: u64,
    sent_bytes: u64,
    window: Window,
    is_closed: bool,
    is_starved: bool,
    refused: Option<NrStatus>,
}

impl Calling {
    /// The node has opened it. What was waiting for that, and whether data was refused.
    pub(super) fn opened(&mut self, node: Subject, window: Window) -> (Option<Outgoing>, bool) {
        self.window.extend(window);
        self.node = Some(node);
        let closed = if self.is_closed { self.closed() } else { None };
        (closed, self.take_starved())
    }

    pub(super) fn is_opened(&self) -> bool {
        self.node.is_some()
    }

    /// A frame has come. False: one before it was lost, or it exceeds the window.
    pub(super) fn frame(&mut self, status: NrStatus, sequence: u64, body: Bytes) -> bool {
        let is_expected = self.receiving.expects(sequence, status != NrStatus::Ok);
        if is_expected {
            self.held.push_back((status, body));
        }
        is_expected
    }

    /// Whether so many frames have come, or more.
    pub(super) fn has_received(&self, sent: u64) -> bool {
        self.receiving.received >= sent
    }

    /// The next frame for the host, of which one thread at a time takes any.
    pub(super) fn next_frame(&mut self) -> Option<(NrStatus, Bytes)> {
        if self.is_delivering || self.is_full {
            return None;
        }
        let frame = self.held.pop_front()?;
        self.is_delivering = true;
        Some(frame)
    }

    /// The host did not take it. True: there has been room since.
    pub(super) fn put_back(&mut self, status: NrStatus, body: Bytes) -> bool {
        self.held.push_front((status, body));
        self.is_delivering = false;
        self.is_full = !std::mem::take(&mut self.has_room);
        !self.is_full
    }

    /// The host took a frame.
    pub(super) fn took(&mut self, bytes: usize) -> Option<Outgoing> {
        self.is_delivering = false;
        self.has_room = false;
        let window = self.receiving.took(bytes)?;
        self.to_node(&Message::Credit(window))
    }

    /// The host takes frames again. True: some are to be given to it.
    pub(super) fn has_room(&mut self) -> bool {
        self.has_room = self.is_delivering;
        self.is_full = false;
        !self.is_delivering
    }

    /// More may be sent. True: data was refused before.
    pub(super) fn credited(&mut self, window: Window) -> bool {
        self.window.extend(window);
        self.window.has_room_after(self.sent, self.sent_bytes) && self.take_starved()
    }

    pub(super) fn take_starved(&mut self) -> bool {
        std::mem::take(&mut self.is_starved)
    }

    pub(super) fn data_refused(&mut self, status: NrStatus) {
        // One that would say that it was taken, or is offered again, says nothing of the next.
        let is_refusal = !matches!(status, NrStatus::Ok | NrStatus::Backpressure);
        self.refused = is_refusal.then_some(status);
    }

    /// Data for the node.
    pub(super) fn send(&mut self, data: &[u8], is_full: bool) -> Result<Outgoing, NrStatus> {
        if let Some(status) = self.refused.take() {
            return Err(status);
        }
        if self.is_closed {
            return Err(NrStatus::Closed);
        }
        let has_room = self.window.has_room_after(self.sent, self.sent_bytes) && !is_full;
        let Some(node) = self.node.clone().filter(|_| has_room) else {
            self.is_starved = true;
            return Err(NrStatus::Backpressure);
        };
        let frame = encode_frame(NrStatus::Ok, self.sent, data);
        self.sent += 1;
        self.sent_bytes += data.len() as u64;
        Ok(Outgoing::new(node, frame))
    }

    /// No more data.
    pub(super) fn close(&mut self) -> Option<Outgoing> {
        match std::mem::replace(&mut self.is_closed, true) {
            true => None,
            false => self.closed(),
        }
    }

    fn closed(&self) -> Option<Outgoing> {
        self.to_node(&Message::Closed { sequence: self.sent })
    }

    /// What ends it at the node, if that has opened it.
    pub(super) fn cancel(&self) -> Option<Outgoing> {
        self.to_node(&Message::Cancel)
    }

    fn to_node(&self, message: &Message) -> Option<Outgoing> {
        Some(Outgoing::new(self.node.clone()?, message.encode()))
    }

    /// Its line in a note, and where that goes.
    pub(super) fn note(&self) -> Option<(String, Line)> {
        let (inbox, token) = names::inbox_of(self.node.as_ref()?)?;
        let number = names::hex(token)?;
        let line = Line { number, stream: Some((self.sent, self.receiving.window())) };
        Some((format!("{inbox}.{NOTES}"), line))
    }
}
