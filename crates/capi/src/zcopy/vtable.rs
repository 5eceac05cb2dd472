// SPDX-License-Identifier: BSD-3-Clause
//! A backend whose functions are C's (`kc_zcopy_backend_ops_t`).
//!
//! A backend without `send_c` or `recv_c` is called by its plain function, under a current token
//! (`current_token`): each of its waits in this library ends when the token is set. The waits are
//! not divided into slices.
//!
//! The table has no function for the close of a channel. So every wait also ends by a token that
//! the close sets; a send after the close is not passed on, and a receive then only tries.
//!
//! # Safety
//!
//! C passed the functions for this, for as long as the process runs. They are called with the
//! handle of the channel that they were attached to, which is alive: a call on it is in progress,
//! or it is being attached, or destroyed.

use std::any::Any;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use becket_chan::{Token, timer};
use becket_zcopy::{Backend, Carrier, Desc, Event, Failure, Limits, Link, Pending, Time};
use libc::{c_int, c_long, c_void};

use super::carrier::{CarrierOf, Options};
use super::{count, failure};
use crate::cancel::Cancel;
use crate::chan::descriptor::Zdesc;
use crate::chan::{Chan, lent};
use crate::current_token;
use crate::errno;

/// `kc_zcopy_backend_ops_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in kcoro_zcopy.h")]
pub struct BackendOps {
    pub attach: Option<unsafe extern "C" fn(*mut Chan, *const c_void) -> c_int>,
    pub detach: Option<unsafe extern "C" fn(*mut Chan)>,
    pub send: Option<unsafe extern "C" fn(*mut Chan, *const Zdesc, c_long) -> c_int>,
    pub recv: Option<unsafe extern "C" fn(*mut Chan, *mut Zdesc, c_long) -> c_int>,
    pub send_c:
        Option<unsafe extern "C" fn(*mut Chan, *const Zdesc, c_long, *const Cancel) -> c_int>,
    pub recv_c: Option<unsafe extern "C" fn(*mut Chan, *mut Zdesc, c_long, *const Cancel) -> c_int>,
}

/// The functions of one channel. They count for themselves (`kc_zcopy_count`).
struct OfC {
    ops: BackendOps,
    handle: *mut Chan,
    /// Set when the channel is closed.
    closed: Arc<Cancel>,
}

// SAFETY: a handle, and functions that may be called from any thread.
unsafe impl Send for OfC {}
// SAFETY: as above.
unsafe impl Sync for OfC {}

impl Backend for BackendOps {
    fn attach(
        &self,
        carrier: &Arc<dyn Carrier>,
        options: &dyn Any,
    ) -> Result<Box<dyn Link>, Failure> {
        // Functions of C accept channels of C only.
        let handle = carrier.as_any().downcast_ref::<CarrierOf>().ok_or(Failure::Unsupported)?.0;
        let opts = options.downcast_ref::<Options>().map_or(ptr::null(), |options| options.0);
        if let Some(attach) = self.attach {
            // SAFETY: the module's "Safety".
            failure::answer(unsafe { attach(handle, opts) })?;
        }
        Ok(Box::new(OfC { ops: *self, handle, closed: Cancel::below(None) }))
    }
}

impl Link for OfC {
    fn try_send(&self, desc: Desc) -> Result<(), Failure> {
        self.send_wait(desc, Limits { time: Time::Now, token: None })
    }

    fn try_recv(&self) -> Result<Desc, Failure> {
        self.recv_wait(Limits { time: Time::Now, token: None })
    }

    /// A function of C parks its caller: so does the first poll.
    fn send<'a>(&'a self, desc: Desc, limits: Limits<'a>) -> Pending<'a, ()> {
        Box::pin(async move { self.send_wait(desc, limits) })
    }

    /// As for [`send`](Self::send).
    fn recv<'a>(&'a self, limits: Limits<'a>) -> Pending<'a, Desc> {
        Box::pin(async move { self.recv_wait(limits) })
    }

    fn send_wait(&self, desc: Desc, limits: Limits<'_>) -> Result<(), Failure> {
        if self.is_closed() {
            // SAFETY: the module's "Safety".
            if let Some(chan) = unsafe { lent(self.handle) } {
                chan.counters.send.count(errno::EPIPE);
            }
            return Err(Failure::Closed);
        }
        let sent = self.call_send(desc, limits);
        if sent == Err(Failure::Cancelled) && self.ended_by_close(limits) {
            // SAFETY: the module's "Safety".
            if let Some(chan) = unsafe { lent(self.handle) } {
                count::descriptor(&chan, Event::AbortedClose);
            }
            return Err(Failure::Closed);
        }
        sent
    }

    fn recv_wait(&self, limits: Limits<'_>) -> Result<Desc, Failure> {
        if !self.is_closed() {
            let received = self.call_recv(limits);
            if received != Err(Failure::Cancelled) || !self.ended_by_close(limits) {
                return received;
            }
        }
        // What was sent before the close can still be received.
        match self.call_recv(Limits { time: Time::Now, ..limits }) {
            Err(Failure::WouldBlock) => Err(Failure::Closed),
            received => received,
        }
    }

    fn counts(&self) -> bool {
        true
    }

    /// C has no function for it.
    fn in_flight(&self) -> usize {
        0
    }

    fn close(&self) {
        Arc::clone(&self.closed).set();
    }

    fn detach(&self) {
        if let Some(detach) = self.ops.detach {
            // SAFETY: the module's "Safety".
            unsafe { detach(self.handle) };
        }
    }
}

impl OfC {
    fn is_closed(&self) -> bool {
        self.closed.token().is_cancelled()
    }

    /// Whether a cancelled wait was ended by the close, and not by its caller's token.
    fn ended_by_close(&self, limits: Limits<'_>) -> bool {
        self.is_closed() && !limits.token.is_some_and(Token::is_cancelled)
    }

    /// The token of a call: set by its caller, or by the close. `None`: it does not wait.
    fn token(&self, limits: Limits<'_>) -> Option<Arc<Cancel>> {
        let callers = limits.token.map(|token| Cancel::over(token.clone()));
        if matches!(limits.time, Time::Now) {
            return callers;
        }
        Some(match callers {
            None => self.closed.clone(),
            Some(callers) => {
                let both = Cancel::below(Some(&callers));
                both.link(&self.closed);
                both
            }
        })
    }

    fn call_send(&self, desc: Desc, limits: Limits<'_>) -> Result<(), Failure> {
        let (ops, handle, token) = (self.ops, self.handle, self.token(limits));
        let (zdesc, time) = (Zdesc::from(desc), timeout_ms(limits));
        // SAFETY: the module's "Safety"; descriptor and token outlive the call.
        let code = unsafe {
            match (ops.send, ops.send_c, token) {
                (_, Some(send_c), Some(token)) => send_c(handle, &zdesc, time, Arc::as_ptr(&token)),
                (Some(send), _, Some(token)) => {
                    current_token::under(&token, || send(handle, &zdesc, time))
                }
                (Some(send), ..) => send(handle, &zdesc, time),
                (None, Some(send_c), None) => send_c(handle, &zdesc, time, ptr::null()),
                (None, None, _) => return Err(Failure::Unsupported),
            }
        };
        failure::answer(code)
    }

    fn call_recv(&self, limits: Limits<'_>) -> Result<Desc, Failure> {
        let (ops, handle, token) = (self.ops, self.handle, self.token(limits));
        let (mut zdesc, time) = (Zdesc::plain(ptr::null_mut(), 0), timeout_ms(limits));
        let out = &raw mut zdesc;
        // SAFETY: the module's "Safety"; the place and the token outlive the call.
        let code = unsafe {
            match (ops.recv, ops.recv_c, token) {
                (_, Some(recv_c), Some(token)) => recv_c(handle, out, time, Arc::as_ptr(&token)),
                (Some(recv), _, Some(token)) => {
                    current_token::under(&token, || recv(handle, out, time))
                }
                (Some(recv), ..) => recv(handle, out, time),
                (None, Some(recv_c), None) => recv_c(handle, out, time, ptr::null()),
                (None, None, _) => return Err(Failure::Unsupported),
            }
        };
        failure::answer(code)?;
        Ok(zdesc.into())
    }
}

/// A limit in C's form: never 0 for a wait, which would not wait.
fn timeout_ms(limits: Limits<'_>) -> c_long {
    let ms = |time: Duration| {
        c_long::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(c_long::MAX).max(1)
    };
    match limits.time {
        Time::Now => 0,
        Time::For(time) => ms(time),
        Time::Until(at) => ms(at.saturating_duration_since(timer::after(Duration::ZERO))),
        Time::Ever => -1,
    }
}
