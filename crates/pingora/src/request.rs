// SPDX-License-Identifier: BSD-3-Clause
//! A request between two filters.

use becket_gateway::embed::{Bodies, Edit, FilteredRequest, Head, Pieces, Problem, TooManyHeaders};
use bytes::Bytes;
use http::Uri;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::uri::PathAndQuery;
use pingora_core::protocols::http::ServerSession;
use pingora_http::{RequestHeader, ResponseHeader};

/// Far below what a message's headers can be, and far above what clients and filters have.
const HEADERS_MAX: usize = 8192;

/// Makes the change of a filter in a head of Pingora's: requests and answers have the same functions, and no trait.
macro_rules! edit_head {
    ($head:expr, $edit:expr) => {{
        let head = $head;
        if head.headers.len() >= HEADERS_MAX {
            return Err(TooManyHeaders);
        }
        let done = match $edit {
            Edit::Set(name, value) => head.insert_header(name, value),
            Edit::Add(name, value) => head.append_header(name, value).map(|_is_more| ()),
            Edit::Remove(name) => {
                head.remove_header(&name);
                Ok(())
            }
        };
        done.map_err(|_| TooManyHeaders)
    }};
}

/// Makes the change in an answer's head.
pub(crate) fn edit_answer(head: &mut ResponseHeader, edit: Edit) -> Result<(), TooManyHeaders> {
    edit_head!(head, edit)
}

/// A request, with its body once that was read.
pub(crate) struct Passing<'a> {
    session: &'a mut ServerSession,
    bodies: Bodies,
    /// It was read whole.
    body: Option<Bytes>,
}

impl<'a> Passing<'a> {
    pub(crate) fn new(session: &'a mut ServerSession, bodies: Bodies) -> Self {
        Self { session, bodies, body: None }
    }

    /// The body, if it was read.
    pub(crate) fn into_body(self) -> Option<Bytes> {
        self.body
    }
}

impl FilteredRequest for Passing<'_> {
    fn head(&self) -> Head<'_> {
        head(self.session.req_header())
    }

    fn edit(&mut self, edit: Edit) -> Result<(), TooManyHeaders> {
        edit_head!(self.session.req_header_mut(), edit)
    }

    fn set_path(&mut self, path: PathAndQuery) {
        let head = self.session.req_header_mut();
        let mut parts = head.uri.clone().into_parts();
        parts.path_and_query = Some(path);
        // A URL that has a path has all else that one with a path needs.
        head.set_uri(Uri::from_parts(parts).unwrap_or_default());
    }

    async fn body(&mut self) -> Result<Bytes, Problem> {
        if let Some(body) = &self.body {
            return Ok(body.clone());
        }
        let body = read(self.session, &self.bodies).await?;
        Ok(self.body.insert(body).clone())
    }
}

/// What filters see of a request.
pub(crate) fn head(head: &RequestHeader) -> Head<'_> {
    Head { method: &head.method, uri: &head.uri, headers: &head.headers }
}

/// Reads a request's body whole.
pub(crate) async fn read(session: &mut ServerSession, bodies: &Bodies) -> Result<Bytes, Problem> {
    if session.is_body_done() {
        return Ok(Bytes::new());
    }
    if session.req_header_mut().remove_header(&EXPECT).is_some() {
        // An error will come up again with the next read.
        let _ = session.write_continue_response().await;
    }
    bodies.read(Arriving(session)).await
}

/// A body that a client sends.
struct Arriving<'a>(&'a mut ServerSession);

impl Pieces for Arriving<'_> {
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        self.0.read_request_body().await.map_err(|error| error.to_string()).transpose()
    }

    fn announced(&self) -> u64 {
        let read = self.0.body_bytes_read() as u64;
        let length = self.0.req_header().headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        length.unwrap_or(0).saturating_sub(read)
    }
}
