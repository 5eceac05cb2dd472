// SPDX-License-Identifier: BSD-3-Clause
//! Answers of plugins as Pingora writes them.

use becket_gateway::embed::AnswerBody;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE};
use http::response::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use pingora_core::protocols::http::date::get_cached_date;
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

/// The head of an answer with a body of so many bytes; `None`: of unknown length, and then it is sent in chunks.
pub(crate) fn head(parts: Parts, length: Option<u64>) -> Result<Box<ResponseHeader>> {
    let mut head = Box::new(ResponseHeader::from(parts));
    let has_none = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = length
        && !has_none
    {
        head.insert_header(CONTENT_LENGTH, HeaderValue::from(length))?;
    }
    if length.is_none() {
        head.insert_header(http::header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    if !head.headers.contains_key(DATE) {
        head.insert_header(DATE, get_cached_date())?;
    }
    Ok(head)
}

/// Whether a body is sent with an answer of this status to this method.
pub(crate) fn has_body(method: &Method, status: StatusCode) -> bool {
    method != Method::HEAD
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        && !status.is_informational()
}

/// Sends an answer that is there as a whole.
pub(crate) async fn send(session: &mut Session, answer: Response<Bytes>) -> Result<()> {
    let (parts, body) = answer.into_parts();
    let with_body = has_body(&session.req_header().method, parts.status) && !body.is_empty();
    let head = head(parts, Some(body.len() as u64))?;
    ends_connection(session);
    session.write_response_header(head, !with_body).await?;
    let body = with_body.then_some(body);
    session.write_response_body(body, true).await
}

/// Sends the answer of a route that leads to no server, as it comes.
pub(crate) async fn send_pieces(session: &mut Session, answer: Response<AnswerBody>) -> Result<()> {
    let (parts, mut body) = answer.into_parts();
    let with_body = has_body(&session.req_header().method, parts.status) && !body.is_empty();
    let head = head(parts, body.len())?;
    ends_connection(session);
    session.write_response_header(head, !with_body).await?;
    while with_body && let Some(piece) = body.next().await {
        let piece = piece.or_err(ErrorType::InternalError, "a plugin's answer ended early")?;
        session.write_response_body(Some(piece), false).await?;
    }
    session.write_response_body(None, true).await
}

/// What is left of the request is not read, so HTTP/1 has no next request on this connection.
fn ends_connection(session: &mut Session) {
    if !session.is_body_done() {
        session.set_keepalive(None);
    }
}
