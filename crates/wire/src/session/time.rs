// SPDX-License-Identifier: BSD-3-Clause
//! Deadlines: handshake, keep-alive, draining.
//!
//! The session reads no clock, and its caller need not read one for each frame: the time is passed at
//! each deadline, and a frame only sets a flag. `drain` makes a deadline due at once, so that its
//! own timeout starts from a current time.

use std::time::{Duration, Instant};

use super::{Session, State};
use crate::{Event, SessionError};

#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    /// The latest time passed in.
    now: Instant,
    /// When the flag was last checked.
    looked: Instant,
    /// A frame has arrived since `looked`.
    heard: bool,
    /// When the ping was sent; `None` once its deadline has passed and a frame had arrived.
    pinged: Option<Instant>,
    /// End of `Limits::drain_ms`.
    drain_until: Option<Instant>,
}

impl Clock {
    pub(super) const fn new(now: Instant) -> Self {
        Self { began: now, now, looked: now, heard: false, pinged: None, drain_until: None }
    }

    /// A frame has arrived.
    #[inline]
    pub(super) const fn hear(&mut self) {
        self.heard = true;
    }
}

/// Half of the time, so that a ping is sent after at most all of it.
const fn check_interval_ms(keep_alive_ms: u64) -> u64 {
    if keep_alive_ms < 2 { 1 } else { keep_alive_ms / 2 }
}

fn after(moment: Instant, ms: u64) -> Option<Instant> {
    moment.checked_add(Duration::from_millis(ms))
}

impl Session {
    /// When to call [`on_deadline`](Self::on_deadline); `None`: no deadline. It can change with each
    /// frame and each command.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let clock = &self.clock;
        match self.state {
            State::Greeting => after(clock.began, self.limits.handshake_ms),
            State::Closing | State::Closed => None,
            State::Open => {
                let alive = match clock.pinged {
                    Some(pinged) => after(pinged, self.limits.silence_ms),
                    None => after(clock.looked, check_interval_ms(self.limits.keep_alive_ms)),
                };
                let drained = match clock.drain_until {
                    _ if !self.drain.here || self.drain.reported => None,
                    _ if self.is_quiet() => Some(clock.now),
                    None => Some(clock.now),
                    until => until,
                };
                [alive, drained].into_iter().flatten().min()
            }
        }
    }

    /// Whether frames and commands leave the deadline as it is; it changes when it has passed, or when
    /// this is false.
    #[inline]
    #[must_use]
    pub fn has_steady_deadline(&self) -> bool {
        self.state == State::Open && !self.drain.here
    }

    /// Handles the deadline, if it has passed. An error ends the session as one of `receive` does.
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
        let clock = &mut self.clock;
        let Some(pinged) = clock.pinged else {
            let ms = check_interval_ms(self.limits.keep_alive_ms);
            if after(clock.looked, ms).is_some_and(|until| now >= until) {
                clock.looked = now;
                if !std::mem::take(&mut clock.heard) {
                    clock.pinged = Some(now);
                    self.bodies.free();
                    self.elements.free();
                    self.counters.pings += 1;
                    self.ping = Some(self.counters.pings);
                }
            }
            return Ok(());
        };
        let ms = self.limits.silence_ms;
        if after(pinged, ms).is_some_and(|until| now >= until) {
            if !std::mem::take(&mut clock.heard) {
                return Err(self.fail(SessionError::PeerSilent(ms)));
            }
            clock.looked = now;
            clock.pinged = None;
        }
        Ok(())
    }

    fn check_drained(&mut self, now: Instant) -> Result<Option<Event<'static>>, SessionError> {
        if !self.drain.here || self.drain.reported {
            return Ok(None);
        }
        if self.is_quiet() {
            self.drain.reported = true;
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
