// SPDX-License-Identifier: BSD-3-Clause
//! Commands: streams, elements, credit, acks.

use bytes::Bytes;

use super::{Session, head, list, sending, unsent};
use crate::{
    Credit, Head, Kind, Limits, Outlet, Priority, Refused, SessionError, StreamId, codes, flags,
    stream::{Ending, Item, Outgoing, Phase, Stream},
};

/// The outcome of [`Session::withdraw`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withdrawn {
    /// It was still queued. Its credit is available again.
    Here(Bytes),
    /// It was sent: a `Withdraw` is queued, which the peer answers with an ack or a nack.
    Asked,
}

/// Flags of elements.
const ELEMENT_FLAGS: u8 = flags::DESCRIPTOR | flags::TRY;

impl Session {
    /// Opens a stream to a service of the peer and grants it `credit`. `Event::Accepted` or
    /// `Event::Reset` follows; until then nothing can be sent.
    pub fn open(
        &mut self,
        service: u16,
        priority: Priority,
        credit: Credit,
        name: Bytes,
    ) -> Result<StreamId, Refused> {
        self.command(|session| {
            session.may_begin()?;
            session.fits(name.len())?;
            let max = session.peer.streams_max.min(session.limits.streams_max);
            let mut id = StreamId::from_number(0);
            let (role, pool) = (session.role, &mut session.pool);
            let make = |index, generation| {
                id = StreamId::new(role, index, generation);
                Stream::new(Phase::Opening, priority, Credit::NONE, credit, pool.take())
            };
            session.streams.own.insert(max, make).ok_or(Refused::TooMany)?;
            session.ready.reserve(priority, session.streams());
            let (code, aux, sequence) = (service, credit.messages, credit.bytes);
            let open = Head { flags: priority as u8, code, aux, sequence, ..head(Kind::Open, id) };
            session.queue_control(open, name);
            Ok(id)
        })
    }

    /// Accepts a stream of the peer and grants it `credit`.
    pub fn accept(&mut self, id: StreamId, credit: Credit, info: Bytes) -> Result<(), Refused> {
        self.command(|session| {
            session.usable()?;
            session.fits(info.len())?;
            let stream = session.streams.get_mut(id).ok_or(Refused::UnknownStream)?;
            if stream.phase != Phase::Asked {
                return Err(Refused::State);
            }
            stream.phase = Phase::Live;
            stream.incoming.granted.add(credit.messages.into(), credit.bytes);
            let (aux, sequence) = (credit.messages, credit.bytes);
            session.queue_control(Head { aux, sequence, ..head(Kind::Accept, id) }, info);
            Ok(())
        })
    }

    /// Refuses a stream of the peer: a reset.
    pub fn refuse(
        &mut self,
        id: StreamId,
        code: u16,
        why: impl Into<Bytes>,
    ) -> Result<(), Refused> {
        self.reset(id, code, why)
    }

    /// Queues an element, spends its credit and returns its number. `flags`: `DESCRIPTOR` and `TRY`.
    pub fn send(&mut self, id: StreamId, flags: u8, element: Bytes) -> Result<u64, Refused> {
        self.command(|session| {
            session.sendable(id, element.len())?;
            session.enqueue(id, flags, element)
        })
    }

    /// Sends an element directly into the outlet if no other frame precedes it and the outlet has room;
    /// otherwise queues it, as [`send`](Self::send) does. `owned` returns its bytes, and is called only
    /// for that.
    #[inline]
    pub fn send_through<O: Outlet + ?Sized>(
        &mut self,
        outlet: &mut O,
        id: StreamId,
        flags: u8,
        element: &[u8],
        owned: impl FnOnce() -> Bytes,
    ) -> Result<u64, Refused> {
        self.command(|session| {
            let priority = session.sendable(id, element.len())?;
            let bytes = element.len() as u64;
            let straight = element.len() <= session.piece_bytes_max() as usize
                && bytes <= session.window
                && session.ready.is_free(priority)
                && (!session.has_control() || session.transmit_control(outlet));
            if straight
                && let Some(stream) = session.streams.get_mut(id)
                && stream.outgoing.queue.is_empty()
            {
                let outgoing = &mut stream.outgoing;
                let sequence = outgoing.numbered + 1;
                let head = Head {
                    length: element.len() as u32,
                    flags: flags & ELEMENT_FLAGS,
                    sequence,
                    ..head(Kind::Data, id)
                };
                if outlet.put(&head, element).is_ok() {
                    outgoing.credit.pay(bytes);
                    outgoing.numbered = sequence;
                    outgoing.sent = sequence;
                    outgoing.returnable += 1;
                    session.window -= bytes;
                    session.counters.sent.frame(element.len());
                    session.counters.sent.element_bytes += bytes;
                    session.counters.sent.elements += 1;
                    return Ok(sequence);
                }
            }
            session.enqueue(id, flags, owned())
        })
    }

    /// Checks that an element of this length may be sent now.
    #[inline]
    fn sendable(&self, id: StreamId, bytes: usize) -> Result<Priority, Refused> {
        self.usable()?;
        let stream = self.streams.get(id).ok_or(Refused::UnknownStream)?;
        sending(stream)?;
        if bytes > self.element_bytes_max() as usize {
            return Err(Refused::TooLong);
        }
        let mut credit = stream.outgoing.credit;
        if credit.pay(bytes as u64) { Ok(stream.priority) } else { Err(Refused::NoCredit) }
    }

    fn enqueue(&mut self, id: StreamId, flags: u8, element: Bytes) -> Result<u64, Refused> {
        let bytes = element.len() as u64;
        let Self { streams, limits, queue_bytes, ready, .. } = self;
        let stream = streams.get_mut(id).ok_or(Refused::UnknownStream)?;
        let outgoing = &mut stream.outgoing;
        let all = room(limits, *queue_bytes, outgoing, bytes)?;
        if !outgoing.credit.pay(bytes) {
            return Err(Refused::NoCredit);
        }
        outgoing.numbered += 1;
        let sequence = outgoing.numbered;
        outgoing.queue.push_back(Item::Data { sequence, flags: flags & ELEMENT_FLAGS, element });
        outgoing.queue_bytes += bytes;
        *queue_bytes = all;
        list(ready, id, stream);
        Ok(sequence)
    }

    /// Grants credit to the peer. Grants add up until they are transmitted.
    pub fn grant(&mut self, id: StreamId, messages: u32, bytes: u64) -> Result<(), Refused> {
        self.usable()?;
        let stream = self.receiving(id)?;
        stream.due.grant.add(messages.into(), bytes);
        self.mark_due(id);
        Ok(())
    }

    /// Revokes credit that is not spent. `Event::Revoked` has the amount. One revocation is in flight
    /// at a time; further ones add up and are sent after the answer.
    pub fn revoke(&mut self, id: StreamId, messages: u32, bytes: u64) -> Result<(), Refused> {
        self.usable()?;
        let stream = self.receiving(id)?;
        stream.due.revoke.add(messages.into(), bytes);
        self.mark_due(id);
        Ok(())
    }

    /// Acks all elements up to `upto` that were not nacked or returned. Acks are cumulative: one frame
    /// is sent for all since the last transmission.
    #[inline]
    pub fn ack(&mut self, id: StreamId, upto: u64) -> Result<(), Refused> {
        self.usable()?;
        let stream = self.live(id)?;
        if upto > stream.incoming.received {
            return Err(Refused::UnknownElement);
        }
        if upto > stream.incoming.acked {
            stream.incoming.acked = upto;
            stream.due.ack = true;
            self.mark_due(id);
        }
        Ok(())
    }

    /// Nacks an element; call it before an ack covers the element. The session ends if more than
    /// `control_frames_max` nacks wait because the peer does not read.
    pub fn nack(&mut self, id: StreamId, sequence: u64, code: u16) -> Result<(), Refused> {
        self.usable()?;
        let stream = self.live(id)?;
        if sequence > stream.incoming.received || sequence <= stream.incoming.acked {
            return Err(Refused::UnknownElement);
        }
        let nack = Head { code, sequence, ..head(Kind::Nack, id) };
        if self.queue_unordered(nack, Bytes::new()).is_err() {
            self.fail(SessionError::Flood("nacks"));
            return Err(Refused::Closed);
        }
        Ok(())
    }

    /// Withdraws an element unless it was accepted. `UnknownElement`: it was acked, or never sent.
    pub fn withdraw(&mut self, id: StreamId, sequence: u64) -> Result<Withdrawn, Refused> {
        self.command(|session| {
            session.usable()?;
            let stream = session.live(id)?;
            let outgoing = &mut stream.outgoing;
            if sequence <= outgoing.acked || sequence > outgoing.numbered {
                return Err(Refused::UnknownElement);
            }
            if sequence <= outgoing.sent {
                let withdraw = Head { sequence, ..head(Kind::Withdraw, id) };
                session.queue_unordered(withdraw, Bytes::new())?;
                return Ok(Withdrawn::Asked);
            }
            let wanted =
                |item: &Item| matches!(item, Item::Data { sequence: of, .. } if *of == sequence);
            let place = outgoing.queue.iter().position(wanted).ok_or(Refused::UnknownElement)?;
            if place == 0 && outgoing.begun.is_some() {
                // The `Withdraw` follows its last piece.
                outgoing.withdraw = true;
                return Ok(Withdrawn::Asked);
            }
            let paid = if place == 0 { outgoing.paid.take() } else { None };
            let item = outgoing.queue.remove(place).ok_or(Refused::UnknownElement)?;
            let element = item.element().clone();
            let bytes = element.len() as u64;
            outgoing.credit.add(1, bytes);
            outgoing.queue_bytes -= bytes;
            session.queue_bytes -= bytes;
            session.window += paid.unwrap_or(0);
            Ok(Withdrawn::Here(element))
        })
    }

    /// Returns an undelivered element to its sender. It costs no stream credit. Acks that cover it
    /// follow it.
    pub fn give_back(
        &mut self,
        id: StreamId,
        sequence: u64,
        flags: u8,
        element: Bytes,
    ) -> Result<(), Refused> {
        self.command(|session| {
            session.usable()?;
            let stream = session.streams.get(id).ok_or(Refused::UnknownStream)?;
            sending(stream)?;
            let incoming = &stream.incoming;
            if sequence > incoming.received || sequence <= incoming.acked || incoming.keepable == 0
            {
                return Err(Refused::UnknownElement);
            }
            if element.len() > session.element_bytes_max() as usize {
                return Err(Refused::TooLong);
            }
            let bytes = element.len() as u64;
            let all = room(&session.limits, session.queue_bytes, &stream.outgoing, bytes)?;
            let stream = session.streams.get_mut(id).ok_or(Refused::UnknownStream)?;
            stream.incoming.keepable -= 1;
            let outgoing = &mut stream.outgoing;
            outgoing.returns_queued += 1;
            outgoing.queue.push_back(Item::Return {
                sequence,
                flags: flags & ELEMENT_FLAGS,
                element,
            });
            outgoing.queue_bytes += bytes;
            session.queue_bytes = all;
            list(&mut session.ready, id, stream);
            Ok(())
        })
    }

    /// Half-closes the stream after its queue. Acks, nacks and credit may follow until the peer has
    /// ended too: a receiver of elements that must be acked ends last, after its last ack.
    // Inlined: the text, mostly empty, is not moved.
    #[inline(always)]
    pub fn end(&mut self, id: StreamId, code: u16, why: impl Into<Bytes>) -> Result<(), Refused> {
        self.usable()?;
        let mut why = why.into();
        self.shorten(&mut why);
        let stream = self.streams.get_mut(id).ok_or(Refused::UnknownStream)?;
        sending(stream)?;
        stream.outgoing.ending = Ending::Asked(code, why);
        list(&mut self.ready, id, stream);
        Ok(())
    }

    /// Ends the stream in both directions at once and drops its queue. No event of it follows.
    pub fn reset(&mut self, id: StreamId, code: u16, why: impl Into<Bytes>) -> Result<(), Refused> {
        self.usable()?;
        let mut why = why.into();
        self.shorten(&mut why);
        let stream = self.streams.get(id).ok_or(Refused::UnknownStream)?;
        if stream.is_reset() {
            return Err(Refused::Ended);
        }
        self.abort(id, Phase::Resetting, code, why);
        Ok(())
    }

    /// Drops the queues of a stream and queues a reset.
    #[cold]
    #[inline(never)]
    pub(super) fn abort(&mut self, id: StreamId, phase: Phase, code: u16, why: Bytes) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        self.unsent.clear();
        unsent::keep(&mut self.unsent, id, stream);
        let (queued, paid) = stream.abandon(phase);
        self.queue_bytes -= queued;
        self.window += paid;
        stream.due.reset = Some((code, why));
        let listed = std::mem::take(&mut stream.outgoing.listed);
        if listed {
            self.forget_ready();
        }
        self.mark_due(id);
    }

    /// Resets a stream because this side is draining.
    pub(super) fn refuse_draining(&mut self, id: StreamId) {
        self.abort(id, Phase::Resetting, codes::DRAINING, Bytes::from_static(b"draining"));
    }

    /// The stream, unless it was reset.
    #[inline]
    fn live(&mut self, id: StreamId) -> Result<&mut Stream, Refused> {
        let stream = self.streams.get_mut(id).ok_or(Refused::UnknownStream)?;
        if stream.is_reset() { Err(Refused::Ended) } else { Ok(stream) }
    }

    /// The stream, if the peer may send on it, now or after its `Accept`.
    fn receiving(&mut self, id: StreamId) -> Result<&mut Stream, Refused> {
        let stream = self.live(id)?;
        match stream.phase {
            Phase::Asked => Err(Refused::State),
            _ if stream.incoming.ended => Err(Refused::Ended),
            _ => Ok(stream),
        }
    }

    /// The longest piece of an element, in bytes.
    #[inline]
    pub(super) fn piece_bytes_max(&self) -> u32 {
        self.peer.frame_body_bytes_max.min(self.limits.frame_body_bytes_max)
    }
}

/// The bytes of all queues with one more element, if the stream has room for it.
#[inline]
fn room(limits: &Limits, queue_bytes: u64, stream: &Outgoing, bytes: u64) -> Result<u64, Refused> {
    let all = queue_bytes.saturating_add(bytes);
    let is_full = stream.queue.len() >= limits.stream_queue_messages_max as usize;
    if is_full || all > limits.session_queue_bytes_max { Err(Refused::Full) } else { Ok(all) }
}
