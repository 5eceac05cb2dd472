// SPDX-License-Identifier: BSD-3-Clause
//! What records a request beside the metrics: its line in the access log, and its span.

use std::net::IpAddr;
use std::sync::Arc;

use http::Response;
use http::request::Parts;

use super::body::Body;
use crate::access_log::{AccessLog, Record};
use crate::otlp::{ServerSpan, Tracer};
use crate::trace;

/// The recorders of a gateway.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorders {
    pub(crate) log: Option<Arc<AccessLog>>,
    pub(crate) tracer: Option<Arc<Tracer>>,
}

/// The records of one request; dropped, they end.
#[derive(Debug)]
pub(crate) struct Records {
    line: Option<Record>,
    span: Option<ServerSpan>,
}

impl Recorders {
    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        self.log.is_none() && self.tracer.is_none()
    }

    /// The records of a request that has just come, if there are any. It may get another `traceparent`.
    pub(super) fn begin(
        &self,
        head: &mut Parts,
        client: Option<IpAddr>,
        is_tls: bool,
        makes_traces: bool,
    ) -> Option<Box<Records>> {
        let (span, trace) = match &self.tracer {
            Some(tracer) => {
                let (span, trace) = tracer.begin(head, client, is_tls);
                (span, Some(trace))
            }
            None if makes_traces => (None, Some(trace::find_or_make(&mut head.headers))),
            None if self.log.is_some() => {
                (None, trace::find(&head.headers).map(|parent| parent.trace))
            }
            None => (None, None),
        };
        let line = self.log.as_ref().map(|log| log.record(client, trace, head));
        (line.is_some() || span.is_some()).then(|| Box::new(Records { line, span }))
    }
}

impl Records {
    /// The path of the route that the request has.
    pub(super) fn routed(&mut self, path: Option<&str>) {
        if let Some(span) = &mut self.span {
            span.routed(path);
        }
    }

    /// Lets the records of a request end with the body of its answer.
    pub(super) fn end(mut self: Box<Self>, response: Response<Body>) -> Response<Body> {
        if let Some(line) = &mut self.line {
            line.answered(response.status());
        }
        if let Some(span) = &mut self.span {
            span.answered(response.status());
        }
        response.map(|body| body.recorded(self))
    }

    /// So many bytes of the answer's body were handed over.
    pub(super) fn add_bytes(&mut self, count: usize) {
        if let Some(line) = &mut self.line {
            line.add_bytes(count);
        }
        if let Some(span) = &mut self.span {
            span.add_bytes(count);
        }
    }
}
