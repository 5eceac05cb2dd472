// SPDX-License-Identifier: BSD-3-Clause
//! From HTTP's request to the host's.

use becket_host::HttpRequest;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, StatusCode};
use hyper::body::Incoming;

use super::body::RequestBody;
use crate::problem::Problem;
use crate::shared::Shared;
use crate::stats::Refusal;

/// A request whose head was read.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Boxed: each future that it passes through would copy it.
    pub(crate) head: Box<Parts>,
    pub(crate) body: RequestBody,
}

impl From<Request<Incoming>> for Arrived {
    fn from(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        Self { head: Box::new(head), body: RequestBody::Arriving(body) }
    }
}

/// The request as the plugin sees it. A header's value that is not UTF-8 is refused: the ABI
/// carries text.
pub(super) fn to_host(
    shared: &Shared,
    head: Box<Parts>,
    body: Bytes,
) -> Result<HttpRequest, Problem> {
    HttpRequest::new(head, body).map_err(|name| {
        shared.stats.refuse(Refusal::Header);
        let what = format!("the value of header `{name}` is not UTF-8");
        Problem::new(StatusCode::BAD_REQUEST, what).hint("percent-encode it")
    })
}
