// SPDX-License-Identifier: BSD-3-Clause
//! Received frames of the session, of requests and of regions.

use bytes::Bytes;

use super::{
    Session, State, VERSION,
    requests::{Asking, parts},
};
use crate::{
    Event, Frame, Head, Kind, Role, SessionError, codes, handshake,
    table::{Misfit, Missing},
};

pub(super) type Received<'a> = Result<Option<Event<'a>>, SessionError>;

pub(super) const fn broken(kind: Kind, rule: &'static str) -> SessionError {
    SessionError::Protocol { kind, rule }
}

impl Session {
    /// Handles a frame, which yields at most one event. After an error the session is over: transmit
    /// once more, so that the peer gets the reason, and drop the connection.
    #[inline]
    pub fn receive<'a>(&mut self, frame: Frame<'a>) -> Received<'a> {
        let received = self.take(&frame.head, frame.body);
        if let Err(error) = &received {
            self.fail(*error);
        }
        received
    }

    /// Never inlined: the event is then written to its final place, not copied there.
    #[inline(never)]
    fn take<'a>(&mut self, head: &Head, body: &'a [u8]) -> Received<'a> {
        if self.is_closed() {
            return Err(SessionError::Closed);
        }
        self.clock.hear();
        self.counters.received.frame(body.len());
        let kind = head.kind;
        if head.length as usize != body.len() {
            return Err(broken(kind, "a body of another length than in the head"));
        }
        if head.length > self.limits.frame_body_bytes_max {
            let limit = self.limits.frame_body_bytes_max.into();
            return Err(SessionError::LimitExceeded { kind, what: "bytes of body", limit });
        }
        if self.state == State::Greeting {
            return self.greeted(head, body);
        }
        match kind {
            Kind::Data | Kind::Return => self.piece(head, body),
            Kind::Credit if head.stream == 0 => self.credit_came(head),
            Kind::Credit
            | Kind::Ack
            | Kind::Nack
            | Kind::Withdraw
            | Kind::Revoke
            | Kind::Revoked
            | Kind::Accept
            | Kind::End
            | Kind::Reset => self.of_stream(head, body),
            Kind::Open => self.opened(head, body),
            Kind::Request => self.requested(head, body),
            Kind::Reply => self.replied(head, body),
            Kind::Cancel => self.cancelled(head),
            Kind::Notice => Ok(Some(Event::Notice { code: head.code, of: head.sequence, body })),
            Kind::Ping => self.pinged(head),
            Kind::Pong => self.ponged(head),
            Kind::Drain => {
                let first = !std::mem::replace(&mut self.drain.there, true);
                Ok(first.then_some(Event::Draining))
            }
            Kind::Close => self.closed(head, body),
            Kind::Region | Kind::Unregion | Kind::Release => self.of_region(head),
            Kind::Hello | Kind::Welcome => Err(broken(kind, "a second handshake")),
        }
    }

    fn greeted<'a>(&mut self, head: &Head, body: &'a [u8]) -> Received<'a> {
        let kind = head.kind;
        match (self.role, kind) {
            (Role::Client, Kind::Welcome) | (Role::Server, Kind::Hello) => {}
            (_, Kind::Close) => return self.closed(head, body),
            _ => return Err(broken(kind, "a session begins with a hello and a welcome")),
        }
        if head.aux != VERSION {
            return Err(SessionError::Version(head.aux));
        }
        let peer = handshake::decode(body).map_err(|rule| broken(kind, rule))?;
        self.peer = peer;
        self.window = peer.session_credit_bytes;
        self.state = State::Open;
        if self.role == Role::Server {
            self.greets = true;
        }
        Ok(Some(Event::Ready { peer }))
    }

    fn closed<'a>(&mut self, head: &Head, why: &'a [u8]) -> Received<'a> {
        self.let_all_go();
        self.state = State::Closed;
        Ok(Some(Event::Closed { code: head.code, why }))
    }

    fn pinged<'a>(&mut self, head: &Head) -> Received<'a> {
        if self.pongs.len() >= self.limits.pongs_max as usize {
            return Err(SessionError::Flood("pings"));
        }
        self.pongs.push_back(head.sequence);
        Ok(None)
    }

    fn ponged<'a>(&mut self, head: &Head) -> Received<'a> {
        if head.sequence == 0 || head.sequence > self.counters.pings {
            return Err(broken(Kind::Pong, "the answer to a ping that was not sent"));
        }
        Ok(None)
    }

    #[inline]
    fn credit_came<'a>(&mut self, head: &Head) -> Received<'a> {
        let window = self.window.checked_add(head.sequence);
        let window = window.filter(|window| *window <= self.peer.session_credit_bytes);
        self.window = window.ok_or(broken(Kind::Credit, "more credit than announced"))?;
        Ok(None)
    }

    fn requested<'a>(&mut self, head: &Head, body: &'a [u8]) -> Received<'a> {
        let kind = Kind::Request;
        let request = head.sequence;
        let (index, generation) = parts(request);
        let max = self.limits.requests_max;
        self.asking.admit(max, index, generation, Asking::default).map_err(
            |misfit| match misfit {
                Misfit::TooMany => {
                    SessionError::LimitExceeded { kind, what: "requests", limit: max.into() }
                }
                Misfit::Taken => broken(kind, "a number that is not free"),
            },
        )?;
        if self.drain.here {
            if let Some(asking) = self.asking.get_mut(index, generation) {
                asking.answered = true;
            }
            let code = codes::DRAINING;
            let reply = Head { code, sequence: request, ..Head::new(Kind::Reply) };
            self.queue_control(reply, Bytes::new());
            return Ok(None);
        }
        Ok(Some(Event::Request { request, operation: head.code, body }))
    }

    fn replied<'a>(&mut self, head: &Head, body: &'a [u8]) -> Received<'a> {
        let request = head.sequence;
        let (index, generation) = parts(request);
        self.asked
            .remove(index, generation, true)
            .ok_or(broken(Kind::Reply, "a reply without a request"))?;
        Ok(Some(Event::Reply { request, status: head.code, body }))
    }

    fn cancelled<'a>(&mut self, head: &Head) -> Received<'a> {
        let request = head.sequence;
        let (index, generation) = parts(request);
        let missing = self.asking.missing(index);
        match self.asking.get_mut(index, generation) {
            Some(asking) if asking.answered || asking.cancelled => Ok(None),
            Some(asking) => {
                asking.cancelled = true;
                Ok(Some(Event::Cancelled { request }))
            }
            None if missing == Missing::Stale => {
                self.stale();
                Ok(None)
            }
            None => Err(broken(Kind::Cancel, "a request that never was")),
        }
    }

    fn of_region<'a>(&mut self, head: &Head) -> Received<'a> {
        let kind = head.kind;
        let (region, generation) = (head.stream, head.aux);
        let regions = &mut self.regions;
        let event = match kind {
            Kind::Region => {
                let limit = u64::from(self.limits.regions_max);
                if regions.peer.len() as u64 >= limit {
                    return Err(SessionError::LimitExceeded { kind, what: "regions", limit });
                }
                if regions.peer.iter().any(|(number, _)| *number == region) {
                    return Err(broken(kind, "a number that is not free"));
                }
                regions.peer.push((region, generation));
                Event::Region { region, generation, bytes: head.sequence }
            }
            Kind::Unregion => {
                let place = regions.peer.iter().position(|peer| *peer == (region, generation));
                let place = place.ok_or(broken(kind, "a region that was not announced"))?;
                regions.peer.swap_remove(place);
                Event::Unregion { region, generation }
            }
            _ if regions.own.contains(&(region, generation)) => {
                Event::Release { region, generation, offset: head.sequence }
            }
            _ => {
                // It crossed with our `Unregion`.
                self.stale();
                return Ok(None);
            }
        };
        Ok(Some(event))
    }
}
