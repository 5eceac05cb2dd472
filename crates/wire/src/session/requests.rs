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
        let result = self.try_request(operation, body);
        self.counted(result)
    }

    fn try_request(&mut self, operation: u16, body: Bytes) -> Result<u64, Refused> {
        self.may_begin()?;
        self.fits(&body)?;
        let max = self.peer.requests_max.min(self.limits.requests_max);
        let mut number = 0;
        let make = |index, generation| {
            number = u64::from(index) | u64::from(generation) << 32;
            Asked { cancelled: false }
        };
        self.asked.insert(max, make).ok_or(Refused::TooMany)?;
        self.queue_control(
            Head { code: operation, sequence: number, ..Head::new(Kind::Request) },
            body,
        );
        Ok(number)
    }

    /// Replies to a request of the peer. `TooLong`: the request is still open; reply with less.
    pub fn reply(&mut self, request: u64, status: u16, body: Bytes) -> Result<(), Refused> {
        let result = self.try_reply(request, status, body);
        self.counted(result)
    }

    fn try_reply(&mut self, request: u64, status: u16, body: Bytes) -> Result<(), Refused> {
        self.usable()?;
        self.fits(&body)?;
        let (index, generation) = parts(request);
        let asking = self.asking.get_mut(index, generation).ok_or(Refused::UnknownRequest)?;
        if asking.answered {
            return Err(Refused::UnknownRequest);
        }
        asking.answered = true;
        self.queue_control(
            Head { code: status, sequence: request, ..Head::new(Kind::Reply) },
            body,
        );
        Ok(())
    }

    /// Cancels a request: the peer learns that the reply is not needed. It still arrives.
    pub fn cancel(&mut self, request: u64) -> Result<(), Refused> {
        let result = self.try_cancel(request);
        self.counted(result)
    }

    fn try_cancel(&mut self, request: u64) -> Result<(), Refused> {
        self.usable()?;
        let (index, generation) = parts(request);
        let asked = self.asked.get_mut(index, generation).ok_or(Refused::UnknownRequest)?;
        if !asked.cancelled {
            asked.cancelled = true;
            let head = Head { sequence: request, ..Head::new(Kind::Cancel) };
            self.queue_control(head, Bytes::new());
        }
        Ok(())
    }

    /// Sends a notice. `Full`: too many wait; a notice may be dropped.
    pub fn notice(&mut self, code: u16, of: u64, body: Bytes) -> Result<(), Refused> {
        let result = self.try_notice(code, of, body);
        self.counted(result)
    }

    fn try_notice(&mut self, code: u16, of: u64, body: Bytes) -> Result<(), Refused> {
        self.usable()?;
        self.fits(&body)?;
        self.queue_unordered(Head { code, sequence: of, ..Head::new(Kind::Notice) }, body)
    }
}
