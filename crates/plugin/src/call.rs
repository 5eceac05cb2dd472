// SPDX-License-Identifier: BSD-3-Clause
//! One call, as its handler sees it.
//!
//! ```text
//!   Context<'a>   reads: payload, request, state, deadline     for every handler, borrowed
//!   Call<'a>      Context + one answer, now or `later`         unary handlers
//!   Responder     the answer, from anywhere, at any time       owned
//!   OwnedCall     a Context that has copied what it shows      futures
//! ```
//!
//! A [`Call`] is consumed by its answer, and a handler returns the [`Answered`] it gets for it. So
//! the compiler refuses a handler that answers twice:
//!
//! ```compile_fail,E0382
//! use becket_plugin::{Answered, Call, Failure};
//! fn handler(call: Call<'_>) -> Result<Answered, Failure> {
//!     call.answer(b"one");
//!     Ok(call.answer(b"two"))
//! }
//! ```
//!
//! or forgets to answer:
//!
//! ```compile_fail,E0308
//! use becket_plugin::{Answered, Call, Failure};
//! fn handler(call: Call<'_>) -> Result<Answered, Failure> {
//!     Ok(())
//! }
//! ```
//!
//! or keeps a view of the request:
//!
//! ```compile_fail,E0521
//! use becket_plugin::{Answered, Call, Failure};
//! fn handler(call: Call<'_>) -> Result<Answered, Failure> {
//!     let payload = call.payload();
//!     std::thread::spawn(move || println!("{}", payload.len()));
//!     Ok(call.answer(b""))
//! }
//! ```
//!
//! ```compile_fail,E0521
//! use becket_plugin::{Answered, Call, Failure};
//! fn handler(call: Call<'_>) -> Result<Answered, Failure> {
//!     let path = call.request().path();
//!     std::thread::spawn(move || println!("{path}"));
//!     Ok(call.answer(b""))
//! }
//! ```

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use becket_abi::{NrHeader, NrRequest, NrStatus};

use crate::error::{Failure, SendError, StateError};
use crate::host::Host;
use crate::lease::LeaseWriter;
use crate::owned::OwnedBytes;
use crate::responder::{OwnedCall, Responder};

/// What accompanies the payload. Everything is empty if the host sent no request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    raw: Option<&'a NrRequest>,
}

impl<'a> Request<'a> {
    /// False if the host sent none.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.raw.is_some()
    }

    /// The method, in upper case for HTTP.
    #[must_use]
    pub fn method(self) -> &'a str {
        // SAFETY: the host keeps the request and its views for the call, which `'a` is within.
        self.raw.map_or("", |raw| unsafe { raw.method.as_str() })
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(self) -> &'a str {
        // SAFETY: as for `method`.
        self.raw.map_or("", |raw| unsafe { raw.path.as_str() })
    }

    /// The query, without its `?`.
    #[must_use]
    pub fn query(self) -> &'a str {
        // SAFETY: as for `method`.
        self.raw.map_or("", |raw| unsafe { raw.query.as_str() })
    }

    /// The headers, in the order of the request. A value that is not UTF-8 reads as empty.
    pub fn headers(self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone {
        // SAFETY: as for `method`; the array holds `headers_len` headers.
        let headers = self.raw.and_then(|raw| unsafe { raw.headers_checked(u32::MAX) }.ok());
        headers.unwrap_or_default().iter().map(|header: &NrHeader| {
            // SAFETY: as for `method`.
            unsafe { (header.key.as_str(), header.value.as_str()) }
        })
    }

    /// The value of the first header of this name, compared without regard to ASCII case.
    #[must_use]
    pub fn header(self, name: &str) -> Option<&'a str> {
        self.headers().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("headers", &self.headers().len())
            .finish_non_exhaustive()
    }
}

/// The call itself: its id, its host, its deadline, its state.
#[derive(Debug, Clone, Copy)]
pub struct CallHandle {
    host: Host,
    sid: u64,
}

impl CallHandle {
    pub(crate) const fn new(host: Host, sid: u64) -> Self {
        Self { host, sid }
    }

    /// The host's id of the call.
    #[inline]
    #[must_use]
    pub const fn sid(&self) -> u64 {
        self.sid
    }

    /// The host.
    #[inline]
    #[must_use]
    pub const fn host(&self) -> Host {
        self.host
    }

    /// Answers the call, or ends the stream.
    #[inline]
    pub(crate) fn end(&self, status: NrStatus, body: &[u8]) -> Result<(), SendError> {
        SendError::check(self.host.send(self.sid, status, body))
    }

    /// As [`Self::end`], without a copy.
    pub(crate) fn end_owned(&self, status: NrStatus, body: OwnedBytes) -> Result<(), SendError> {
        self.host.send_owned(self.sid, status, body).map_err(|(error, _)| error)
    }

    /// True if the call has no caller any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.host.is_cancelled(self.sid)
    }

    /// The time left until the call's deadline; `None` without one.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.host.remaining(self.sid)
    }

    /// Keeps a copy of `value` under `key` until the call ends.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn state_set(&self, key: &str, value: &[u8]) -> Result<(), StateError> {
        self.host.state_set(self.sid, key, value)
    }

    /// A copy of the value under `key`, or `None`.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.host.state_get(self.sid, key)
    }
}

/// What every handler may read of its call. Borrowed: it cannot outlive the handler.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    handle: CallHandle,
    request: Request<'a>,
    payload: &'a [u8],
}

impl<'a> Context<'a> {
    #[inline]
    pub(crate) const fn new(
        handle: CallHandle,
        request: Option<&'a NrRequest>,
        payload: &'a [u8],
    ) -> Self {
        Self { handle, request: Request { raw: request }, payload }
    }

    /// The payload.
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Method, path, query and headers.
    #[inline]
    #[must_use]
    pub const fn request(&self) -> Request<'a> {
        self.request
    }

    /// A copy of everything, to keep.
    #[must_use]
    pub fn to_owned(&self) -> OwnedCall {
        OwnedCall::copy(self.handle, self.request, self.payload)
    }
}

impl Deref for Context<'_> {
    type Target = CallHandle;

    fn deref(&self) -> &CallHandle {
        &self.handle
    }
}

/// Proof that a [`Call`] was answered, refused, or will be answered [later](Call::later).
#[derive(Debug)]
#[must_use = "return it from the handler"]
pub struct Answered {
    status: NrStatus,
}

impl Answered {
    /// What `handle` returns.
    pub(crate) const fn status(&self) -> NrStatus {
        self.status
    }
}

const TAKEN: Answered = Answered { status: NrStatus::Ok };

/// A unary call: a [`Context`] and the right to one answer.
#[derive(Debug)]
pub struct Call<'a> {
    context: Context<'a>,
}

impl<'a> Call<'a> {
    #[inline]
    pub(crate) const fn new(context: Context<'a>) -> Self {
        Self { context }
    }

    /// Answers with status `Ok`. The host copies the bytes before this returns.
    ///
    /// An answer that is longer than the host takes becomes `TooLong`, with no bytes. That holds for
    /// every way to answer.
    #[inline]
    pub fn answer(self, body: &[u8]) -> Answered {
        self.answer_status(NrStatus::Ok, body)
    }

    /// Answers with a status of your own.
    #[inline]
    pub fn answer_status(self, status: NrStatus, body: &[u8]) -> Answered {
        // Whatever the host returns, the call is over: there is nothing left to do.
        let _ = self.end(status, body);
        TAKEN
    }

    /// Answers without a copy: the host reads the bytes in place and frees them.
    pub fn answer_owned(self, body: impl Into<OwnedBytes>) -> Answered {
        let _ = self.end_owned(NrStatus::Ok, body.into());
        TAKEN
    }

    /// Answers with what `write` puts into a buffer of the host, without a copy. The buffer has
    /// room for `cap` bytes or more.
    ///
    /// # Errors
    /// The host has no such buffer: a [`Failure`] that refuses the call with `Backpressure`.
    pub fn answer_in_place(
        self,
        cap: usize,
        write: impl FnOnce(&mut LeaseWriter),
    ) -> Result<Answered, Failure> {
        let Some(mut lease) = LeaseWriter::acquire(self.host(), self.sid(), cap) else {
            return Err(Failure::refused(NrStatus::Backpressure));
        };
        write(&mut lease);
        let _ = lease.commit(self.sid(), NrStatus::Ok);
        Ok(TAKEN)
    }

    /// Refuses the call: `handle` itself returns the status, and no answer is sent.
    pub fn refuse(self, status: NrStatus) -> Answered {
        Answered { status }
    }

    /// Leaves the answer for later: the [`Responder`] may go to any thread.
    pub fn later(self) -> (Responder, Answered) {
        (Responder::new(self.context.handle), TAKEN)
    }
}

impl<'a> Deref for Call<'a> {
    type Target = Context<'a>;

    fn deref(&self) -> &Context<'a> {
        &self.context
    }
}

/// Settles a handler's result: what it did not answer itself is answered here. Gives back what
/// `handle` returns.
#[inline]
pub(crate) fn settle(handle: CallHandle, result: Result<Answered, Failure>) -> NrStatus {
    match result {
        Ok(answered) => answered.status(),
        Err(failure) => settle_failure(handle, &failure),
    }
}

#[cold]
pub(crate) fn settle_failure(handle: CallHandle, failure: &Failure) -> NrStatus {
    if failure.is_silent() {
        return failure.status();
    }
    let _ = handle.end(failure.status(), failure.text().as_bytes());
    NrStatus::Ok
}
