// SPDX-License-Identifier: BSD-3-Clause
//! One body in, one body out.
//!
//! A plugin that answers inside `handle` completes the whole of this in one poll.

use becket_host::{Entry, NrStatus};
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};

use super::body::{self, Body};
use super::request::{Arrived, to_host};
use crate::filter::media_type;
use crate::otlp::Child;
use crate::problem::Problem;
use crate::router::{Route, Table};
use crate::shared::Shared;
use crate::status::{of_status, problem_of_call, problem_of_status};

pub(super) async fn answer(
    shared: &Shared,
    table: &Table,
    route: &Route,
    entry: &Entry,
    request: Arrived,
) -> Result<Response<Body>, Problem> {
    let Arrived { mut head, body } = request;
    let body = body::read(shared, &table.limits, body).await?;
    route.stats.add_bytes_in(body.len());
    let mut span = Child::call(&mut head, entry);
    let mut call = entry.call(to_host(shared, head, body)?);
    if let Some(timeout) = route.timeout {
        call = call.timeout(timeout);
    }
    let answer = call.await;
    if let Some(span) = &mut span {
        span.called(answer.as_ref().map(|answer| answer.status));
    }
    let answer = answer.map_err(|error| problem_of_call(entry.name(), &error))?;
    // A plugin's own description of a failure is its answer; a panic's text stays inside.
    if answer.status == NrStatus::Panic || (!answer.status.is_ok() && answer.body.is_empty()) {
        return Err(problem_of_status(entry.name(), answer.status));
    }
    let status = of_status(answer.status);
    let media = content_type(route, &answer.body);
    let mut response = Response::new(Body::whole(answer.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The route's own, else what the bytes are: plugins answer with bytes alone.
fn content_type(route: &Route, body: &[u8]) -> HeaderValue {
    match &route.content_type {
        Some(media) => media.clone(),
        None => media_type(body),
    }
}
