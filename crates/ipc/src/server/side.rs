// SPDX-License-Identifier: BSD-3-Clause
//! The server's side of a connection: the streams that a client opened, and its requests.

use std::sync::Arc;

use becket_wire::{Body, Credit, Event, StreamId, flags};
use bytes::Bytes;

use super::Shared;
use crate::blocks::{self, Blocks};
use crate::channels::{ChannelError, Wanted};
use crate::connection::{At, Ended, Side};
use crate::dedup::{Denied, Producer, split_producer};
use crate::element::Element;
use crate::quota::{CLIENT_BYTES_MAX, Quota};
use crate::streams::code;
use crate::streams::ignore_refusal;
use crate::streams::incoming::Incoming;
use crate::streams::outgoing::Outgoing;
use crate::streams::service::{self, Close, Info, List, Make, find, kind_of};
use crate::streams::table::Table;
use crate::transport::Ancillary;

pub(crate) struct ServerSide {
    shared: Arc<Shared>,
    entries: Table<Entry>,
    blocks: Blocks,
    made: usize,
    /// For the slots of the channels that this client creates.
    quota: Arc<Quota>,
}

enum Entry {
    Incoming(Incoming),
    Outgoing(Outgoing),
}

/// The result of a request.
type Answer = Result<Bytes, (u16, String)>;

impl ServerSide {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let quota = shared.channels.quota().below(CLIENT_BYTES_MAX);
        Self { shared, entries: Table::default(), blocks: Blocks::default(), made: 0, quota }
    }

    fn opened(
        &mut self,
        at: &mut At<'_>,
        stream: StreamId,
        service: u16,
        name: &[u8],
    ) -> Result<(), (u16, &'static str)> {
        let (producer, name) = match service {
            service::SEND_ONCE => split_producer(name)
                .map(|(producer, name)| (Some(producer), name))
                .ok_or((code::INVALID, "a producer has 16 bytes"))?,
            _ => (None, name),
        };
        let channel = std::str::from_utf8(name)
            .ok()
            .and_then(|name| find(&self.shared.channels, name))
            .ok_or((code::NOT_FOUND, "no such channel"))?;
        let mut info = Info::of(&channel);
        let waker = at.waker(stream.number());
        match service {
            service::SEND | service::SEND_ONCE => {
                let sender = channel
                    .sender()
                    .ok_or((code::UNSUPPORTED, "the channel has no sender to offer"))?;
                let producer = producer.map(|id| channel.producers().open(id)).transpose();
                let producer = producer.map_err(|denied| match denied {
                    Denied::Open => (code::BUSY, "the producer has a stream already"),
                    Denied::TooMany => {
                        (code::TOO_MANY, "the maximum number of producers is in use")
                    }
                })?;
                info.remembered = producer.as_ref().map(Producer::remembered);
                let info = service::encode(&info);
                let bytes = self.shared.options.limits.element_bytes_max;
                let (credit, half) = Incoming::first_credit(bytes);
                // Refused: the stream has been reset meanwhile; no entry is kept for it.
                if at.session.accept(stream, credit, info).is_ok() {
                    let (sender, length) = (sender.clone(), channel.element_bytes());
                    let incoming = Incoming::new(stream, sender, length, producer, (half, waker));
                    self.entries.insert(stream, Entry::Incoming(incoming));
                }
            }
            service::RECEIVE => {
                let receiver = channel
                    .receiver()
                    .ok_or((code::UNSUPPORTED, "the channel has no receiver to offer"))?;
                let info = service::encode(&info);
                if at.session.accept(stream, Credit::NONE, info).is_ok() {
                    let outgoing = Outgoing::new(stream, receiver.clone(), waker);
                    self.entries.insert(stream, Entry::Outgoing(outgoing));
                    self.pump(at, stream);
                }
            }
            _ => return Err((code::UNSUPPORTED, "no such service")),
        }
        Ok(())
    }

    /// Continues a stream: its channel has news, or it has credit.
    fn pump(&mut self, at: &mut At<'_>, stream: StreamId) {
        match self.entries.get_mut(stream) {
            Some(Entry::Incoming(incoming)) => {
                incoming.pump(at.session);
                if incoming.is_done() {
                    self.entries.remove(stream);
                }
            }
            // A stream whose channel has ended stays: its client may still return elements.
            Some(Entry::Outgoing(outgoing)) => {
                outgoing.pump(at, &mut self.blocks);
                if outgoing.found_full() {
                    at.full.push(stream.number());
                }
            }
            None => {}
        }
    }

    /// The client has ended a stream.
    fn ended_by_client(&mut self, at: &mut At<'_>, stream: StreamId) {
        let is_over = match self.entries.get_mut(stream) {
            Some(Entry::Incoming(incoming)) => incoming.ending(at.session),
            Some(Entry::Outgoing(_)) => true,
            None => false,
        };
        if is_over && let Some(Entry::Outgoing(outgoing)) = self.entries.remove(stream) {
            outgoing.give_back(at.session, &mut self.blocks);
            // Refused: it has ended.
            ignore_refusal(at.session.end(stream, code::OK, Bytes::new()));
        }
    }

    /// Drops a stream at once.
    fn drop_stream(&mut self, at: &mut At<'_>, stream: StreamId) {
        match self.entries.remove(stream) {
            Some(Entry::Outgoing(outgoing)) => outgoing.give_back(at.session, &mut self.blocks),
            Some(Entry::Incoming(incoming)) => incoming.abandon(at.session),
            None => {}
        }
    }

    fn answer(&mut self, operation: u16, body: &[u8]) -> Answer {
        match operation {
            service::MAKE => self.make(&parse(body)?),
            service::LIST => {
                let List { after } = parse(body)?;
                let page = self.shared.channels.page(after, service::PAGE_MAX);
                let page: Vec<_> = page.iter().map(|channel| Info::of(channel)).collect();
                Ok(service::encode(&page))
            }
            service::CLOSE => {
                let Close { channel, reason } = parse(body)?;
                let found = self.found(&channel)?;
                found.close(reason.as_deref());
                Ok(Bytes::new())
            }
            service::DESTROY => {
                let Close { channel, .. } = parse(body)?;
                self.shared.channels.destroy(self.found(&channel)?.id());
                Ok(Bytes::new())
            }
            service::REPORT => match &self.shared.report {
                Some(report) => report(body).map_err(|why| (code::INVALID, why)),
                None => Err((code::UNSUPPORTED, "this server reports nothing".into())),
            },
            _ => Err((code::UNSUPPORTED, format!("no operation {operation}"))),
        }
    }

    fn found(&self, name: &str) -> Result<Arc<crate::channels::Channel>, (u16, String)> {
        let missing = || (code::NOT_FOUND, format!("no channel {name:?}"));
        find(&self.shared.channels, name).ok_or_else(missing)
    }

    fn make(&mut self, make: &Make) -> Answer {
        let Make { name, kind, capacity, element_bytes, or_open } = make;
        let open = |name: &String| self.shared.channels.by_name(name);
        if let Some(channel) = name.as_ref().filter(|_| *or_open).and_then(open) {
            return Ok(service::encode(&Info::of(&channel)));
        }
        let unknown = || (code::INVALID, format!("no kind of channel {kind:?}"));
        let kind = kind_of(kind).ok_or_else(unknown)?;
        if self.made >= self.shared.channels_made_max {
            return Err((
                code::TOO_MANY,
                "this client has created the maximum number of channels".into(),
            ));
        }
        let wanted = Wanted { kind, capacity: *capacity, element_bytes: *element_bytes };
        let channel =
            self.shared.channels.make_within(&self.quota, name.as_deref(), wanted).map_err(
                |error| {
                    let code = match error {
                        ChannelError::NameTaken(_) => code::EXISTS,
                        ChannelError::TooMany(_)
                        | ChannelError::TooManyBytes { .. }
                        | ChannelError::NoNumber => code::TOO_MANY,
                        _ => code::INVALID,
                    };
                    (code, error.to_string())
                },
            )?;
        self.made += 1;
        Ok(service::encode(&Info::of(&channel)))
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (code::INVALID, error.to_string()))
}

impl Side for ServerSide {
    fn blocks(&mut self) -> &mut Blocks {
        &mut self.blocks
    }

    fn event(&mut self, at: &mut At<'_>, event: Event<'_>, ancillary: Ancillary<'_>) {
        match event {
            Event::Element { stream, sequence, flags, body } => {
                let element = match body {
                    _ if flags & flags::DESCRIPTOR != 0 => self.blocks.received(at, &body),
                    Body::Borrowed(bytes) => Some(Element::copied_from(bytes)),
                    Body::Owned(bytes) => Some(bytes.into()),
                };
                if let Some(Entry::Incoming(incoming)) = self.entries.get_mut(stream)
                    && let Some(element) = element
                {
                    incoming.element(at.session, sequence, flags, element);
                }
            }
            Event::Credit { stream } => at.wake_soon(stream.number()),
            Event::Revoke { stream, .. } => self.pump(at, stream),
            Event::Withdraw { stream, sequence } => {
                if let Some(Entry::Incoming(incoming)) = self.entries.get_mut(stream) {
                    incoming.withdraw(at.session, sequence);
                }
            }
            Event::Returned { stream, flags, body, .. } => {
                let element = match body {
                    _ if flags & flags::DESCRIPTOR != 0 => self.blocks.returned(at, &body),
                    Body::Borrowed(bytes) => Some(Element::copied_from(bytes)),
                    Body::Owned(bytes) => Some(bytes.into()),
                };
                if let Some(Entry::Outgoing(outgoing)) = self.entries.get_mut(stream)
                    && let Some(element) = element
                {
                    outgoing.put_back(element);
                }
                self.pump(at, stream);
            }
            Event::Opened { stream, service, name, .. } => {
                if let Err((code, why)) = self.opened(at, stream, service, name) {
                    ignore_refusal(at.session.refuse(
                        stream,
                        code,
                        Bytes::from_static(why.as_bytes()),
                    ));
                }
            }
            Event::Ended { stream, .. } => self.ended_by_client(at, stream),
            Event::Reset { stream, .. } => self.drop_stream(at, stream),
            Event::Request { request, operation, body } => {
                let (status, answer) = match self.answer(operation, body) {
                    Ok(answer) => (code::OK, answer),
                    Err((code, why)) => (code, why.into()),
                };
                // An answer that is too long is replaced by an error.
                if at.session.reply(request, status, answer).is_err() {
                    ignore_refusal(at.session.reply(request, code::TOO_LONG, Bytes::new()));
                }
            }
            other => self.blocks.event(at, &other, ancillary),
        }
    }

    fn woken(&mut self, at: &mut At<'_>, stream: u32) {
        if stream == blocks::WOKEN {
            self.blocks.woken(at);
        } else {
            self.pump(at, StreamId::from_number(stream));
        }
    }

    fn ended(&mut self, at: &mut At<'_>, _ended: &Ended) {
        for stream in self.entries.streams() {
            self.drop_stream(at, stream);
        }
    }
}
