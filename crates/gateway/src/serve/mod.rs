// SPDX-License-Identifier: BSD-3-Clause
//! From a request to an answer.
//!
//! ```text
//!  accept ──▶ connection ──▶ answer ──▶ unary     one body in, one body out
//!  (listener)  (HTTP/1, /2)  (route,  ├▶ stream    one body in, chunks or events out
//!                            filters) ├▶ ws        messages both ways
//!                                     ├▶ upstream  to another server, both bodies as they come
//!                                     └▶ files     a file out
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `accept` | the accept loop: its bound on connections, and its end |
//! | `connection` | one connection: its protocol, its drain, its idle limit |
//! | `first` | its first bytes, which tell the protocol |
//! | `socket` | TCP, with or without TLS, as one type |
//! | `peer` | the client, and what is done for its requests beside answering them |
//! | `listener` | the public and the admin listener as one type |
//! | `guard` | the socket: its activity, its stall timer, hyper's refusals completed |
//! | `answering` | what is written for requests, of all that is written to HTTP/2 |
//! | `asks` | what the headers ask of the gateway itself |
//! | `bare` | the refusals of hyper's parser, with a body |
//! | `body` | bodies in, with their limits, and bodies out |
//! | `buffer` | memory for requests' bodies, and its bound |
//! | `filters` | the filters of a route, before and after its target |
//! | `request` | from HTTP's request to the host's |
//! | `unary`, `stream`, `ws` | the three shapes of an entry |
//! | `upstream` | requests that are passed on to another server |
//! | `record` | what records a request beside the metrics |
//! | `servers` | those servers: turns and health |
//! | `connector` | connections to them |
//! | `relay` | their bodies, both ways |
//! | `tunnel` | their WebSockets |
//! | `files` | files of a folder |

pub(crate) mod accept;
mod answering;
mod asks;
mod bare;
mod body;
mod buffer;
mod connection;
mod connector;
mod files;
mod filters;
mod first;
mod guard;
mod listener;
mod peer;
mod record;
mod relay;
mod request;
mod servers;
mod socket;
mod stream;
mod tunnel;
mod unary;
mod upstream;
mod ws;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use becket_host::EntryKind;
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use parking_lot::Mutex;
use tokio::time::timeout;

pub(crate) use self::asks::Asks;
pub use self::body::Pieces;
pub(crate) use self::body::{Body, RequestBody, read_pieces};
pub(crate) use self::buffer::Budget;
pub(crate) use self::connection::Serve;
pub(crate) use self::files::Files;
pub use self::filters::HeldBody;
pub(crate) use self::filters::back;
pub(crate) use self::listener::Listener;
use self::peer::Client;
pub(crate) use self::peer::{ClientCertificate, Peer};
pub(crate) use self::record::Recorders;
pub(crate) use self::request::Arrived;
pub(crate) use self::servers::{Server, ServerStats};
pub(crate) use self::socket::Socket;
pub(crate) use self::upstream::{Upstream, check_path};
use crate::TARGET;
use crate::clients::{Seat, TooMany};
use crate::config::HttpLimits;
use crate::problem::Problem;
use crate::router::{Found, Route, Routed, Table, Target};
use crate::shared::{KeptTable, Shared};
use crate::stats::{InFlight, Refusal, Stats};

/// How long a request waits for its plugin while that is being replaced.
const HELD_MAX: Duration = Duration::from_secs(30);

/// The requests of the public listeners, as one connection sees them.
#[derive(Debug)]
pub(crate) struct Public {
    shared: Arc<Shared>,
    /// The routes that its last request used.
    kept: Mutex<Option<Arc<KeptTable>>>,
    recorders: Recorders,
    /// `None`: its requests are passed on as they are.
    client: Option<Box<Client>>,
    /// The client's.
    address: Option<IpAddr>,
    is_tls: bool,
}

impl Public {
    pub(crate) fn new(shared: Arc<Shared>, recorders: Recorders) -> Self {
        Self {
            shared,
            kept: Mutex::new(None),
            recorders,
            client: None,
            address: None,
            is_tls: false,
        }
    }

    /// For one request of another server.
    pub(crate) fn embedded(shared: Arc<Shared>, address: Option<IpAddr>) -> Self {
        Self { address, ..Self::new(shared, Recorders::default()) }
    }

    /// The routes in force.
    fn table(&self) -> Arc<KeptTable> {
        let mut kept = self.kept.lock();
        match &*kept {
            Some(kept) if self.shared.is_current(kept) => Arc::clone(kept),
            _ => Arc::clone(kept.insert(self.shared.kept())),
        }
    }
}

impl Clone for Public {
    fn clone(&self) -> Self {
        let client = self.client.clone();
        let Self { address, is_tls, .. } = *self;
        Self {
            client,
            address,
            is_tls,
            ..Self::new(Arc::clone(&self.shared), self.recorders.clone())
        }
    }
}

impl Serve for Public {
    fn limits(&self) -> HttpLimits {
        self.shared.kept().limits.clone()
    }

    fn error_hints(&self) -> bool {
        self.shared.kept().error_hints
    }

    fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    fn refresh(&self) {
        self.kept.lock().take_if(|kept| !self.shared.is_current(kept));
    }

    fn of(&self, peer: Peer) -> Self {
        let Peer { address, is_tls, .. } = peer;
        let client = Client::new(peer, self.recorders.clone(), &self.shared.kept());
        Self {
            client,
            address,
            is_tls,
            ..Self::new(Arc::clone(&self.shared), self.recorders.clone())
        }
    }

    fn seat(&self, peer: &Peer) -> Result<Option<Seat>, TooMany> {
        match peer.address {
            Some(address) => self.shared.clients.enter(address, &self.shared.kept().limits),
            None => Ok(None),
        }
    }

    async fn answer(&self, mut request: Arrived) -> Response<Body> {
        let asks = Asks::of(&request.head.headers);
        let json = asks.json;
        let mut records = match &self.client {
            None => None,
            Some(client) => match client.begin(&self.shared, &mut request.head) {
                (records, None) => records,
                (records, Some(problem)) => {
                    let response = problem.into_response(json, self.error_hints());
                    return match records {
                        None => response,
                        Some(records) => records.end(response),
                    };
                }
            },
        };
        let mut table = self.table();
        let response = loop {
            match route(&self.shared, &table, &request.head, asks) {
                Ok(Some(route)) => {
                    if let Some(records) = &mut records {
                        records.routed(route.path.as_deref());
                    }
                    break self.run(&table, &route, request, asks).await;
                }
                Ok(None) => {
                    if let Err(problem) = replaced(&self.shared, &table).await {
                        break problem.into_response(json, table.error_hints);
                    }
                    table = self.table();
                }
                Err(problem) => break problem.into_response(json, table.error_hints),
            }
        };
        match records {
            None => response,
            Some(records) => records.end(response),
        }
    }
}

impl Public {
    async fn run(
        &self,
        table: &Table,
        route: &Route,
        request: Arrived,
        asks: Asks,
    ) -> Response<Body> {
        let mut in_flight = InFlight::new(&*route.stats);
        let mut response = match route.filters.is_empty() {
            true => self
                .shape(table, route, request, asks)
                .await
                .unwrap_or_else(|problem| problem.into_response(asks.json, table.error_hints)),
            false => Box::pin(filters::answer(self, table, route, request, asks)).await,
        };
        in_flight.answer(response.status());
        tracing::debug!(
            target: TARGET,
            entry = route.target.name(),
            status = response.status().as_u16(),
            "answered"
        );
        response.body_mut().count(in_flight, &route.stats);
        response
    }

    /// The shapes that are not the usual one are boxed: every request pays for the size of this
    /// future.
    pub(crate) async fn shape(
        &self,
        table: &Table,
        route: &Route,
        request: Arrived,
        asks: Asks,
    ) -> Result<Response<Body>, Problem> {
        let entry = match &route.target {
            Target::Entry(entry) => entry,
            Target::Files(files) => {
                return Box::pin(files::answer(&self.shared, files, request)).await;
            }
            Target::Upstream(upstream) => {
                let answer = upstream::answer(self, table, route, upstream, request, asks);
                return Box::pin(answer).await;
            }
        };
        match (route.kind, asks.websocket) {
            (Some(EntryKind::Bidirectional) | None, true) => {
                Box::pin(ws::answer(&self.shared, table, route, entry, request)).await
            }
            (Some(EntryKind::Bidirectional), false) => {
                self.shared.stats.refuse(Refusal::Upgrade);
                Err(Problem::new(
                    StatusCode::UPGRADE_REQUIRED,
                    format!("entry `{}` speaks WebSocket", entry.name()),
                )
                .hint("connect with a WebSocket client over HTTP/1.1, such as `becket ws`")
                .upgrade())
            }
            (Some(_), true) => {
                self.shared.stats.refuse(Refusal::Upgrade);
                Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    format!("entry `{}` does not speak WebSocket", entry.name()),
                )
                .hint("send a plain HTTP request"))
            }
            (Some(EntryKind::Stream), false) => {
                Box::pin(stream::answer(&self.shared, table, route, entry, request, asks.events))
                    .await
            }
            (None, false) if asks.events || entry.has_streamed() => {
                Box::pin(stream::answer(&self.shared, table, route, entry, request, asks.events))
                    .await
            }
            (Some(_) | None, false) => {
                unary::answer(&self.shared, table, route, entry, request).await
            }
        }
    }
}

/// RFC 9112, section 3.2. With two `host` headers, a proxy in front may have used the other one.
#[cold]
fn wrong_host(shared: &Shared, several: bool) -> Problem {
    shared.stats.refuse(Refusal::Header);
    let (what, cause) = match several {
        true => {
            ("the request has more than one `host` header", "which of them is meant is unclear")
        }
        false => ("the request has no `host` header", "HTTP/1.1 asks for one"),
    };
    Problem::new(StatusCode::BAD_REQUEST, what).cause(cause).hint("send one `host` header")
}

/// Waits for other routes than these, for at most [`HELD_MAX`].
pub(crate) async fn replaced(shared: &Shared, table: &KeptTable) -> Result<(), Problem> {
    let waited = timeout(HELD_MAX, shared.replaced(table)).await;
    waited.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the plugin is still being replaced").retry()
    })
}

/// The request's route; `None` if its plugin is being replaced just now.
fn route<'a>(
    shared: &Shared,
    table: &'a Table,
    head: &Parts,
    asks: Asks,
) -> Result<Option<Routed<'a>>, Problem> {
    match asks.hosts {
        1 => {}
        0 if head.version != Version::HTTP_11 => {}
        hosts => return Err(wrong_host(shared, hosts > 0)),
    }
    find(shared, table, &head.method, head.uri.path())
}

/// The route of a method and path; `None` if its plugin is being replaced just now.
pub(crate) fn find<'a>(
    shared: &Shared,
    table: &'a Table,
    method: &Method,
    path: &str,
) -> Result<Option<Routed<'a>>, Problem> {
    match table.find(method, path) {
        Found::Route(route) => Ok(Some(route)),
        Found::Held => Ok(None),
        Found::WrongMethod(allowed) => {
            shared.stats.refuse(Refusal::Method);
            let hint = format!("use {}", allowed.to_str().unwrap_or_default());
            Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the route does not take this method")
                .hint(hint)
                .allow(allowed))
        }
        Found::Nothing => {
            shared.stats.refuse(Refusal::Route);
            Err(Problem::new(StatusCode::NOT_FOUND, "no route has this path")
                .maybe_hint(table.nearest(path).map(|path| format!("try {path}"))))
        }
    }
}
