// SPDX-License-Identifier: BSD-3-Clause
//! Commands: requests, replies, notices.
//!
//! A request's number is a place in the asker's table (low half) and that place's generation (high
//! half). It is free again when the one reply has come; the answering side frees its own place when
//! the reply has gone, so as many replies wait at most as requests are allowed.

use bytes::Bytes;

use super::Session;
use crate::{Head, Kind, Refused};

/// A request of this side.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) cancelled: bool,
}

/// A request of the other side.
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
    /// Asks. The number comes back in `Event::Reply`, once.
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
        self.say(Head { code: operation, sequence: number, ..Head::new(Kind::Request) }, body);
        Ok(number)
    }

    /// Answers a request of the other side. `TooLong`: it has not been answered, answer with less.
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
        self.say(Head { code: status, sequence: request, ..Head::new(Kind::Reply) }, body);
        Ok(())
    }

    /// Says that a reply is no longer wanted. It still comes.
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
            self.say(head, Bytes::new());
        }
        Ok(())
    }

    /// Tells news. `Full` when too many wait already: nobody is owed a notice.
    pub fn notice(&mut self, code: u16, of: u64, body: Bytes) -> Result<(), Refused> {
        let result = self.try_notice(code, of, body);
        self.counted(result)
    }

    fn try_notice(&mut self, code: u16, of: u64, body: Bytes) -> Result<(), Refused> {
        self.usable()?;
        self.fits(&body)?;
        self.say_loose(Head { code, sequence: of, ..Head::new(Kind::Notice) }, body)
    }
}
