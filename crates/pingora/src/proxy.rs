// SPDX-License-Identifier: BSD-3-Clause
//! A proxy that does what its configuration says, and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::{ProxyHttp, Session};

use crate::filters::{Context, Filters};

/// Filters, then the upstream servers, the plugin's entry or the files of a route.
#[derive(Debug, Clone)]
pub struct Proxy {
    filters: Arc<Filters>,
}

impl Proxy {
    /// A proxy with these. An `Arc` lets the program keep a share, to reload them.
    pub fn new(filters: impl Into<Arc<Filters>>) -> Self {
        Self { filters: filters.into() }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        self.filters.request_filter(session, ctx).await
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        self.filters.upstream_peer(ctx).await
    }

    /// Another server is tried only if no connection to this one was opened: no server gets a request that another one may have
    /// begun to answer.
    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Context,
        error: Box<Error>,
    ) -> Box<Error> {
        self.filters.fail_to_connect(error, ctx)
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        self.filters.upstream_response_filter(head, ctx);
        Ok(())
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        self.filters.logging(session, error, ctx).await;
    }
}
