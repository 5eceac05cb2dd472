// SPDX-License-Identifier: BSD-3-Clause
//! Plugins as filters and handlers of a [Pingora](https://github.com/cloudflare/pingora) proxy.
//!
//! The plugins, their configuration and the texts that filters answer are those of Becket's gateway: a filter that works
//! there works here, unchanged. Pingora accepts, talks to clients and to upstream servers; [`Filters`] calls the plugins.
//!
//! ```no_run
//! use becket_pingora::{Config, Filters, Proxy};
//! use pingora_core::server::Server;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let filters = Filters::start(Config::load("becket.toml".as_ref())?)?;
//! let mut server = Server::new(None)?;
//! server.bootstrap();
//! let mut service = pingora_proxy::http_proxy_service(&server.configuration, Proxy::new(filters));
//! service.add_tcp("127.0.0.1:8080");
//! server.add_service(service);
//! server.run_forever();
//! # }
//! ```
//!
//! # In a proxy of your own
//!
//! [`Proxy`] sends a request to the upstream servers of its route. A proxy that chooses them itself has its own
//! [`ProxyHttp`](pingora_proxy::ProxyHttp), with a [`Context`] in its `CTX`, and calls two functions of [`Filters`]:
//!
//! | in | call | what it does |
//! |---|---|---|
//! | `request_filter` | [`Filters::request_filter`] | the request phase; early answers; entries and files of plugins' routes; then the answer's way back is prepared |
//! | `logging` | [`Filters::logging`] | counts the request, and gives the client's session back to Pingora |
//!
//! One that takes the servers of the route and puts phases of its own around them calls three more, as [`Proxy`] does:
//!
//! | in | call | what it does |
//! |---|---|---|
//! | `upstream_peer` | [`Filters::upstream_peer`] | the server whose turn it is |
//! | `fail_to_connect` | [`Filters::fail_to_connect`] | counts a failure of the server; another one is tried, if there is one |
//! | `upstream_response_filter` | [`Filters::upstream_response_filter`] | counts the answer: 502, 503 and 504 are failures of the server |
//!
//! ```
//! use async_trait::async_trait;
//! use becket_pingora::{Context, Filters};
//! use pingora_core::upstreams::peer::HttpPeer;
//! use pingora_core::{Error, Result};
//! use pingora_proxy::{ProxyHttp, Session};
//!
//! struct Mine {
//!     filters: Filters,
//! }
//!
//! #[derive(Default)]
//! struct Request {
//!     becket: Context,
//!     // what else your phases hand on
//! }
//!
//! #[async_trait]
//! impl ProxyHttp for Mine {
//!     type CTX = Request;
//!
//!     fn new_ctx(&self) -> Request {
//!         Request::default()
//!     }
//!
//!     async fn request_filter(&self, session: &mut Session, ctx: &mut Request) -> Result<bool> {
//!         self.filters.request_filter(session, &mut ctx.becket).await
//!     }
//!
//!     async fn upstream_peer(&self, _: &mut Session, _: &mut Request) -> Result<Box<HttpPeer>> {
//!         Ok(Box::new(HttpPeer::new("127.0.0.1:9000", false, String::new())))
//!     }
//!
//!     async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Request) {
//!         self.filters.logging(session, error, &mut ctx.becket).await;
//!     }
//! }
//! ```
//!
//! # Why two functions are enough
//!
//! A filter's answer to a request can change its path, which decides all that follows, and a filter that reads an answer's
//! body can replace its head. In Pingora the head of the request is on its way when `request_body_filter` sees the body, the
//! head of the answer is sent when `response_body_filter` does, and that one is synchronous, so that a plugin could not be
//! awaited in it. So the request's body is read in `request_filter`, if a filter asks for it, and the answer passes through a
//! session that stands in front of the client's: there every call is asynchronous, and nothing of the answer was sent.
//!
//! ```text
//!   client ──▶ Session ──▶ request_filter ──▶ upstream_peer ──▶ upstream server
//!                 ▲         filters 1, 2, 3
//!                 │
//!               stand-in ◀── response_filter, modules ◀──────── upstream server
//!               filters 3, 2, 1
//! ```
//!
//! The stand-in is there only for a request of which a filter has a response phase, or has read the body. While it is,
//! `as_http1` and `as_http2` of the session are `None`, and its keep-alive cannot be set.
//!
//! | module | what lives there |
//! |---|---|
//! | `filters` | plugins and routes, and the two functions |
//! | `request` | a request between two filters |
//! | `standin` | the session in front of the client's |
//! | `back` | an answer on its way through filters |
//! | `answer` | answers of plugins as Pingora writes them |
//! | `proxy` | a whole proxy |
#![forbid(unsafe_code)]

mod answer;
mod back;
mod error;
mod filters;
mod proxy;
mod request;
mod standin;

pub use becket_gateway::{Config, ConfigError, Gateway, GatewayError, ReloadReport, config};

#[cfg(feature = "process")]
pub use becket_process::WorkerError;

pub use self::error::StartError;
pub use self::filters::{Builder, Context, Filters};
pub use self::proxy::Proxy;

/// The target of this crate's log events.
pub(crate) const TARGET: &str = "becket::pingora";

/// Runs a plugin, if a host started this process for one, and ends with it: `Ok(false)` in any other process. To be called
/// first in `main`, on the only thread.
///
/// # Errors
/// The worker cannot serve its host.
#[cfg(feature = "process")]
pub fn run_worker() -> Result<bool, WorkerError> {
    if std::env::var_os(becket_process::SOCKET_VARIABLE).is_none() {
        return Ok(false);
    }
    becket_process::worker::run_on_stdin().map(|()| true)
}
