// SPDX-License-Identifier: BSD-3-Clause
//! What is there: the server, the nodes and their plugins, the channels. For people; nothing here depends on it.
//!
//! How many nodes there are, nothing knows: they are asked, and those that answer before it has been silent for a
//! moment are counted. A node that is cut off in this moment is not seen.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{ClusterInfo, LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures_lite::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection::Connection;
use crate::error::OpenError;
use crate::options::Kind;
use crate::plugins::{Node, NodeStats};

/// So long after an answer there are no more.
const SILENCE: Duration = Duration::from_millis(300);
/// The first answer comes within this time, and all of them.
const ANSWERS_MAX: Duration = Duration::from_secs(3);

/// A server, as it presents itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServerReport {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The name of the servers' cluster, if it is of one.
    pub cluster: Option<String>,
    /// The addresses of the servers that clients can connect to, if they list them.
    pub addresses: Vec<String>,
    /// The longest message that it takes.
    pub message_bytes_max: usize,
    /// What is stored, as this account sees it; `None`: it has no JetStream, and no channels.
    pub jetstream: Option<JetStreamReport>,
}

/// What JetStream stores for the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JetStreamReport {
    /// Streams, those of channels among them.
    pub streams: usize,
    /// Their consumers.
    pub consumers: usize,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes in files.
    pub file_bytes: u64,
}

/// A channel, as the server has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChannelReport {
    /// Its name.
    pub name: String,
    /// `rendezvous`, `bounded`, `conflated` or `unlimited`.
    pub kind: &'static str,
    /// Its capacity in values, or for `unlimited` in bytes.
    pub capacity: Option<u64>,
    /// How many servers are to store the channel.
    pub replicas: u32,
    /// How many of them are there.
    pub replicas_online: u32,
    /// Values that are stored, those in hand included.
    pub len: u64,
    /// Values that receivers have and have not acknowledged.
    pub in_hand: u64,
    /// Requests of receivers that wait for a value.
    pub receivers_waiting: u64,
    /// Values that were delivered more than once and are still there.
    pub redelivered: u64,
    /// Whether it is closed.
    pub is_closed: bool,
}

impl Connection {
    /// The server that this connection has reached.
    ///
    /// # Errors
    ///
    /// [`OpenError::Server`]: it did not answer.
    pub async fn server(&self) -> Result<ServerReport, OpenError> {
        let context = self.link().server().clone();
        let account = self.link().run(async move { account(&context).await }).await;
        let jetstream = account.unwrap_or_else(|| Err(ended("the state of JetStream")))?;
        let info = self.link().client().server_info();
        let mut addresses = info.connect_urls;
        addresses.sort();
        Ok(ServerReport {
            name: info.server_name,
            version: info.version,
            cluster: info.cluster,
            addresses,
            message_bytes_max: info.max_payload,
            jetstream,
        })
    }

    /// The nodes that offer plugins, one for each plugin, by plugin and node.
    ///
    /// # Errors
    ///
    /// [`OpenError::Server`]: they could not be asked.
    pub async fn nodes(&self) -> Result<Vec<Node>, OpenError> {
        let client = self.link().client().clone();
        let asked = self.link().run(async move {
            let infos = gather(&client, "$SRV.INFO").await?;
            let stats: Vec<NodeStats> = gather(&client, "$SRV.STATS").await?;
            let stats: BTreeMap<_, _> =
                stats.into_iter().map(|stats| (stats.id.clone(), stats)).collect();
            let nodes = infos.into_iter().filter_map(|info| Node::new(info, &stats));
            let mut nodes: Vec<_> = nodes.collect();
            nodes.sort_by(|a, b| (&a.plugin, &a.node, &a.id).cmp(&(&b.plugin, &b.node, &b.id)));
            Ok(nodes)
        });
        asked.await.unwrap_or_else(|| Err(ended("the nodes")))
    }

    /// The channels of a namespace, by name.
    ///
    /// # Errors
    ///
    /// [`OpenError::Server`]: there is no JetStream, or it did not answer.
    pub async fn channels(&self, namespace: &str) -> Result<Vec<ChannelReport>, OpenError> {
        let (context, namespace) = (self.link().server().clone(), namespace.to_owned());
        let listed = self.link().run(async move { channels(&context, &namespace).await });
        listed.await.unwrap_or_else(|| Err(ended("the channels")))
    }
}

fn refused(what: &'static str) -> impl Fn(String) -> OpenError {
    move |cause| OpenError::Server { what, cause }
}

fn ended(what: &'static str) -> OpenError {
    refused(what)("the connection ended".into())
}

/// `None`: the server has no JetStream, or this account has none.
async fn account(context: &Context) -> Result<Option<JetStreamReport>, OpenError> {
    use async_nats::jetstream::context::AccountErrorKind as Kind;
    match context.query_account().await {
        Ok(account) => Ok(Some(JetStreamReport {
            streams: account.streams,
            consumers: account.consumers,
            memory_bytes: account.memory,
            file_bytes: account.storage,
        })),
        Err(error) if matches!(error.kind(), Kind::JetStreamUnavailable | Kind::JetStream(_)) => {
            Ok(None)
        }
        Err(error) => Err(refused("the state of JetStream")(error.to_string())),
    }
}

/// Asks all services, and takes answers until there are no more.
async fn gather<T: DeserializeOwned>(client: &Client, subject: &str) -> Result<Vec<T>, OpenError> {
    let failed = refused("the answers of nodes");
    let inbox = client.new_inbox();
    let answers = client.subscribe(inbox.clone()).await;
    let mut answers = answers.map_err(|error| failed(error.to_string()))?;
    let asked = client.publish_with_reply(subject.to_owned(), inbox, Bytes::new()).await;
    asked.map_err(|error| failed(error.to_string()))?;
    let mut found = Vec::new();
    let gathering = async {
        let mut silence = ANSWERS_MAX;
        while let Ok(Some(answer)) = tokio::time::timeout(silence, answers.next()).await {
            // No service at all.
            if answer.status.is_some() {
                break;
            }
            // Services of others may answer otherwise.
            found.extend(serde_json::from_slice(&answer.payload).ok());
            silence = SILENCE;
        }
    };
    // Timed out: those that have come.
    let _ = tokio::time::timeout(ANSWERS_MAX, gathering).await;
    Ok(found)
}

async fn channels(context: &Context, namespace: &str) -> Result<Vec<ChannelReport>, OpenError> {
    let failed = refused("its list of channels");
    let registry = match context.get_stream(format!("{namespace}-channels")).await {
        Ok(registry) => registry,
        // 10059: there is no such stream, and so no channel.
        Err(error)
            if matches!(error.kind(), GetStreamErrorKind::JetStream(error)
                if error.error_code().0 == 10059) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    let records = subjects(&registry, &format!("{namespace}.channel.*")).await?;
    let gates = subjects(&registry, &format!("{namespace}.r.g.*")).await?;
    let mut streams = BTreeMap::new();
    let mut reports = Vec::new();
    for record in records.keys() {
        let Some((_, name)) = record.rsplit_once('.') else { continue };
        let token = match registry.get_last_raw_message_by_subject(record).await {
            Ok(message) => String::from_utf8_lossy(&message.payload).into_owned(),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => continue,
            Err(error) => return Err(failed(error.to_string())),
        };
        let (base, replicas) = token.split_once("-r").unwrap_or((&token, "1"));
        let Some((kind, replicas)) = Kind::from_token(base).zip(replicas.parse().ok()) else {
            continue;
        };
        let (kind, capacity) = match kind {
            Kind::Rendezvous => ("rendezvous", None),
            Kind::Bounded { capacity } => ("bounded", Some(capacity as u64)),
            Kind::Conflated => ("conflated", None),
            Kind::Unlimited { bytes_max } => ("unlimited", Some(bytes_max)),
        };
        // Of a rendezvous the close alone is stored, with the names of all channels.
        let of_close = u32::try_from(registry.cached_info().config.num_replicas);
        let replicas = if kind == "rendezvous" { of_close.unwrap_or(replicas) } else { replicas };
        let mut report = ChannelReport {
            name: name.to_owned(),
            kind,
            capacity,
            replicas,
            replicas_online: online(&registry.cached_info().cluster),
            len: 0,
            in_hand: 0,
            receivers_waiting: 0,
            redelivered: 0,
            is_closed: gates.contains_key(&format!("{namespace}.r.g.{name}")),
        };
        if kind != "rendezvous" {
            if !streams.contains_key(&token) {
                let stream = context.get_stream(format!("{namespace}-{token}")).await;
                let stream = stream.map_err(|error| failed(error.to_string()))?;
                let held = subjects(&stream, &format!("{namespace}.{token}.>")).await?;
                streams.insert(token.clone(), (stream, held));
            }
            if let Some((stream, held)) = streams.get(&token) {
                let of = |part| held.get(&format!("{namespace}.{token}.{part}.{name}")).copied();
                report.len = of("d").unwrap_or_default();
                report.replicas_online = online(&stream.cached_info().cluster);
                // The gate of a replicated channel has more tokens.
                let gate = format!("{namespace}.{token}.g.{name}");
                let is_gate = |subject: &String| {
                    subject
                        .strip_prefix(&gate)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                report.is_closed = held.keys().any(is_gate);
                // One that is being opened in this moment has none yet.
                if let Ok(consumer) = stream.get_consumer::<pull::Config>(name).await {
                    let info = consumer.cached_info();
                    report.in_hand = info.num_ack_pending as u64;
                    report.receivers_waiting = info.num_waiting as u64;
                    report.redelivered = info.num_redelivered as u64;
                }
            }
        }
        reports.push(report);
    }
    Ok(reports)
}

/// The servers of a stream that are there: the one that answers, and those that follow it.
fn online(cluster: &Option<ClusterInfo>) -> u32 {
    let others = cluster.iter().flat_map(|cluster| &cluster.replicas);
    u32::try_from(1 + others.filter(|replica| !replica.offline).count()).unwrap_or(u32::MAX)
}

/// The subjects of a stream that match, and how many messages each has.
async fn subjects<I>(stream: &Stream<I>, filter: &str) -> Result<BTreeMap<String, u64>, OpenError> {
    let failed = refused("the subjects of a stream");
    let subjects = stream.info_with_subjects(filter).await;
    let mut subjects = subjects.map_err(|error| failed(error.to_string()))?;
    let mut found = BTreeMap::new();
    while let Some(subject) = subjects.next().await {
        let (subject, count) = subject.map_err(|error| failed(error.to_string()))?;
        found.insert(subject, count as u64);
    }
    Ok(found)
}
