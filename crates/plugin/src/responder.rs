// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin keeps of a call after its handler returned: the right to answer it, and a copy.
#![forbid(unsafe_code)]

use std::ops::Deref;

use becket_abi::NrStatus;

use crate::call::{CallHandle, Request};
use crate::error::SendError;
use crate::owned::OwnedBytes;

/// The right to answer a call after its handler returned.
///
/// Dropped unanswered, it answers `Err`, or `Panic` while its thread panics: a caller never waits
/// for an answer that never comes. If the call was cancelled meanwhile, nothing is sent.
#[derive(Debug)]
pub struct Responder {
    handle: CallHandle,
    answered: bool,
}

impl Responder {
    pub(crate) const fn new(handle: CallHandle) -> Self {
        Self { handle, answered: false }
    }

    /// Answers with status `Ok`.
    ///
    /// # Errors
    /// [`SendError::Closed`] if no caller waits any more; [`SendError::TooLong`] if the answer is
    /// longer than the host accepts: the caller got that status instead.
    pub fn answer(self, body: &[u8]) -> Result<(), SendError> {
        self.answer_status(NrStatus::Ok, body)
    }

    /// Answers with a status of your own.
    ///
    /// # Errors
    /// As for [`Self::answer`].
    pub fn answer_status(mut self, status: NrStatus, body: &[u8]) -> Result<(), SendError> {
        self.answered = true;
        self.handle.end(status, body)
    }

    /// Answers without a copy.
    ///
    /// # Errors
    /// As for [`Self::answer`]; the bytes are freed.
    pub fn answer_owned(mut self, body: impl Into<OwnedBytes>) -> Result<(), SendError> {
        self.answered = true;
        self.handle.end_owned(NrStatus::Ok, body.into())
    }

    /// Gives up the right without an answer: for a call that is known to be cancelled.
    pub fn forget(mut self) {
        self.answered = true;
    }
}

impl Deref for Responder {
    type Target = CallHandle;

    fn deref(&self) -> &CallHandle {
        &self.handle
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if self.answered || self.is_cancelled() {
            return;
        }
        let (status, text) = dropped();
        let _ = self.handle.end(status, text);
    }
}

/// What the caller gets when the right to answer is lost.
pub(crate) fn dropped() -> (NrStatus, &'static [u8]) {
    if std::thread::panicking() {
        (NrStatus::Panic, b"the plugin panicked")
    } else {
        (NrStatus::Err, b"the plugin dropped the call unanswered")
    }
}

/// A copy of a call, for a future.
#[derive(Debug, Clone)]
pub struct OwnedCall {
    handle: CallHandle,
    has_request: bool,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
}

impl OwnedCall {
    pub(crate) fn copy(handle: CallHandle, request: Request<'_>, payload: &[u8]) -> Self {
        Self {
            handle,
            has_request: request.is_present(),
            method: request.method().to_owned(),
            path: request.path().to_owned(),
            query: request.query().to_owned(),
            headers: request.headers().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            payload: payload.to_vec(),
        }
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload, to keep.
    #[must_use]
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// False if the host sent no request.
    #[must_use]
    pub const fn has_request(&self) -> bool {
        self.has_request
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query, without its `?`.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The headers, in the order of the request.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The value of the first header of this name, compared without regard to ASCII case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Deref for OwnedCall {
    type Target = CallHandle;

    fn deref(&self) -> &CallHandle {
        &self.handle
    }
}

/// What a future answers.
#[derive(Debug)]
pub struct Reply {
    pub(crate) status: NrStatus,
    pub(crate) body: OwnedBytes,
}

impl Reply {
    /// An answer with status `Ok`.
    pub fn new(body: impl Into<OwnedBytes>) -> Self {
        Self::with_status(NrStatus::Ok, body)
    }

    /// An answer with a status of your own.
    pub fn with_status(status: NrStatus, body: impl Into<OwnedBytes>) -> Self {
        Self { status, body: body.into() }
    }
}

impl<B: Into<OwnedBytes>> From<B> for Reply {
    fn from(body: B) -> Self {
        Self::new(body)
    }
}
