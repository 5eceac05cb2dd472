// SPDX-License-Identifier: BSD-3-Clause
//! The module `otlp` of a build without the feature: `[trace]` in a configuration is an error, and there are no spans.

use std::net::IpAddr;
use std::sync::Arc;

use becket_host::{CallError, Entry, NrStatus, StreamError};
use http::request::Parts;
use http::uri::Authority;
use http::{Extensions, HeaderMap, StatusCode};

use crate::config::{Complaint, TraceConfig, trace_root};
use crate::stats::Stats;
use crate::trace::TraceId;

/// There is none.
#[derive(Debug)]
pub(crate) enum Tracer {}

/// There is none.
#[derive(Debug)]
pub(crate) enum ServerSpan {}

/// There is none.
#[derive(Debug, Clone)]
pub(crate) enum Context {}

/// There is none.
#[derive(Debug)]
pub(crate) enum Child {}

/// Whether spans can be exported as the configuration says.
pub(crate) fn check(config: Option<&TraceConfig>) -> Result<(), Complaint> {
    match config {
        None => Ok(()),
        Some(_) => {
            let what = "[trace] is set, and this program exports no spans".to_owned();
            let hint = "use a build with the feature `otlp`, or remove the table";
            Err(Complaint::new(trace_root(), what, hint)
                .because("it was built without the feature `otlp`"))
        }
    }
}

impl Tracer {
    pub(crate) fn start(
        config: Option<&TraceConfig>,
        _: &Arc<Stats>,
    ) -> Result<Option<Arc<Self>>, Complaint> {
        check(config).map(|()| None)
    }

    pub(crate) fn begin(
        self: &Arc<Self>,
        _: &mut Parts,
        _: Option<IpAddr>,
        _: bool,
    ) -> (Option<ServerSpan>, TraceId) {
        match **self {}
    }

    pub(crate) async fn finish(&self) {
        match *self {}
    }
}

impl ServerSpan {
    pub(crate) fn routed(&mut self, _: Option<&str>) {
        match *self {}
    }

    pub(crate) fn answered(&mut self, _: StatusCode) {
        match *self {}
    }

    pub(crate) fn add_bytes(&mut self, _: usize) {
        match *self {}
    }
}

impl Context {
    pub(crate) fn of(_: &Extensions) -> Option<&Self> {
        None
    }
}

impl Child {
    pub(crate) fn call(_: &mut Parts, _: &Entry) -> Option<Self> {
        None
    }

    pub(crate) fn filter(_: Option<&Context>, _: &str, _: &'static str) -> Option<Self> {
        None
    }

    pub(crate) fn attempt(_: &Parts, _: &Authority, _: u32) -> Option<Self> {
        None
    }

    pub(crate) fn show(&self, _: &mut HeaderMap) {
        match *self {}
    }

    pub(crate) fn called(&mut self, _: Result<NrStatus, &CallError>) {
        match *self {}
    }

    pub(crate) fn streamed(&mut self, _: &StreamError) {
        match *self {}
    }

    pub(crate) fn result(&mut self, _: &'static str) {
        match *self {}
    }

    pub(crate) fn responded(&mut self, _: StatusCode) {
        match *self {}
    }

    pub(crate) fn failed(&mut self, _: &'static str, _: &dyn std::fmt::Display) {
        match *self {}
    }
}
