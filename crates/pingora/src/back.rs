// SPDX-License-Identifier: BSD-3-Clause
//! An answer on its way back: what Pingora writes, what filters make of it, what the client gets.
//!
//! ```text
//!             ┌──────────▶ Passing                    every task goes on as it comes
//!   Waiting ──┤  no body wanted
//!     ▲  │    └──────────▶ Replaced                   a filter answered; the rest is dropped
//!     │  │ a body is wanted      ▲
//!     │  └─────▶ Holding ────────┤ end of the body
//!     │             │            └▶ Passing
//!     └─────────────┘ the server failed: the answer that shows that goes through the filters
//! ```
//!
//! # Invariants
//!
//! 1. The filters of the response phase are called once, with the final answer, before any of it is sent.
//! 2. Nothing of an answer 1xx is held; after 101 everything passes.
//! 3. A held body is within the limits of the configuration. At them the answer is replaced by one that says so.

use std::future::ready;

use becket_gateway::embed::{
    Edit, FilteredResponse, HeldBody, Problem, ResponsePhase, TooManyHeaders,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use pingora_core::Result;
use pingora_core::protocols::http::HttpTask;
use pingora_http::ResponseHeader;

use crate::answer::{has_body, head};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct WayBack {
    /// `None`: no filter has one, or they were called.
    phase: Option<ResponsePhase>,
    /// Of the request that the server got.
    method: Method,
    uri: Uri,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Holding(Box<Held>),
    Passing,
    Replaced,
}

#[derive(Debug)]
struct Held {
    head: Box<ResponseHeader>,
    body: HeldBody,
}

impl WayBack {
    pub(crate) fn new(phase: Option<ResponsePhase>, method: Method, uri: Uri) -> Self {
        Self { phase, method, uri, state: State::Waiting }
    }

    /// Whether the client has its whole answer, and what follows is dropped.
    pub(crate) fn is_replaced(&self) -> bool {
        matches!(self.state, State::Replaced)
    }

    /// From one task to those that the client's session gets.
    ///
    /// # Errors
    /// The one of a task that failed while its answer was held.
    pub(crate) async fn pass(&mut self, task: HttpTask, out: &mut Vec<HttpTask>) -> Result<()> {
        match (std::mem::replace(&mut self.state, State::Passing), task) {
            (State::Replaced, _) => self.state = State::Replaced,
            (State::Passing, task) => out.push(task),
            (State::Waiting, HttpTask::Header(head, end)) => self.begin(head, end, out).await?,
            (State::Waiting, task) => {
                self.state = State::Waiting;
                out.push(task);
            }
            (State::Holding(held), task) => self.hold(held, task, out).await?,
        }
        Ok(())
    }

    async fn begin(
        &mut self,
        head: Box<ResponseHeader>,
        end: bool,
        out: &mut Vec<HttpTask>,
    ) -> Result<()> {
        let is_interim =
            head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
        if is_interim {
            self.state = State::Waiting;
            out.push(HttpTask::Header(head, end));
            return Ok(());
        }
        let wanted = self.phase.as_ref().filter(|phase| phase.wants_body());
        match wanted {
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                self.phase = None;
                out.push(HttpTask::Header(head, end));
                Ok(())
            }
            Some(phase) if !end => {
                let body = phase.hold();
                self.state = State::Holding(Box::new(Held { head, body }));
                Ok(())
            }
            Some(_) | None => {
                if let Some(head) = self.filter(head, None, out).await? {
                    out.push(HttpTask::Header(head, end));
                }
                Ok(())
            }
        }
    }

    async fn hold(
        &mut self,
        mut held: Box<Held>,
        task: HttpTask,
        out: &mut Vec<HttpTask>,
    ) -> Result<()> {
        let (piece, end, trailers) = match task {
            HttpTask::Body(piece, end) => (piece, end, None),
            HttpTask::Done => (None, true, None),
            HttpTask::Trailer(trailers) => (None, true, trailers),
            HttpTask::Failed(error) => {
                self.state = State::Waiting;
                return Err(error);
            }
            // A second head, or the bytes of another protocol: nothing that a server sends after a head.
            HttpTask::Header(..) | HttpTask::UpgradedBody(..) => (None, false, None),
        };
        if let Some(piece) = piece
            && let Err(problem) = held.body.push(piece)
        {
            let phase = self.phase.as_ref();
            return match phase.map(|phase| phase.shown(problem)) {
                // A filter that wants the body cannot be asked, and none is passed by: the failure is the answer.
                Some(shown) => self.replace(shown, out),
                None => Ok(()),
            };
        }
        if !end {
            self.state = State::Holding(held);
            return Ok(());
        }
        let Held { head, body } = *held;
        let body = body.finish();
        if let Some(head) = self.filter(head, Some(body.clone()), out).await? {
            let has_more = !body.is_empty() || trailers.is_some();
            out.push(HttpTask::Header(head, !has_more));
            if !body.is_empty() {
                out.push(HttpTask::Body(Some(body), trailers.is_none()));
            }
            if trailers.is_some() {
                out.push(HttpTask::Trailer(trailers));
            }
        }
        Ok(())
    }

    /// Calls the filters. `None`: they made another answer, which is in `out`.
    async fn filter(
        &mut self,
        head: Box<ResponseHeader>,
        body: Option<Bytes>,
        out: &mut Vec<HttpTask>,
    ) -> Result<Option<Box<ResponseHeader>>> {
        let Some(phase) = self.phase.take() else { return Ok(Some(head)) };
        let mut answering = Answering { head, body: body.unwrap_or_default(), other: None };
        phase.run(&self.method, &self.uri, &mut answering).await;
        match answering.other {
            None => Ok(Some(answering.head)),
            Some(other) => {
                self.replace(other, out)?;
                Ok(None)
            }
        }
    }

    fn replace(&mut self, other: Response<Bytes>, out: &mut Vec<HttpTask>) -> Result<()> {
        self.state = State::Replaced;
        let (parts, body) = other.into_parts();
        let with_body = has_body(&self.method, parts.status) && !body.is_empty();
        out.push(HttpTask::Header(head(parts, Some(body.len() as u64))?, !with_body));
        if with_body {
            out.push(HttpTask::Body(Some(body), true));
        }
        Ok(())
    }
}

/// An answer, between two filters.
struct Answering {
    head: Box<ResponseHeader>,
    /// Empty unless a filter gets it.
    body: Bytes,
    /// What a filter has answered in its place.
    other: Option<Response<Bytes>>,
}

impl FilteredResponse for Answering {
    fn status(&self) -> StatusCode {
        self.other.as_ref().map_or(self.head.status, Response::status)
    }

    fn headers(&self) -> &HeaderMap {
        self.other.as_ref().map_or(&self.head.headers, Response::headers)
    }

    fn edit(&mut self, edit: Edit) -> std::result::Result<(), TooManyHeaders> {
        match &mut self.other {
            Some(other) => edit.apply(other.headers_mut()),
            None => crate::request::edit_answer(&mut self.head, edit),
        }
    }

    fn body(&mut self) -> impl Future<Output = std::result::Result<Bytes, Problem>> + Send {
        let body = self.other.as_ref().map_or(&self.body, Response::body);
        ready(Ok(body.clone()))
    }

    fn replace(&mut self, other: Response<Bytes>) {
        self.other = Some(other);
    }
}
