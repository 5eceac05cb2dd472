// SPDX-License-Identifier: BSD-3-Clause
//! Commands: requests, replies, notices.
//!
//! A request's number is a slot of the requester's table (low half) and its generation (high half). It
//! is free again after the reply; the answering side frees its slot when the reply is sent, so at most
//! `requests_max` replies wait.

use bytes::Bytes;

use super::Session;
use crate::{Head, Kind, Refused};

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

impl Session {
    /// Sends a request and returns its number. `Event::Reply` has the same number, once.
    pub fn request(&mut self, operation: u16, body: Bytes) -> Result<u64, Refused> {
        self.command(|session| {
            session.may_begin()?;
            session.fits(&body)?;
            let max = session.peer.requests_max.min(session.limits.requests_max);
            let mut number = 0;
            let make = |index, generation| {
                number = u64::from(index) | u64::from(generation) << 32;
                Asked { cancelled: false }
            };
            session.asked.insert(max, make).ok_or(Refused::TooMany)?;
            session.queue_control(
                Head { code: operation, sequence: number, ..Head::new(Kind::Request) },
                body,
            );
            Ok(number)
        })
    }

    /// Replies to a request of the peer. `TooLong`: the request is still open; reply with less.
    pub fn reply(&mut self, request: u64, status: u16, body: Bytes) -> Result<(), Refused> {
        self.command(|session| {
            session.usable()?;
            session.fits(&body)?;
            let (index, generation) = parts(request);
            let asking =
                session.asking.get_mut(index, generation).ok_or(Refused::UnknownRequest)?;
            if asking.answered {
                return Err(Refused::UnknownRequest);
            }
            asking.answered = true;
            session.queue_control(
                Head { code: status, sequence: request, ..Head::new(Kind::Reply) },
                body,
            );
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
            session.fits(&body)?;
            session.queue_unordered(Head { code, sequence: of, ..Head::new(Kind::Notice) }, body)
        })
    }
}
