// SPDX-License-Identifier: BSD-3-Clause
//! A connection to the servers: the client, its thread, and what is sent without an answer.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::str::FromStr as _;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, Message, Request, ServerAddr,
};
use becket_chan::unlimited;
use becket_host::lend_nothing_here;
use bytes::Bytes;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::channel::Channel;
use crate::engine::Engine;
use crate::error::OpenError;
use crate::limits::at_most;
use crate::logs;
use crate::names::unescape;
use crate::options::{Kind, Options};
use crate::receiver::Receiver;
use crate::request::Pool;
use crate::sender::Sender;

/// A connection to a NATS server, or to one of several. Clones share it.
///
/// It reconnects by itself, for as long as it lives; operations wait meanwhile, within their
/// limits. Thread safe.
#[derive(Clone)]
pub struct Connection {
    link: Arc<Link>,
}

/// What the handles of all channels share.
pub(crate) struct Link {
    client: Client,
    server: Context,
    /// The number of times that the connection was made.
    connects: watch::Receiver<u64>,
    /// Messages without an answer. At most one for each message that a receiver holds, and one for
    /// each waiting operation.
    outgoing: becket_chan::Sender<(String, Bytes)>,
    worker: Worker,
    requests: Pool,
}

/// The thread of a connection. Dropped, it ends once what was posted is transmitted, or after
/// [`END_TIMEOUT`]; the drop does not wait for that.
struct Worker {
    runtime: Option<Runtime>,
    transmitting: Option<JoinHandle<()>>,
}

/// The target of the connection's log events.
const TARGET: &str = "becket::cluster";

/// How long the thread of a dropped connection goes on.
const END_TIMEOUT: Duration = Duration::from_secs(2);

impl Drop for Worker {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let Some(transmitting) = self.transmitting.take() else {
            return runtime.shutdown_background();
        };
        let ending = move || {
            runtime.block_on(at_most(END_TIMEOUT, transmitting));
            runtime.shutdown_background();
        };
        // Without a thread the runtime is dropped with the closure, and so are the messages.
        if let Err(error) = thread::Builder::new().name("becket-cluster-end".into()).spawn(ending) {
            tracing::debug!(%error, "what was posted last is not transmitted");
        }
    }
}

impl Connection {
    /// Connects to a server, `nats://host:port`, or to one of several, separated by commas. The scheme
    /// `tls://` requires TLS. A URL may hold a user and a password, or a token; they are taken out of
    /// it before it is used, and appear in no log and no error.
    ///
    /// # Errors
    ///
    /// [`OpenError::BadUrl`], [`OpenError::Connect`], [`OpenError::Refused`] or [`OpenError::Thread`].
    pub async fn connect(url: &str) -> Result<Self, OpenError> {
        Self::connect_with(url, ConnectOptions::new()).await
    }

    /// Connects with the client's own options: TLS, credentials, names, delays. The event callback is
    /// replaced.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(url: &str, options: ConnectOptions) -> Result<Self, OpenError> {
        let (servers, options) = without_secrets(url, options)?;
        let names: Vec<_> =
            servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
        let subscriber = tracing::dispatcher::get_default(Clone::clone);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_start(move || {
                logs::without_secrets(&subscriber);
                // It serves all plugins that are offered over this connection.
                lend_nothing_here();
            })
            .thread_name("becket-cluster")
            .enable_all()
            .build()
            .map_err(|error| OpenError::Thread(error.to_string()))?;
        let mut worker = Worker { runtime: Some(runtime), transmitting: None };
        let (connected, connects) = watch::channel(0u64);
        let connected = Arc::new(connected);
        let options = options.event_callback(move |event| {
            let connected = connected.clone();
            async move {
                match event {
                    Event::Connected => {
                        tracing::info!(target: TARGET, "connected to the cluster");
                        connected.send_modify(|count| *count += 1);
                    }
                    Event::Disconnected => {
                        tracing::warn!(target: TARGET, "the cluster is away: connecting again");
                    }
                    Event::ServerError(error) => {
                        tracing::warn!(target: TARGET, %error, "a server of the cluster");
                    }
                    _ => {}
                }
            }
        });
        let connecting = async move {
            let client = options.connect(&servers[..]).await?;
            Ok::<_, ConnectError>((jetstream::new(client.clone()), client))
        };
        let connected = worker.run(connecting).await;
        let servers = names.join(", ");
        let cause = match connected {
            Some(Ok((server, client))) => {
                let (outgoing, messages) = unlimited();
                worker.transmitting =
                    worker.handle().map(|handle| handle.spawn(transmit(client.clone(), messages)));
                let requests = Pool::default();
                let link = Link { client, server, connects, outgoing, worker, requests };
                return Ok(Self { link: Arc::new(link) });
            }
            Some(Err(error)) => match error.kind() {
                ConnectErrorKind::Authentication
                | ConnectErrorKind::AuthorizationViolation
                | ConnectErrorKind::Tls => {
                    return Err(OpenError::Refused { servers, cause: cause_of(&error) });
                }
                _ => cause_of(&error),
            },
            None => "the thread of the connection ended".into(),
        };
        Err(OpenError::Connect { servers, cause })
    }

    /// Opens a channel, and creates what the server lacks for it. Both handles may be cloned, and
    /// dropped without an effect on the channel: it is closed by [`Sender::close`] or
    /// [`Receiver::close`] alone.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub async fn open(
        &self,
        name: &str,
        kind: Kind,
        options: Options,
    ) -> Result<(Sender, Receiver), OpenError> {
        let engine = Engine::Nats(self.link.clone());
        let channel = Channel::open(&engine, name, kind, &options).await?;
        let receiver = Receiver::new(&channel, options.window);
        Ok((Sender::new(channel), receiver))
    }
}

impl Connection {
    pub(crate) const fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.link.client.connection_state())
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// The API of streams. Its requests are made on the thread of the connection only.
    pub(crate) const fn server(&self) -> &Context {
        &self.server
    }

    pub(crate) fn connects(&self) -> watch::Receiver<u64> {
        self.connects.clone()
    }

    pub(crate) const fn requests(&self) -> &Pool {
        &self.requests
    }

    /// Publishes a message without waiting, in order with the others.
    pub(crate) fn post(&self, subject: &str, payload: Bytes) {
        // It closes with the connection's thread only.
        let _closed = self.outgoing.try_send((subject.to_owned(), payload));
    }

    /// A request whose answer may come under any subject, as a stream's messages do.
    pub(crate) fn request_message(
        &self,
        subject: &str,
        payload: Bytes,
    ) -> impl Future<Output = Result<Message, async_nats::RequestError>> + Send + use<> {
        let inbox = self.client.new_inbox();
        let request = Request::new().payload(payload).timeout(None).inbox(inbox);
        let (client, subject) = (self.client.clone(), subject.to_owned());
        async move { client.send_request(subject, request).await }
    }

    pub(crate) fn spawn(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Option<AbortHandle> {
        Some(self.worker.handle()?.spawn(future).abort_handle())
    }

    /// Runs a future on the thread of the connection. `None`: that thread has ended.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.worker.run(future).await
    }
}

impl Worker {
    fn handle(&self) -> Option<&Handle> {
        self.runtime.as_ref().map(Runtime::handle)
    }

    async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.handle()?.spawn(future).await.ok()
    }
}

/// The causes of sockets and of TLS are named; others may quote what was configured.
fn cause_of(error: &ConnectError) -> String {
    let kind = error.kind();
    match error.source() {
        Some(source) if matches!(kind, ConnectErrorKind::Tls | ConnectErrorKind::Io) => {
            format!("{kind}: {source}")
        }
        _ => kind.to_string(),
    }
}

/// Publishes what was posted. A message that the client refuses is one whose loss its receiver
/// notices: an acknowledgement, or a note.
async fn transmit(client: Client, messages: becket_chan::Receiver<(String, Bytes)>) {
    while let Ok((subject, payload)) = messages.recv().await {
        if let Err(error) = client.publish(subject, payload).await {
            tracing::debug!(%error, "a message was not published");
        }
    }
    if let Err(error) = client.flush().await {
        tracing::debug!(%error, "the last messages were not transmitted");
    }
}

/// The addresses without users, passwords and tokens, which are moved into the options: the client
/// logs the addresses.
fn without_secrets(
    url: &str,
    mut options: ConnectOptions,
) -> Result<(Vec<ServerAddr>, ConnectOptions), OpenError> {
    let mut servers = Vec::new();
    for part in url.split(',') {
        let server = ServerAddr::from_str(part.trim()).map_err(|_| OpenError::BadUrl)?;
        match (server.username(), server.password()) {
            (Some(user), Some(password)) => {
                options = options.user_and_password(decoded(user)?, decoded(password)?);
            }
            (Some(token), None) => options = options.token(decoded(token)?),
            (None, _) => {}
        }
        // Made anew of what is no secret.
        let host = server.host();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let address = format!("{}://{host}:{}", server.scheme(), server.port());
        servers.push(ServerAddr::from_str(&address).map_err(|_| OpenError::BadUrl)?);
    }
    Ok((servers, options))
}

fn decoded(text: &str) -> Result<String, OpenError> {
    unescape(text).ok_or(OpenError::BadUrl)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn options() -> ConnectOptions {
        ConnectOptions::new()
    }

    #[test]
    fn secrets_are_taken_out_of_addresses() {
        let (servers, _) = without_secrets(
            "nats://zoe:s%20cret@a:1, tls://b, nats://token@[::1]:3/token",
            options(),
        )
        .unwrap();
        let shown = format!("{servers:?}");
        let hosts: Vec<_> = servers.iter().map(|server| (server.host(), server.port())).collect();
        assert_eq!(hosts, [("a", 1), ("b", 4222), ("::1", 3)]);
        assert!(servers[1].tls_required());
        for secret in ["zoe", "cret", "token"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(decoded("s%20cret%2F").unwrap(), "s cret/");
        assert_eq!(decoded("%2"), Err(OpenError::BadUrl));
    }
}
