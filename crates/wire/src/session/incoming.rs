// SPDX-License-Identifier: BSD-3-Clause
//! Received frames of streams.

use super::{
    Session,
    receive::{Received, broken},
};
use crate::{
    Credit, Event, Head, Kind, Priority, SessionError, StreamId,
    assembly::{self, Piece, Whole},
    stream::{Ending, Phase, Stream},
    table::{Misfit, Missing},
};

impl Session {
    pub(super) fn opened<'a>(&mut self, head: &Head, name: &'a [u8]) -> Received<'a> {
        let kind = Kind::Open;
        let id = StreamId::from_number(head.stream);
        if id.opener() == self.role {
            return Err(broken(kind, "a stream's number that is this side's to give"));
        }
        let priority = Priority::from_number(head.flags);
        let priority = priority.ok_or(broken(kind, "an unknown priority"))?;
        let credit = Credit { messages: head.aux, bytes: head.sequence };
        let pool = &mut self.pool;
        let make = || Stream::new(Phase::Asked, priority, credit, Credit::NONE, pool.take());
        let max = self.limits.streams_max;
        self.streams.peer.admit(max, id.index(), id.generation(), make).map_err(|misfit| {
            match misfit {
                Misfit::TooMany => {
                    SessionError::LimitExceeded { kind, what: "streams", limit: max.into() }
                }
                Misfit::Taken => broken(kind, "a stream's number that is not free"),
            }
        })?;
        self.ready.reserve(priority, self.streams());
        if self.drain.here {
            self.refuse_draining(id);
            return Ok(None);
        }
        Ok(Some(Event::Opened { stream: id, service: head.code, priority, credit, name }))
    }

    /// `Data` and `Return`.
    #[inline]
    pub(super) fn piece<'a>(&mut self, head: &Head, body: &'a [u8]) -> Received<'a> {
        let kind = head.kind;
        let id = StreamId::from_number(head.stream);
        let element_bytes_max = self.element_bytes_max();
        let Some(stream) = self.streams.get_mut(id) else {
            return Err(SessionError::UnknownStream { kind, stream: id });
        };
        // Elements precede the end, in order: none can cross with it.
        if stream.incoming.ended {
            return Err(broken(kind, "an element after the end"));
        }
        if stream.phase == Phase::Opening {
            return Err(broken(kind, "an element before the stream was accepted"));
        }
        let keep = !stream.is_reset();
        let incoming = &mut stream.incoming;
        let elements = keep.then_some(&mut self.elements);
        let whole = match assembly::sort(&mut incoming.assembly, head, body, elements)? {
            Piece::First { bytes } => {
                if bytes > element_bytes_max {
                    let limit = element_bytes_max.into();
                    let what = "bytes of an element";
                    return Err(SessionError::LimitExceeded { kind, what, limit });
                }
                let exceeded = SessionError::CreditExceeded { stream: id, bytes };
                if kind == Kind::Data {
                    if head.sequence <= incoming.begun {
                        return Err(broken(kind, "an element's number that is not greater"));
                    }
                    if !incoming.granted.pay(bytes.into()) {
                        return Err(exceeded);
                    }
                    incoming.begun = head.sequence;
                } else if keep {
                    let outgoing = &mut stream.outgoing;
                    if head.sequence > outgoing.sent || head.sequence <= outgoing.acked {
                        return Err(broken(kind, "an element that is not out"));
                    }
                    let returnable = outgoing.returnable.checked_sub(1);
                    outgoing.returnable =
                        returnable.ok_or(broken(kind, "more elements than were sent"))?;
                }
                let granted = self.taking.granted.checked_sub(bytes.into());
                self.taking.granted = granted.ok_or(exceeded)?;
                let elements = keep.then_some(&mut self.elements);
                assembly::begin(&mut incoming.assembly, head, body, bytes, elements)
            }
            Piece::Later(whole) => whole,
        };
        let received = &mut self.counters.received;
        received.element_bytes += u64::from(head.length);
        let Some(Whole { sequence, flags, bytes, body }) = whole else {
            return Ok(None);
        };
        received.elements += 1;
        self.taking.owed += u64::from(bytes);
        if kind == Kind::Data {
            incoming.received = sequence;
            incoming.keepable += 1;
        }
        if !keep {
            return Ok(None);
        }
        Ok(Some(match kind {
            Kind::Data => Event::Element { stream: id, sequence, flags, body },
            _ => Event::Returned { stream: id, sequence, flags, body },
        }))
    }

    /// All other frames of a stream that exists.
    #[inline]
    pub(super) fn of_stream<'a>(&mut self, head: &Head, body: &'a [u8]) -> Received<'a> {
        let kind = head.kind;
        let id = StreamId::from_number(head.stream);
        let Some(stream) = self.streams.get_mut(id) else {
            if self.streams.missing(id) == Missing::Unknown {
                return Err(SessionError::UnknownStream { kind, stream: id });
            }
            self.stale();
            return Ok(None);
        };
        match kind {
            Kind::Reset => return self.reset_came(id, head, body),
            Kind::End => return self.ended(id, head, body),
            _ if stream.is_reset() => return Ok(None),
            Kind::Accept | Kind::Revoked => {}
            _ if stream.phase == Phase::Opening => {
                return Err(broken(kind, "before the stream was accepted"));
            }
            _ => {}
        }
        match kind {
            Kind::Credit => {
                stream.outgoing.credit.add(head.aux.into(), head.sequence);
                let going = matches!(stream.outgoing.ending, Ending::Going);
                Ok(going.then_some(Event::Credit { stream: id }))
            }
            Kind::Ack => {
                let upto = head.sequence;
                if upto > stream.outgoing.sent {
                    return Err(broken(kind, "an element that was not sent"));
                }
                if upto <= stream.outgoing.acked {
                    return Ok(None);
                }
                stream.outgoing.acked = upto;
                Ok(Some(Event::Acked { stream: id, upto }))
            }
            Kind::Nack => {
                let sequence = head.sequence;
                if sequence > stream.outgoing.sent || sequence <= stream.outgoing.acked {
                    return Err(broken(kind, "an element that is not out"));
                }
                Ok(Some(Event::Nacked { stream: id, sequence, code: head.code }))
            }
            Kind::Withdraw => {
                let sequence = head.sequence;
                if sequence > stream.incoming.received {
                    return Err(broken(kind, "an element that was not sent"));
                }
                // An ack that is in flight is the answer.
                let open = sequence > stream.incoming.acked;
                Ok(open.then_some(Event::Withdraw { stream: id, sequence }))
            }
            Kind::Revoke => self.revoke_came(id, head),
            Kind::Revoked => {
                let taken = Credit { messages: head.aux, bytes: head.sequence };
                let asked = stream.due.revoking.take();
                let asked = asked.ok_or(broken(kind, "the answer to no question"))?;
                let granted = &mut stream.incoming.granted;
                if taken.messages > asked.messages
                    || taken.bytes > asked.bytes
                    || granted.take(taken) != taken
                {
                    return Err(broken(kind, "more credit than was asked for, or than there was"));
                }
                if !stream.due.revoke.is_none() {
                    self.mark_due(id);
                }
                Ok(Some(Event::Revoked { stream: id, asked, taken }))
            }
            _ => self.accepted(id, head, body),
        }
    }

    fn accepted<'a>(&mut self, id: StreamId, head: &Head, info: &'a [u8]) -> Received<'a> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        if stream.phase != Phase::Opening {
            return Err(broken(Kind::Accept, "a stream that does not wait for it"));
        }
        stream.phase = Phase::Live;
        stream.outgoing.credit.add(head.aux.into(), head.sequence);
        Ok(Some(Event::Accepted { stream: id, info }))
    }

    fn revoke_came<'a>(&mut self, id: StreamId, head: &Head) -> Received<'a> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        if stream.due.revoked.is_some() {
            return Err(SessionError::Flood("revocations"));
        }
        let asked = Credit { messages: head.aux, bytes: head.sequence };
        let taken = stream.outgoing.credit.take(asked);
        stream.due.revoked = Some(taken);
        self.mark_due(id);
        Ok(Some(Event::Revoke { stream: id, messages: taken.messages, bytes: taken.bytes }))
    }

    fn ended<'a>(&mut self, id: StreamId, head: &Head, why: &'a [u8]) -> Received<'a> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        let incoming = &mut stream.incoming;
        if incoming.ended {
            return Err(broken(Kind::End, "a second end"));
        }
        if incoming.assembly.is_some() {
            return Err(broken(Kind::End, "in the middle of an element"));
        }
        if stream.phase == Phase::Opening {
            return Err(broken(Kind::End, "before the stream was accepted"));
        }
        incoming.ended = true;
        let is_live = !stream.is_reset();
        if stream.is_over() {
            self.remove(id);
        }
        Ok(is_live.then_some(Event::Ended { stream: id, code: head.code, why }))
    }

    /// ```text
    ///   phase                 our Reset sent?   then
    ///   Opening, Asked, Live  –                 Echoing: ours is due, then removed; the event
    ///   Resetting             no                Echoing: the one that is due is the answer
    ///   Resetting             yes               removed
    ///   Echoing               –                 a second reset: an error
    /// ```
    fn reset_came<'a>(&mut self, id: StreamId, head: &Head, why: &'a [u8]) -> Received<'a> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        match stream.phase {
            Phase::Echoing => return Err(broken(Kind::Reset, "a second reset")),
            Phase::Resetting if stream.due.reset.is_none() => {
                self.remove(id);
                return Ok(None);
            }
            Phase::Resetting => {
                stream.phase = Phase::Echoing;
                stream.incoming.ended = true;
                return Ok(None);
            }
            Phase::Opening | Phase::Asked | Phase::Live => {}
        }
        stream.incoming.ended = true;
        self.abort(id, Phase::Echoing, head.code, bytes::Bytes::new());
        Ok(Some(Event::Reset { stream: id, code: head.code, why }))
    }
}
