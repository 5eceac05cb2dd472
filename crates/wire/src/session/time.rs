// SPDX-License-Identifier: BSD-3-Clause
//! Deadlines: the greeting, keep-alive, draining.
//!
//! The session reads no clock. It is told the time with each frame and at each deadline; what
//! begins between two such moments (draining) asks for a deadline at once, to learn the time.

use std::time::{Duration, Instant};

use super::{Session, State};
use crate::{Event, SessionError};

#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    now: Instant,
    /// When the other side was last heard.
    heard: Instant,
    /// When it was sent a ping that it has not answered by any frame.
    pinged: Option<Instant>,
    /// When what is open must have ended.
    drain_until: Option<Instant>,
}

impl Clock {
    pub(super) const fn new(now: Instant) -> Self {
        Self { began: now, now, heard: now, pinged: None, drain_until: None }
    }

    /// A frame has come.
    #[inline]
    pub(super) fn hear(&mut self, now: Instant) {
        self.now = now;
        self.heard = now;
        self.pinged = None;
    }
}

fn after(moment: Instant, ms: u64) -> Option<Instant> {
    moment.checked_add(Duration::from_millis(ms))
}

impl Session {
    /// When [`on_deadline`](Self::on_deadline) is to be called; `None`: nothing is waited for. Ask
    /// again after each frame and each command.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let clock = &self.clock;
        match self.state {
            State::Greeting => after(clock.began, self.limits.handshake_ms),
            State::Closing | State::Closed => None,
            State::Open => {
                let alive = match clock.pinged {
                    Some(pinged) => after(pinged, self.limits.silence_ms),
                    None => after(clock.heard, self.limits.keep_alive_ms),
                };
                let drained = match clock.drain_until {
                    _ if !self.drain.here || self.drain.told => None,
                    _ if self.is_quiet() => Some(clock.now),
                    None => Some(clock.now),
                    until => until,
                };
                [alive, drained].into_iter().flatten().min()
            }
        }
    }

    /// Does what the time asks for; nothing, if it is not time yet. An error ends the session as
    /// one of `receive` does.
    pub fn on_deadline(&mut self, now: Instant) -> Result<Option<Event<'static>>, SessionError> {
        self.clock.now = self.clock.now.max(now);
        match self.state {
            State::Greeting => {
                let ms = self.limits.handshake_ms;
                if after(self.clock.began, ms).is_some_and(|until| now >= until) {
                    return Err(self.fail(SessionError::HandshakeTimeout(ms)));
                }
                Ok(None)
            }
            State::Closing | State::Closed => Ok(None),
            State::Open => {
                self.keep_alive(now)?;
                self.check_drained(now)
            }
        }
    }

    fn keep_alive(&mut self, now: Instant) -> Result<(), SessionError> {
        let Some(pinged) = self.clock.pinged else {
            let ms = self.limits.keep_alive_ms;
            if after(self.clock.heard, ms).is_some_and(|until| now >= until) {
                self.clock.pinged = Some(now);
                self.counters.pings += 1;
                self.ping = Some(self.counters.pings);
            }
            return Ok(());
        };
        let ms = self.limits.silence_ms;
        if after(pinged, ms).is_some_and(|until| now >= until) {
            return Err(self.fail(SessionError::PeerSilent(ms)));
        }
        Ok(())
    }

    fn check_drained(&mut self, now: Instant) -> Result<Option<Event<'static>>, SessionError> {
        if !self.drain.here || self.drain.told {
            return Ok(None);
        }
        if self.is_quiet() {
            self.drain.told = true;
            return Ok(Some(Event::Drained));
        }
        let ms = self.limits.drain_ms;
        let until = match self.clock.drain_until {
            Some(until) => Some(until),
            None => after(now, ms),
        };
        self.clock.drain_until = until;
        if until.is_some_and(|until| now >= until) {
            return Err(self.fail(SessionError::DrainTimeout(ms)));
        }
        Ok(None)
    }
}
