// SPDX-License-Identifier: BSD-3-Clause
//! Commands: requests, replies, notices.
//!
//! A request's number is a slot of the requester's table (low half) and its generation (high half). It
//! is free again after the reply; the answering side frees its slot when the reply is sent, so at most
//! `requests_max` replies wait.

use bytes::Bytes;

use super::{Control, ControlBody, SHORT_BYTES_MAX, Session, join_short};
use crate::{Head, Kind, Outlet, Refused, chunk::Chunk};

/// A request of this side.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) cancelled: bool,
}

/// A request of the peer.
#[derive(Debug, Default)]
pub(super) struct Asking {
    pub(super) cancelled: bool,
    pub(super) answered: bool,
}

/// Index and generation of a request's number.
pub(super) const fn parts(request: u64) -> (u32, u32) {
    (request as u32, (request >> 32) as u32)
}

fn bytes(parts: [&[u8]; 2]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

impl Session {
    /// Sends a request and returns its number. `Event::Reply` has the same number, once.
    pub fn request(&mut self, operation: u16, body: Bytes) -> Result<u64, Refused> {
        self.request_with(operation, body.len(), |_| ControlBody::Long(body))
    }

    /// As [`request`](Self::request), with a body that is copied together from two parts: without an
    /// allocation if it is short, and into memory that the session uses again otherwise.
    #[inline]
    pub fn request_parts(&mut self, operation: u16, parts: [&[u8]; 2]) -> Result<u64, Refused> {
        self.request_with(operation, bytes(parts), |chunk| ControlBody::join(parts, chunk))
    }

    #[inline]
    fn request_with(
        &mut self,
        operation: u16,
        bytes: usize,
        body: impl FnOnce(&mut Chunk) -> ControlBody,
    ) -> Result<u64, Refused> {
        self.command(|session| {
            session.may_begin()?;
            session.fits(bytes)?;
            let number = session.ask()?;
            let head = Head { code: operation, sequence: number, ..Head::new(Kind::Request) };
            let body = body(&mut session.bodies);
            session.control.push_back(Control { head, body, loose: false });
            Ok(number)
        })
    }

    /// As [`request_parts`](Self::request_parts), straight into the outlet if no other frame precedes it,
    /// the body is short and the outlet has room; queued otherwise.
    #[inline]
    pub fn request_through<O: Outlet + ?Sized>(
        &mut self,
        outlet: &mut O,
        operation: u16,
        parts: [&[u8]; 2],
    ) -> Result<u64, Refused> {
        let bytes = bytes(parts);
        if bytes > SHORT_BYTES_MAX || self.has_control() {
            return self.request_parts(operation, parts);
        }
        self.command(|session| {
            session.may_begin()?;
            session.fits(bytes)?;
            let request = session.ask()?;
            let head = Head { code: operation, sequence: request, ..Head::new(Kind::Request) };
            session.command_through(outlet, head, parts);
            Ok(request)
        })
    }

    /// A number for a request.
    #[inline]
    fn ask(&mut self) -> Result<u64, Refused> {
        let max = self.peer.requests_max.min(self.limits.requests_max);
        let mut number = 0;
        let make = |index, generation| {
            number = u64::from(index) | u64::from(generation) << 32;
            Asked { cancelled: false }
        };
        self.asked.insert(max, make).ok_or(Refused::TooMany)?;
        Ok(number)
    }

    /// A frame with a short body into the outlet, or into the queue, which is empty, if that is full.
    #[inline]
    fn command_through<O: Outlet + ?Sized>(
        &mut self,
        outlet: &mut O,
        head: Head,
        parts: [&[u8]; 2],
    ) {
        let mut short = [0; SHORT_BYTES_MAX];
        let body = join_short(parts, &mut short);
        let length = body.map_or(0, |body| body.len() as u32);
        if let Some(body) = body
            && outlet.put(&Head { length, ..head }, body).is_ok()
        {
            return self.counters.sent.frame(body.len());
        }
        let body = ControlBody::join(parts, &mut self.bodies);
        self.control.push_back(Control { head, body, loose: false });
    }

    /// Replies to a request of the peer. `TooLong`: the request is still open; reply with less.
    pub fn reply(&mut self, request: u64, status: u16, body: Bytes) -> Result<(), Refused> {
        self.reply_with(request, status, body.len(), |_| ControlBody::Long(body))
    }

    /// As [`reply`](Self::reply), with a body that is copied together from two parts, as in
    /// [`request_parts`](Self::request_parts).
    #[inline]
    pub fn reply_parts(
        &mut self,
        request: u64,
        status: u16,
        parts: [&[u8]; 2],
    ) -> Result<(), Refused> {
        let body = |chunk: &mut Chunk| ControlBody::join(parts, chunk);
        self.reply_with(request, status, bytes(parts), body)
    }

    /// A body of two parts for a command that takes one, in memory that the session uses again once
    /// the body was dropped everywhere.
    pub fn join(&mut self, parts: [&[u8]; 2]) -> Bytes {
        self.bodies.join(parts)
    }

    #[inline]
    fn reply_with(
        &mut self,
        request: u64,
        status: u16,
        bytes: usize,
        body: impl FnOnce(&mut Chunk) -> ControlBody,
    ) -> Result<(), Refused> {
        self.command(|session| {
            session.usable()?;
            session.fits(bytes)?;
            let (index, generation) = parts(request);
            let asking =
                session.asking.get_mut(index, generation).ok_or(Refused::UnknownRequest)?;
            if asking.answered {
                return Err(Refused::UnknownRequest);
            }
            asking.answered = true;
            let head = Head { code: status, sequence: request, ..Head::new(Kind::Reply) };
            let body = body(&mut session.bodies);
            session.control.push_back(Control { head, body, loose: false });
            Ok(())
        })
    }

    /// Cancels a request: notifies the peer that the reply is not needed. The reply still arrives.
    pub fn cancel(&mut self, request: u64) -> Result<(), Refused> {
        self.command(|session| {
            session.usable()?;
            let (index, generation) = parts(request);
            let asked = session.asked.get_mut(index, generation).ok_or(Refused::UnknownRequest)?;
            if !asked.cancelled {
                asked.cancelled = true;
                let head = Head { sequence: request, ..Head::new(Kind::Cancel) };
                session.queue_control(head, Bytes::new());
            }
            Ok(())
        })
    }

    /// Sends a notice. `Full`: too many wait; a notice may be dropped.
    pub fn notice(&mut self, code: u16, of: u64, body: Bytes) -> Result<(), Refused> {
        self.command(|session| {
            session.usable()?;
            session.fits(body.len())?;
            session.queue_unordered(Head { code, sequence: of, ..Head::new(Kind::Notice) }, body)
        })
    }
}
