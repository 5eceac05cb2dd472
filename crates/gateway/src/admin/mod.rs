// SPDX-License-Identifier: BSD-3-Clause
//! The admin listener: one page, metrics, health, and with the token also actions (`act`).
//!
//! | path | what it answers |
//! |---|---|
//! | `/` | the page: routes, plugins, entries, calls a second, latency, errors |
//! | `/metrics` | Prometheus text, version 0.0.4 |
//! | `/plugins` | JSON: what the page shows |
//! | `/healthz` | 200 while the process serves at all |
//! | `/readyz` | 200 while requests are accepted and some plugin takes calls, else 503 |
//!
//! # Invariants
//!
//! 1. A listener on loopback answers only requests whose host is loopback or one of `hosts`, so that DNS rebinding
//!    reads nothing: a foreign web page whose own name resolves to 127.0.0.1 is refused. So does a remote one with
//!    `hosts`, and takes addresses, too: a name is what is rebound.
//! 2. `GET` and `HEAD` change nothing. Actions are `POST`, and need the token.

mod act;
mod metrics;
mod overview;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use becket_host::PluginState;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, Response, StatusCode};

use self::act::Action;
pub use self::metrics::{Family, metric_families};
use self::overview::Overview;
use crate::actions::Actions;
use crate::config::{AdminConfig, HttpLimits, Secret};
use crate::problem::{Problem, accepts};
use crate::reload::Control;
use crate::repeats::Repeats;
use crate::serve::{Arrived, Body, Peer, Serve};
use crate::shared::Shared;
use crate::stats::Stats;

const PAGE: &str = include_str!("page.html");

/// An admin page needs few connections.
const CONNECTIONS_MAX: u32 = 64;

/// The page's own script and style, no other, and no way to be framed.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
);

/// The admin listener's requests.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    shared: Arc<Shared>,
    /// Of its own: `/metrics` counts the public listener's connections alone.
    stats: Arc<Stats>,
    limits: Arc<HttpLimits>,
    control: Arc<Control>,
    actions: Arc<Actions>,
    token: Option<Secret>,
    /// Actions without the token.
    refused: Arc<Repeats>,
    is_local: bool,
    hosts: Arc<[String]>,
    since: Instant,
}

impl Admin {
    pub(crate) fn new(
        control: Arc<Control>,
        actions: Arc<Actions>,
        config: &AdminConfig,
        addr: SocketAddr,
    ) -> Self {
        let limits = HttpLimits { connections_max: CONNECTIONS_MAX, ..HttpLimits::default() };
        Self {
            shared: Arc::clone(control.shared()),
            stats: Arc::default(),
            limits: Arc::new(limits),
            control,
            actions,
            token: config.token.clone(),
            refused: Arc::default(),
            hosts: config.hosts.clone().into(),
            is_local: addr.ip().is_loopback(),
            since: Instant::now(),
        }
    }
}

impl Serve for Admin {
    fn of(&self, _: Peer) -> Self {
        self.clone()
    }

    async fn answer(&self, request: Arrived) -> Response<Body> {
        let json = accepts(&request.head.headers, "json");
        let head = &request.head;
        let answered = match (self.check_host(head), Action::of(head.uri.path())) {
            (Err(problem), _) => Err(problem),
            // Boxed: a request of the public listener has the size of this future, too.
            (Ok(()), Some(action)) => Box::pin(self.act(action, head)).await,
            (Ok(()), None) => self.show(head),
        };
        answered.unwrap_or_else(|problem| problem.into_response(json, true))
    }

    fn error_hints(&self) -> bool {
        true
    }

    fn limits(&self) -> HttpLimits {
        (*self.limits).clone()
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }
}

impl Admin {
    fn check_host(&self, request: &Parts) -> Result<(), Problem> {
        let host = host_of(request);
        let host = host.as_deref();
        let is_named =
            host.is_some_and(|host| self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)));
        let is_known = match (self.is_local, host) {
            (true, host) => host.is_some_and(is_loopback),
            (false, _) if self.hosts.is_empty() => true,
            (false, host) => {
                host.is_some_and(|host| is_loopback(host) || host.parse::<IpAddr>().is_ok())
            }
        };
        if is_named || is_known {
            return Ok(());
        }
        let what = "this listener does not answer for this host";
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, what)
            .hint("open it by an address, such as http://127.0.0.1, or set `hosts` in [admin]"))
    }

    fn show(&self, request: &Parts) -> Result<Response<Body>, Problem> {
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this page only shows")
                .hint("use GET; an action is `POST /reload` or `POST /drain`")
                .allow(HeaderValue::from_static("GET, HEAD")));
        }
        let text = "text/plain; charset=utf-8";
        Ok(match request.uri.path() {
            "/" => {
                let mut response = page(StatusCode::OK, "text/html; charset=utf-8", PAGE);
                response.headers_mut().insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
                response
            }
            "/metrics" => page(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                metrics::render(&self.shared, self.since),
            ),
            "/plugins" => {
                let overview = Overview::of(&self.shared, self.since, self.token.is_some());
                let json = serde_json::to_string(&overview).map_err(|error| {
                    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the overview has no JSON")
                        .cause(error.to_string())
                })?;
                page(StatusCode::OK, "application/json", json)
            }
            "/healthz" => page(StatusCode::OK, text, "ok\n"),
            "/readyz" => {
                let (status, why) = readiness(&self.shared);
                page(status, text, why)
            }
            _ => {
                return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such page")
                    .hint("try /, /metrics, /plugins, /healthz or /readyz"));
            }
        })
    }
}

fn page(status: StatusCode, media: &'static str, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Ready: the gateway is not draining, and some plugin takes calls or none is configured. One bad
/// plugin does not take the others out of a load balancer.
fn readiness(shared: &Shared) -> (StatusCode, String) {
    if shared.connections.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    let plugins = shared.plugins();
    let takes_calls = |state| {
        !matches!(state, PluginState::Quarantined | PluginState::Failed | PluginState::Unloaded)
    };
    let is_ready = plugins.is_empty() || plugins.values().any(|plugin| takes_calls(plugin.state()));
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let lines = plugins.iter().map(|(name, plugin)| format!("{name} {}\n", plugin.state().name()));
    (status, lines.collect())
}

/// The host that a request is for, without its port.
fn host_of(request: &Parts) -> Option<String> {
    let authority: Authority = match request.uri.authority() {
        Some(authority) => authority.clone(),
        None => request.headers.get(HOST)?.to_str().ok()?.parse().ok()?,
    };
    Some(authority.host().trim_start_matches('[').trim_end_matches(']').to_owned())
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addressed_to(host: &str) -> bool {
        let request = http::Request::get("/").header(HOST, host).body(()).unwrap();
        host_of(&request.into_parts().0).is_some_and(|host| is_loopback(&host))
    }

    #[test]
    fn only_loopback_names_are_answered() {
        for host in ["localhost", "localhost:9900", "127.0.0.1:1", "[::1]:9900", "LOCALHOST"] {
            assert!(addressed_to(host), "{host}");
        }
        for host in ["example.org", "127.0.0.1.example.org", "10.0.0.1", "", "a b"] {
            assert!(!addressed_to(host), "{host}");
        }
    }
}
