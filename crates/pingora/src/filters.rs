// SPDX-License-Identifier: BSD-3-Clause
//! The plugins and routes of a configuration, and what a proxy calls of them.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use becket_gateway::embed::Exchange;
use becket_gateway::{Config, FileWatch, Gateway, GatewayError, ReloadReport};
use becket_host::{Host, LinkedPlugin};
use bytes::Bytes;
use http::StatusCode;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use tokio::runtime::{Handle, Runtime};

use crate::TARGET;
use crate::answer::{send, send_pieces};
use crate::error::StartError;
use crate::request::{Passing, head, read};
use crate::standin::Lender;

/// How long an idle connection to an upstream server is kept. Servers mostly keep theirs for longer, so it is this side that
/// closes.
const IDLE_KEPT: Duration = Duration::from_secs(30);

/// The plugins and routes of a configuration: see the [crate](crate)'s documentation.
///
/// Plugins are loaded once, before the server runs, and reloaded when their file changes, on threads of their own. Start it after
/// a fork: Pingora's `daemon = true` makes one, and threads do not survive it.
pub struct Filters {
    gateway: Arc<Gateway>,
    host: Host,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filters").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// Puts [`Filters`] together.
#[derive(Debug)]
pub struct Builder {
    gateway: becket_gateway::Builder,
    host: Host,
    threads: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self { gateway: Gateway::builder().embedded(), host: Host::new(), threads: 2 }
    }
}

impl Builder {
    /// Offers a plugin of this binary to configurations, as `linked = "NAME"`.
    #[must_use]
    pub fn link(mut self, name: impl Into<String>, plugin: LinkedPlugin) -> Self {
        self.gateway = self.gateway.link(name, plugin);
        self
    }

    /// Lets configurations place plugins in processes of their own. Each begins as `worker`, a program and its arguments, mostly
    /// this one, that calls [`run_worker`](crate::run_worker) before anything else.
    #[cfg(feature = "process")]
    #[must_use]
    pub fn processes(mut self, worker: Vec<std::ffi::OsString>) -> Self {
        self.gateway = self.gateway.processes(becket_gateway::process::start(worker));
        self
    }

    /// The threads that plugins run on which do not declare that they never block, reloads, and the admin listener. At least
    /// 2, which is the default.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(2);
        self
    }

    /// Loads the plugins, and waits for that.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(self, config: Config) -> std::result::Result<Filters, StartError> {
        if Handle::try_current().is_ok() {
            return Err(StartError::InRuntime);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads)
            .thread_name("becket")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let (gateway, host) = (self.gateway, self.host);
        let started = runtime.block_on(gateway.start(config, host.clone()))?;
        Ok(Filters { gateway: Arc::new(started), host, runtime: Some(runtime) })
    }
}

/// One request, from its first phase to the last.
#[derive(Debug, Default)]
pub struct Context {
    exchange: Option<Exchange>,
    lender: Option<Lender>,
}

impl Filters {
    /// Puts one together.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// [`Builder::start`] without plugins of this binary or in processes of their own.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config) -> std::result::Result<Self, StartError> {
        Self::builder().start(config)
    }

    /// What has the routes, and serves the admin listener.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What has the plugins.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Puts another configuration in force, as [`Gateway::reload`] does: requests are answered meanwhile.
    ///
    /// # Errors
    /// [`GatewayError`]: what was in force stays in force.
    pub async fn reload(&self, config: Config) -> std::result::Result<ReloadReport, GatewayError> {
        let gateway = Arc::clone(&self.gateway);
        // On the threads that outlive the caller's: a rollout goes on after this.
        let Some(runtime) = &self.runtime else { return gateway.reload(config).await };
        match runtime.spawn(async move { gateway.reload(config).await }).await {
            Ok(reloaded) => reloaded,
            Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
        }
    }

    /// Puts the configuration of a file in force again whenever the file changes, as long as these filters are there. One that is
    /// refused is logged, and what was in force stays.
    ///
    /// # Errors
    /// The file cannot be watched.
    pub fn follow(&self, path: impl Into<PathBuf>) -> io::Result<()> {
        let path = path.into();
        let watch = FileWatch::new([path.as_path()]).map_err(io::Error::other)?;
        let (Some(notice), Some(runtime)) = (watch.notice(&path), &self.runtime) else {
            return Ok(());
        };
        let gateway = Arc::clone(&self.gateway);
        runtime.spawn(async move {
            let _watch = watch;
            loop {
                notice.notified().await;
                let error = match Config::load_next(&path) {
                    Ok(config) => gateway.reload(config).await.err().map(|error| error.to_string()),
                    Err(error) => Some(error.render()),
                };
                match error {
                    None => tracing::info!(target: TARGET, "configuration reloaded"),
                    Some(error) => {
                        tracing::error!(target: TARGET, error, "the configuration in force stays");
                    }
                }
            }
        });
        Ok(())
    }

    /// The request phase: to be called in, and returned from,
    /// [`ProxyHttp::request_filter`](pingora_proxy::ProxyHttp::request_filter). `true`: the client has its answer, of a filter, a
    /// plugin's entry or files, or one that says why there is none.
    ///
    /// # Errors
    /// The answer could not be sent.
    pub async fn request_filter(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<bool> {
        let mut exchange = match self.gateway.find(head(session.req_header())).await {
            Ok(exchange) => exchange,
            Err(answer) => {
                send(session, *answer).await?;
                return Ok(true);
            }
        };
        let client = client(session);
        let mut passing = Passing::new(&mut session.downstream_session, exchange.bodies());
        let early = exchange.request_phase(&mut passing, client).await;
        let body = passing.into_body();
        if let Some(mut answer) = early {
            if let Some(phase) = exchange.take_response_phase() {
                let head = session.req_header();
                phase.run(&head.method, &head.uri, &mut answer).await;
            }
            send(session, answer).await?;
        } else if exchange.is_upstream() {
            let phase = exchange.take_response_phase();
            if body.is_some() || phase.is_some() {
                context.lender = Some(Lender::lend(session, body, phase));
            }
            context.exchange = Some(exchange);
            return Ok(false);
        } else {
            self.answer(session, &mut exchange, body, client).await?;
        }
        context.exchange = Some(exchange);
        Ok(true)
    }

    /// Answers for a plugin's entry, or files.
    async fn answer(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        body: Option<Bytes>,
        client: Option<IpAddr>,
    ) -> Result<()> {
        let body = match body {
            Some(body) => Ok(body),
            None => read(&mut session.downstream_session, &exchange.bodies()).await,
        };
        match body {
            Ok(body) => {
                let head = Box::new(session.req_header().as_owned_parts());
                let answer = exchange.answer(head, body, client).await;
                send_pieces(session, answer).await
            }
            Err(problem) => send(session, exchange.shown(problem)).await,
        }
    }

    /// A server of the request's route, for [`ProxyHttp::upstream_peer`](pingora_proxy::ProxyHttp::upstream_peer): they take turns,
    /// and those that are ejected or down are the last. `timeout_ms` of the route is also the longest pause within an answer.
    ///
    /// [`Self::fail_to_connect`], [`Self::upstream_response_filter`] and [`Self::logging`] report what became of it.
    ///
    /// # Errors
    /// The request has no such route, or no server's name is known.
    pub async fn upstream_peer(&self, context: &mut Context) -> Result<Box<HttpPeer>> {
        let no_server = || Error::explain(ErrorType::InternalError, "the route has no server");
        let exchange = context.exchange.as_mut().ok_or_else(no_server)?;
        let address = loop {
            let server = exchange.server().ok_or_else(no_server)?;
            let error = match resolve(server).await {
                Ok(address) => break address,
                Err(error) => error,
            };
            exchange.server_failed(&error);
            if !exchange.has_more_servers() {
                let what = "an upstream server's name is not known";
                return Err(Error::because(ErrorType::ConnectError, what, error).into_up());
            }
        };
        let timeouts = exchange.timeouts();
        let mut peer = Box::new(HttpPeer::new(address, false, String::new()));
        peer.options.connection_timeout = timeouts.connect;
        peer.options.read_timeout = timeouts.answer;
        peer.options.idle_timeout = Some(IDLE_KEPT);
        Ok(peer)
    }

    /// A server to which no connection was opened, for
    /// [`ProxyHttp::fail_to_connect`](pingora_proxy::ProxyHttp::fail_to_connect): it counts as a failure of the server, and the error
    /// says whether another one is tried.
    #[must_use]
    pub fn fail_to_connect(&self, mut error: Box<Error>, context: &mut Context) -> Box<Error> {
        if let Some(exchange) = &mut context.exchange {
            exchange.server_failed(&error);
            error.set_retry(exchange.has_more_servers());
        }
        error
    }

    /// The head of a server's answer, for
    /// [`ProxyHttp::upstream_response_filter`](pingora_proxy::ProxyHttp::upstream_response_filter): the server works, or cannot answer
    /// if that is a 502, 503 or 504.
    pub fn upstream_response_filter(&self, head: &ResponseHeader, context: &mut Context) {
        let is_interim =
            head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
        if let Some(exchange) = &mut context.exchange
            && !is_interim
        {
            exchange.server_answered(head.status);
        }
    }

    /// The end of a request: to be called in [`ProxyHttp::logging`](pingora_proxy::ProxyHttp::logging). Afterwards `session` is the
    /// client's own again.
    pub async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        context: &mut Context,
    ) {
        if let Some(lender) = context.lender.take() {
            if error.is_none() {
                // An answer whose end was not written. If that fails, so does the connection's next use.
                let _ = session.downstream_session.finish_body().await;
            }
            lender.restore(session);
        }
        let Some(mut exchange) = context.exchange.take() else { return };
        if let Some(error) = error
            && *error.esource() == ErrorSource::Upstream
        {
            // Nothing is reported after an answer.
            exchange.server_failed(&error);
        }
        if let Some(head) = session.response_written() {
            exchange.answered(head.status, session.body_bytes_sent());
        }
    }
}

impl Drop for Filters {
    fn drop(&mut self) {
        // It may be on a thread that serves tasks, which must not wait for others.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn client(session: &Session) -> Option<IpAddr> {
    session.client_addr()?.as_inet().map(SocketAddr::ip)
}

/// The address of `HOST:PORT`, or of `HOST` at port 80.
async fn resolve(server: &str) -> io::Result<SocketAddr> {
    if let Ok(address) = server.parse() {
        return Ok(address);
    }
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let named = if has_port { server.to_owned() } else { format!("{server}:80") };
    let mut found = tokio::net::lookup_host(named).await?;
    found.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}
