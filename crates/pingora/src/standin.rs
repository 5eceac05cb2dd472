// SPDX-License-Identifier: BSD-3-Clause
//! The session in front of the client's: it has the request's body once more, and its answer goes through filters.
//!
//! Pingora asks it as it asks any session. What is not of a body or an answer it asks the client's session, which it owns.
//!
//! # Invariants
//!
//! 1. The client's session goes back to [`Lender`] when the stand-in is dropped.
//! 2. A body that was read is all in the retry buffer: Pingora sends it as it would again after a server had failed.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use becket_gateway::embed::ResponsePhase;
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use pingora_core::Result;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use crate::back::WayBack;

/// What a session without messages of its own gives for a stream of them.
type Messages = Box<dyn futures_core::Stream<Item = Result<Bytes>> + Unpin + Send + Sync>;

/// Where the client's session is once its stand-in is gone.
#[derive(Default, Clone)]
pub(crate) struct Lender(Arc<Mutex<Option<Box<ServerSession>>>>);

impl std::fmt::Debug for Lender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lender").finish_non_exhaustive()
    }
}

impl Lender {
    /// Puts a stand-in into `session`. `body` is the request's, if it was read.
    pub(crate) fn lend(
        session: &mut Session,
        body: Option<Bytes>,
        phase: Option<ResponsePhase>,
    ) -> Self {
        let lender = Self::default();
        let mut inner = take(session);
        let head = inner.req_header_mut();
        if !head.raw_path().starts_with(b"/") {
            // A target in absolute form: Pingora compares it with `host` for its own sessions alone, and the client's has
            // done so. In origin form there is nothing to compare.
            head.set_uri(head.uri.clone());
        }
        let back = WayBack::new(phase, head.method.clone(), head.uri.clone());
        let standin = StandIn { inner, body, back, lender: lender.clone() };
        *session.downstream_session = ServerSession::new_custom(Box::new(standin));
        lender
    }

    /// Puts the client's session back.
    pub(crate) fn restore(self, session: &mut Session) {
        drop(take(session));
        if let Some(inner) = self.0.lock().take() {
            session.downstream_session = inner;
        }
    }
}

/// Takes the session out. What is there instead is asked for nothing before another one takes its place.
fn take(session: &mut Session) -> Box<ServerSession> {
    mem::replace(&mut session.downstream_session, nothing())
}

fn nothing() -> Box<ServerSession> {
    Box::new(ServerSession::new_custom(Box::new(())))
}

struct StandIn {
    inner: Box<ServerSession>,
    body: Option<Bytes>,
    back: WayBack,
    lender: Lender,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let inner = mem::replace(&mut self.inner, nothing());
        *self.lender.0.lock() = Some(inner);
    }
}

impl StandIn {
    /// Whether the answer is over.
    async fn write(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut out = Vec::with_capacity(tasks.len());
        for task in tasks {
            self.back.pass(task, &mut out).await?;
        }
        if out.is_empty() {
            return Ok(self.back.is_replaced());
        }
        let is_over = self.inner.response_duplex_vec(out).await?;
        Ok(is_over || self.back.is_replaced())
    }
}

#[async_trait]
impl CustomSession for StandIn {
    // The request's body.

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        match self.body {
            Some(_) => Ok(None),
            None => self.inner.read_request_body().await,
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner.drain_request_body().await
    }

    fn is_body_done(&mut self) -> bool {
        self.body.is_some() || self.inner.is_body_done()
    }

    fn is_body_empty(&mut self) -> bool {
        match &self.body {
            Some(body) => body.is_empty(),
            None => self.inner.is_body_empty(),
        }
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        self.inner.read_body_or_idle(no_body_expected || self.body.is_some()).await
    }

    fn enable_retry_buffering(&mut self) {
        if self.body.is_none() {
            self.inner.enable_retry_buffering();
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.body.is_none() && self.inner.retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match &self.body {
            Some(body) => Some(body.clone()).filter(|body| !body.is_empty()),
            None => self.inner.get_retry_buffer(),
        }
    }

    // The answer.

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.write(vec![HttpTask::Header(head, end)]).await.map(drop)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write(vec![HttpTask::Header(Box::new(head.clone()), end)]).await.map(drop)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        let task = match self.inner.was_upgraded() {
            true => HttpTask::UpgradedBody(Some(data), end),
            false => HttpTask::Body(Some(data), end),
        };
        self.write(vec![task]).await.map(drop)
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.write(vec![HttpTask::Trailer(Some(Box::new(trailers)))]).await.map(drop)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        self.write(tasks).await
    }

    async fn finish(&mut self) -> Result<()> {
        self.write(vec![HttpTask::Done]).await.map(drop)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    // All else is the client's.

    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.inner.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.inner.shutdown().await;
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.to_h1_raw()
    }

    fn is_upgrade_req(&self) -> bool {
        self.inner.is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.inner.was_upgraded()
    }

    // Messages of custom protocols: there are none.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Messages> {
        None
    }

    fn restore_custom_message_reader(&mut self, _reader: Messages) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
