// SPDX-License-Identifier: BSD-3-Clause
//! The client's side of a connection: its streams, and the requests that wait for answers.

use std::collections::HashMap;
use std::task::{Poll, Waker};

use becket_chan::wakes;
use becket_wire::{Body, Event, StreamId, flags};
use bytes::Bytes;

use super::receiving::Receiving;
use super::sending::Sending;
use super::state::{Opening, Over};
use crate::blocks::{self, Blocks, Counts};
use crate::connection::{At, Ended, Side};
use crate::element::Element;
use crate::streams::ignore_refusal;
use crate::streams::service::Info;
use crate::streams::table::Table;
use crate::transport::Ancillary;

#[derive(Default)]
pub(crate) struct ClientSide {
    entries: Table<Entry>,
    blocks: Blocks,
    requests: HashMap<u64, PendingRequest>,
    ended: Option<Ended>,
    ready: bool,
    awaiting: Vec<Waker>,
}

pub(crate) enum Entry {
    Sending(Sending),
    Receiving(Receiving),
}

/// The state of a request.
enum PendingRequest {
    Waiting(Option<Waker>),
    Answered(u16, Bytes),
    /// No operation waits for the answer.
    Dropped,
}

impl ClientSide {
    pub(crate) fn insert(&mut self, stream: StreamId, entry: Entry) {
        self.entries.insert(stream, entry);
    }

    /// Ready when the session is, or when the connection has ended.
    pub(crate) fn poll_ready(&mut self, waker: &Waker) -> Poll<Result<(), Ended>> {
        match &self.ended {
            Some(ended) => Poll::Ready(Err(ended.clone())),
            None if self.ready => Poll::Ready(Ok(())),
            None => self.wait(waker),
        }
    }

    /// Ready when the connection has ended.
    pub(crate) fn poll_ended(&mut self, waker: &Waker) -> Poll<Ended> {
        if let Some(ended) = &self.ended {
            return Poll::Ready(ended.clone());
        }
        self.wait(waker)
    }

    /// Ready when the server has everything that dropped receivers had not received, or the connection
    /// has ended.
    pub(crate) fn poll_returned(&mut self, waker: &Waker) -> Poll<()> {
        let returns = |side: &mut Self, stream| {
            side.receiving(stream).is_some_and(|entry| entry.is_dropped && entry.over.is_none())
        };
        let streams = self.entries.streams();
        if self.ended.is_none() && streams.into_iter().any(|stream| returns(self, stream)) {
            return self.wait(waker);
        }
        Poll::Ready(())
    }

    fn wait<T>(&mut self, waker: &Waker) -> Poll<T> {
        if !self.awaiting.iter().any(|other| other.will_wake(waker)) {
            self.awaiting.push(waker.clone());
        }
        Poll::Pending
    }

    pub(crate) fn sending(&mut self, stream: StreamId) -> Option<&mut Sending> {
        match self.entries.get_mut(stream)? {
            Entry::Sending(sending) => Some(sending),
            Entry::Receiving(_) => None,
        }
    }

    /// As [`sending`](Self::sending), with what it needs in order to send.
    pub(crate) fn sending_blocks(
        &mut self,
        stream: StreamId,
    ) -> Option<(&mut Sending, &mut Blocks)> {
        match self.entries.get_mut(stream)? {
            Entry::Sending(sending) => Some((sending, &mut self.blocks)),
            Entry::Receiving(_) => None,
        }
    }

    pub(crate) fn block_counts(&self) -> Counts {
        self.blocks.counts()
    }

    pub(crate) fn receiving(&mut self, stream: StreamId) -> Option<&mut Receiving> {
        match self.entries.get_mut(stream)? {
            Entry::Receiving(receiving) => Some(receiving),
            Entry::Sending(_) => None,
        }
    }

    /// The state of a stream's opening.
    pub(crate) fn opening(&mut self, stream: StreamId) -> Option<&mut Opening> {
        Some(match self.entries.get_mut(stream)? {
            Entry::Sending(sending) => &mut sending.opening,
            Entry::Receiving(receiving) => &mut receiving.opening,
        })
    }

    /// The handle was dropped: the entry is removed now if the stream has ended, with the stream
    /// otherwise.
    pub(crate) fn release_handle(&mut self, at: &mut At<'_>, stream: StreamId) {
        let is_over = match self.entries.get_mut(stream) {
            Some(Entry::Sending(sending)) => {
                sending.is_dropped = true;
                if sending.over.is_none() || matches!(sending.over, Some(Over::Closed(_))) {
                    // Elements that were sent go first. Refused: it has ended.
                    ignore_refusal(at.session.end(stream, 0, Bytes::new()));
                }
                sending.over.is_some()
            }
            Some(Entry::Receiving(receiving)) => {
                receiving.is_dropped = true;
                receiving.close(at);
                receiving.over.is_some()
            }
            None => return,
        };
        if is_over {
            self.entries.remove(stream);
        }
    }

    pub(crate) fn asked(&mut self, request: u64) {
        self.requests.insert(request, PendingRequest::Waiting(None));
    }

    pub(crate) fn poll_answer(
        &mut self,
        request: u64,
        waker: &Waker,
    ) -> Poll<Result<(u16, Bytes), Ended>> {
        match self.requests.get_mut(&request) {
            Some(PendingRequest::Answered(..)) => match self.requests.remove(&request) {
                Some(PendingRequest::Answered(status, body)) => Poll::Ready(Ok((status, body))),
                _ => Poll::Pending,
            },
            Some(asked) if self.ended.is_none() => {
                *asked = PendingRequest::Waiting(Some(waker.clone()));
                Poll::Pending
            }
            _ => {
                self.requests.remove(&request);
                Poll::Ready(Err(self.ended.clone().unwrap_or(Ended::PeerGone)))
            }
        }
    }

    /// No operation waits for the answer any more.
    pub(crate) fn drop_request(&mut self, request: u64) {
        match self.requests.get_mut(&request) {
            Some(PendingRequest::Answered(..)) => {
                self.requests.remove(&request);
            }
            Some(asked) => *asked = PendingRequest::Dropped,
            None => {}
        }
    }

    fn answered(&mut self, request: u64, status: u16, body: &[u8]) {
        let Some(asked) = self.requests.get_mut(&request) else { return };
        let answer = PendingRequest::Answered(status, Bytes::copy_from_slice(body));
        match std::mem::replace(asked, answer) {
            PendingRequest::Waiting(Some(waker)) => wakes::wake(waker),
            PendingRequest::Dropped => {
                self.requests.remove(&request);
            }
            PendingRequest::Waiting(None) | PendingRequest::Answered(..) => {}
        }
    }

    fn accepted(&mut self, at: &mut At<'_>, stream: StreamId, info: &[u8]) {
        let Ok(info) = serde_json::from_slice::<Info>(info) else {
            let why = Bytes::from_static(b"the description of the channel is invalid");
            ignore_refusal(at.session.reset(stream, crate::streams::code::INVALID, why));
            let why = "its description is invalid".into();
            let over = Over::Reset { code: crate::streams::code::INVALID, why };
            return self.over(at, stream, over, &[]);
        };
        match self.entries.get_mut(stream) {
            Some(Entry::Sending(sending)) => {
                sending.opening.accepted(info);
                sending.room(at, &mut self.blocks);
            }
            Some(Entry::Receiving(receiving)) => {
                receiving.opening.accepted(info);
                receiving.rebalance(at);
            }
            None => {}
        }
    }

    fn over(&mut self, at: &mut At<'_>, stream: StreamId, over: Over, unsent: &[u64]) {
        let is_dropped = match self.entries.get_mut(stream) {
            Some(Entry::Sending(sending)) => {
                sending.end(&mut self.blocks, over, unsent);
                sending.is_dropped
            }
            Some(Entry::Receiving(receiving)) => {
                receiving.end(at, over);
                // While an operation waits for the close, it stays: returned elements may be
                // queued.
                receiving.is_dropped
            }
            None => return,
        };
        if is_dropped {
            self.entries.remove(stream);
            self.awaiting.drain(..).for_each(wakes::wake);
        }
    }
}

impl Side for ClientSide {
    fn blocks(&mut self) -> &mut Blocks {
        &mut self.blocks
    }

    fn event(&mut self, at: &mut At<'_>, event: Event<'_>, ancillary: Ancillary<'_>) {
        match event {
            Event::Ready { .. } => {
                self.ready = true;
                self.awaiting.drain(..).for_each(wakes::wake);
            }
            Event::Element { stream, sequence, flags, body } => {
                let element = match body {
                    _ if flags & flags::DESCRIPTOR != 0 => self.blocks.received(at, &body),
                    Body::Borrowed(bytes) => Some(Element::copied_from(bytes)),
                    Body::Owned(bytes) => Some(bytes.into()),
                };
                if let Some(Entry::Receiving(receiving)) = self.entries.get_mut(stream)
                    && let Some(element) = element
                {
                    receiving.element(at, sequence, element);
                }
            }
            Event::Acked { stream, upto } => {
                if let Some(sending) = self.sending(stream) {
                    sending.acked(upto);
                }
            }
            Event::Nacked { stream, sequence, code } => {
                if let Some(sending) = self.sending(stream) {
                    sending.nacked(sequence, code);
                }
            }
            Event::Credit { stream } => {
                if self.sending(stream).is_some() {
                    at.wake_soon(stream.number());
                }
            }
            Event::Revoked { stream, taken, .. } => {
                if let Some(receiving) = self.receiving(stream) {
                    receiving.revoked(at, taken);
                }
            }
            Event::Accepted { stream, info } => self.accepted(at, stream, info),
            Event::Ended { stream, why, .. } => {
                self.over(at, stream, Over::closed(why), &[]);
                // A receiver still has earlier elements, and may return them.
                if self.receiving(stream).is_none() {
                    ignore_refusal(at.session.end(stream, 0, Bytes::new()));
                }
            }
            Event::Reset { stream, code, why } => {
                let why = String::from_utf8_lossy(why).into();
                let unsent = unsent(at, stream);
                self.over(at, stream, Over::Reset { code, why }, &unsent);
            }
            Event::Reply { request, status, body } => {
                self.answered(request, status, body);
            }
            // A server sends no requests to its clients, and opens no streams.
            Event::Request { request, .. } => {
                let code = crate::streams::code::UNSUPPORTED;
                ignore_refusal(at.session.reply(request, code, Bytes::new()));
            }
            Event::Opened { stream, .. } => {
                let code = crate::streams::code::UNSUPPORTED;
                ignore_refusal(at.session.refuse(stream, code, Bytes::new()));
            }
            other => self.blocks.event(at, &other, ancillary),
        }
    }

    fn woken(&mut self, at: &mut At<'_>, stream: u32) {
        let id = StreamId::from_number(stream);
        if stream == blocks::WOKEN {
            self.blocks.woken(at);
        } else if let Some((sending, blocks)) = self.sending_blocks(id) {
            sending.room(at, blocks);
        } else if let Some(receiving) = self.receiving(id) {
            receiving.flushed();
        }
    }

    fn ended(&mut self, at: &mut At<'_>, ended: &Ended) {
        self.ended = Some(ended.clone());
        for stream in self.entries.streams() {
            let unsent = unsent(at, stream);
            self.over(at, stream, Over::Ended(ended.clone()), &unsent);
        }
        self.requests.retain(|_, asked| match asked {
            PendingRequest::Waiting(waker) => {
                waker.take().into_iter().for_each(wakes::wake);
                true
            }
            PendingRequest::Answered(..) => true,
            PendingRequest::Dropped => false,
        });
        self.awaiting.drain(..).for_each(wakes::wake);
    }
}

/// The numbers of the stream's elements that were not transmitted.
fn unsent(at: &mut At<'_>, stream: StreamId) -> Vec<u64> {
    at.session.take_unsent(stream).into_iter().map(|(number, _)| number).collect()
}
