// SPDX-License-Identifier: BSD-3-Clause
//! Calls and streams of a [`FakeHost`], from the caller's side.
#![forbid(unsafe_code)]

use std::fmt;

use becket_abi::{NrHeader, NrRequest, NrStatus};

use super::FakeHost;
use super::book::Inner;

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The status: of the answer, or what `handle` returned if it refused.
    pub status: NrStatus,
    /// The body; empty if refused.
    pub body: Vec<u8>,
    /// True if `handle` itself refused, without an answer.
    pub refused: bool,
}

impl Answer {
    /// The body as text; empty if it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }
}

/// One frame of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// `Ok`, or what the stream ended with.
    pub status: NrStatus,
    /// The bytes.
    pub body: Vec<u8>,
}

/// Method, path, query and headers for a call.
#[derive(Debug, Clone, Default)]
pub struct TestRequest {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
}

impl TestRequest {
    /// A request with a method and a path.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    /// With a query.
    #[must_use]
    pub fn query(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, key: &str, value: &str) -> Self {
        self.headers.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn with_raw<R>(&self, call: impl FnOnce(*const NrRequest) -> R) -> R {
        let headers: Vec<NrHeader> =
            self.headers.iter().map(|(key, value)| NrHeader::new(key, value)).collect();
        let raw = NrRequest::build(&self.method, &self.path, &self.query, &headers);
        call(&raw const raw)
    }
}

/// A call whose answer may still come.
#[must_use]
pub struct TestCall<'h> {
    host: &'h FakeHost,
    sid: u64,
    returned: NrStatus,
}

impl<'h> TestCall<'h> {
    pub(super) const fn new(host: &'h FakeHost, sid: u64, returned: NrStatus) -> Self {
        Self { host, sid, returned }
    }

    /// The host's id of it.
    #[must_use]
    pub const fn sid(&self) -> u64 {
        self.sid
    }

    /// Waits for the answer.
    ///
    /// # Panics
    /// If none has come after ten seconds.
    #[must_use]
    pub fn answer(self) -> Answer {
        if !self.returned.is_ok() {
            return Answer { status: self.returned, body: Vec::new(), refused: true };
        }
        let sid = self.sid;
        self.host.inner.wait("an answer", |book| {
            let call = book.calls.get_mut(&sid)?;
            let answer =
                |frame: Frame| Answer { status: frame.status, body: frame.body, refused: false };
            let refused = call.returned.filter(|_| call.refused);
            let refused = refused.map(|status| Answer { status, body: Vec::new(), refused: true });
            call.frames.pop_front().map(answer).or(refused)
        })
    }

    /// The answer, if it is there.
    #[must_use]
    pub fn try_answer(&self) -> Option<Answer> {
        let mut book = self.host.inner.book.lock();
        let frame = book.calls.get_mut(&self.sid)?.frames.pop_front()?;
        Some(Answer { status: frame.status, body: frame.body, refused: false })
    }

    /// Cancels the call; returns what the plugin returned.
    pub fn cancel(self) -> NrStatus {
        self.host.cancel(self.sid)
    }
}

impl fmt::Debug for TestCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCall").field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// An open stream.
#[must_use]
pub struct TestStream<'h> {
    host: &'h FakeHost,
    sid: u64,
    returned: NrStatus,
}

impl<'h> TestStream<'h> {
    pub(super) const fn new(host: &'h FakeHost, sid: u64, returned: NrStatus) -> Self {
        Self { host, sid, returned }
    }

    /// The host's id of it.
    #[must_use]
    pub const fn sid(&self) -> u64 {
        self.sid
    }

    /// What `handle` returned.
    #[must_use]
    pub const fn returned(&self) -> NrStatus {
        self.returned
    }

    /// Waits for the next frame. `None` after the terminal one, or if there will be none.
    ///
    /// If a frame was refused since the queue was last full, the plugin gets `stream_room`.
    ///
    /// # Panics
    /// If none has come after ten seconds.
    pub fn next(&self) -> Option<Frame> {
        if !self.returned.is_ok() {
            return None;
        }
        let sid = self.sid;
        let taken = self.host.inner.wait("a frame", |book| {
            let call = book.calls.get_mut(&sid)?;
            match Inner::take_frame(call) {
                Some(taken) => Some(Some(taken)),
                None if call.ended.is_some() || call.cancelled || call.refused => Some(None),
                None => None,
            }
        });
        self.tell_room(taken)
    }

    /// As [`Self::next`], but never waits: `None` also if no frame is there yet.
    pub fn try_next(&self) -> Option<Frame> {
        let taken = {
            let mut book = self.host.inner.book.lock();
            book.calls.get_mut(&self.sid).and_then(Inner::take_frame)
        };
        self.tell_room(taken)
    }

    fn tell_room(&self, taken: Option<(Frame, bool)>) -> Option<Frame> {
        let (frame, room) = taken?;
        self.host.inner.step();
        if room {
            self.host.stream_room(self.sid);
        }
        Some(frame)
    }

    /// The bodies of all frames until the end; an empty terminal frame is left out.
    ///
    /// # Panics
    /// If the stream has not ended after ten seconds.
    #[must_use]
    pub fn collect(&self) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        while let Some(frame) = self.next() {
            if !(frame.status.is_terminal() && frame.body.is_empty()) {
                bodies.push(frame.body);
            }
        }
        bodies
    }

    /// What the stream ended with.
    #[must_use]
    pub fn ended(&self) -> Option<NrStatus> {
        self.host.inner.book.lock().calls.get(&self.sid)?.ended
    }

    /// Gives the plugin a message. `Backpressure`: it did not take it.
    pub fn send(&self, data: &[u8]) -> NrStatus {
        // Set first: the plugin may call `stream_ready` before it has returned.
        self.set_data_refused(true);
        let status = self.host.stream_data(self.sid, data);
        if status != NrStatus::Backpressure {
            self.set_data_refused(false);
        }
        status
    }

    fn set_data_refused(&self, refused: bool) {
        if let Some(call) = self.host.inner.book.lock().calls.get_mut(&self.sid) {
            call.data_refused = refused;
        }
    }

    /// How often the plugin called `stream_ready`.
    #[must_use]
    pub fn ready(&self) -> u64 {
        self.host.inner.book.lock().calls.get(&self.sid).map_or(0, |call| call.ready)
    }

    /// Notifies the plugin that no more messages come; returns what it returned.
    pub fn close(&self) -> NrStatus {
        self.host.stream_close(self.sid)
    }

    /// No caller reads any more, and the plugin was not notified yet: a frame is answered `Invalid`.
    pub fn forget(&self) {
        self.host.inner.cancel(self.sid);
    }

    /// Notifies the plugin that no caller reads any more; returns what it returned.
    pub fn cancel(&self) -> NrStatus {
        self.host.cancel(self.sid)
    }
}

impl fmt::Debug for TestStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStream").field("sid", &self.sid).finish_non_exhaustive()
    }
}
