// SPDX-License-Identifier: BSD-3-Clause
//! The placement: a plugin that nodes offer, loaded by its name.

use std::sync::Arc;
use std::time::Duration;

use async_nats::service::Info;
use async_nats::{Subject, Subscriber};
use becket_host::{EntryInfo, EntryKind, Layout, NotStarted, RemoteSpec, StartRemote, Started};
use bytes::Bytes;
use futures_lite::StreamExt as _;
use futures_lite::future::or;
use tokio::time::timeout;

use super::caller::Caller;
use super::names;
use super::offer::metadata;
use crate::connection::{Connection, Link};

/// How long a load waits for the first node, if its plugin has no `load_timeout_ms`.
const DISCOVERY: Duration = Duration::from_secs(10);
/// How long a node may take to answer what it offers, where nothing depends on it.
const ASKED: Duration = Duration::from_secs(1);

/// When a load that waits asks again: the announcement of a node may be lost, as any message.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A plugin that runs on other machines, which [`offer`](super::offer()) it: the placement `cluster`.
///
/// A load takes the list of entries from the first node that answers. If there is none yet, it waits for one, for the
/// most of the plugin's `load_timeout_ms`. A reload takes the list anew. Nodes come and go without one, and calls go to
/// those that are there.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use becket_cluster::{ClusterPlugin, Connection};
/// use becket_host::{Host, PluginSpec};
///
/// # futures_lite::future::block_on(async {
/// let connection = Connection::connect("nats://127.0.0.1:4222").await?;
/// let host = Host::new();
/// let greeter = ClusterPlugin::new(&connection, "greeter");
/// let greeter = host.load(PluginSpec::remote("greeter", Arc::new(greeter)))?;
/// let answer = greeter.call_raw("hello", b"you").await?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct ClusterPlugin {
    connection: Connection,
    plugin: String,
    waits_for_nodes: bool,
}

impl ClusterPlugin {
    /// The plugin that nodes offer by this name.
    #[must_use]
    pub fn new(connection: &Connection, plugin: impl Into<String>) -> Self {
        let (connection, plugin) = (connection.clone(), plugin.into());
        Self { connection, plugin, waits_for_nodes: true }
    }

    /// The first load succeeds without a node too, and without a server: with no list of entries, so that any name
    /// may be one. Its calls fail with `PluginFailed` then. A reload needs a node, and waits a second for one.
    #[must_use]
    pub fn without_nodes(mut self) -> Self {
        self.waits_for_nodes = false;
        self
    }

    /// The entries that the first node that answers lists.
    ///
    /// # Errors
    ///
    /// Why there are none: no node offers the plugin.
    pub async fn entries(&self) -> Result<Vec<EntryInfo>, NotStarted> {
        let (link, plugin) = (self.connection.link().clone(), self.plugin.clone());
        let found =
            self.connection.link().run(async move { find_within(ASKED, &link, &plugin).await });
        let found = found.await.unwrap_or_else(|| Err(failed("the connection has ended", None)))?;
        Ok(entries(&found))
    }
}

impl StartRemote for ClusterPlugin {
    fn placement(&self) -> &'static str {
        "cluster"
    }

    fn start(&self, spec: RemoteSpec<'_>) -> Result<Started, NotStarted> {
        let limit = match spec.limits.load_timeout_ms {
            0 => DISCOVERY,
            // The host gives the load up then, without this side's reason.
            ms => Duration::from_millis(ms - ms / 8),
        };
        let plugin = self.plugin.clone();
        let link = self.connection.link().clone();
        let may_be_absent = !self.waits_for_nodes && spec.generation == 1;
        let limit = if self.waits_for_nodes { limit } else { limit.min(ASKED) };
        let is_connected = self.connection.is_connected();
        let starting = async move {
            let found = match may_be_absent && !is_connected {
                true => Err(not_found(&plugin, Duration::ZERO)),
                false => find_within(limit, &link, &plugin).await,
            };
            let found = match found {
                Err(_) if may_be_absent => {
                    tracing::warn!(
                        target: "becket::cluster",
                        plugin,
                        "no node offers the plugin: its calls fail until one does"
                    );
                    None
                }
                found => Some(found?),
            };
            start(link, &plugin, found).await
        };
        let started = futures_lite::future::block_on(self.connection.link().run(starting));
        started.unwrap_or_else(|| Err(failed("the connection has ended", None)))
    }
}

fn failed(what: impl Into<String>, cause: Option<String>) -> NotStarted {
    NotStarted { what: what.into(), cause, hint: None }
}

fn not_found(plugin: &str, waited: Duration) -> NotStarted {
    NotStarted {
        what: format!("no node offers the plugin `{plugin}`"),
        cause: Some(format!("none answered within {waited:?}")),
        hint: Some("start a node that offers it; `nats micro ls` lists what is offered".to_owned()),
    }
}

/// As [`find`], within this time.
async fn find_within(limit: Duration, link: &Link, plugin: &str) -> Result<Info, NotStarted> {
    let found = timeout(limit, find(link, plugin)).await;
    found.unwrap_or_else(|_| Err(not_found(plugin, limit)))
}

/// The description of the plugin by the first node that answers: one that is there, or one that comes.
async fn find(link: &Link, plugin: &str) -> Result<Info, NotStarted> {
    let no_answer = |error: String| failed("the server was not asked for the plugin", Some(error));
    let client = link.client();
    let inbox = client.new_inbox();
    let mut answers =
        client.subscribe(inbox.clone()).await.map_err(|error| no_answer(error.to_string()))?;
    let offered = names::offered_subject(plugin).ok_or_else(too_long)?;
    let mut offered =
        client.subscribe(offered).await.map_err(|error| no_answer(error.to_string()))?;
    let subject = format!("$SRV.INFO.{}", names::label(plugin));
    loop {
        let asked = client.publish_with_reply(subject.clone(), inbox.clone(), Bytes::new()).await;
        asked.map_err(|error| no_answer(error.to_string()))?;
        let answered = async { Some(answer_of(plugin, &mut answers).await) };
        let again = async {
            // Closed, or not within the time.
            let _ = timeout(ASK_AGAIN, offered.next()).await;
            None
        };
        if let Some(found) = or(answered, again).await {
            return found.ok_or_else(|| no_answer("the connection has ended".to_owned()));
        }
    }
}

/// `None`: there are no more answers.
async fn answer_of(plugin: &str, answers: &mut Subscriber) -> Option<Info> {
    loop {
        let answer = answers.next().await?;
        // Without a node the server answers. Another plugin's service may have the same name, if characters of both
        // cannot be in it.
        if let Ok(info) = serde_json::from_slice::<Info>(&answer.payload)
            && info.metadata.get(metadata::PLUGIN).is_some_and(|name| name == plugin)
        {
            return Some(info);
        }
    }
}

fn too_long() -> NotStarted {
    failed("the name of the plugin is too long for a subject", None)
}

/// `None`: no node has said what the plugin is.
async fn start(link: Arc<Link>, plugin: &str, info: Option<Info>) -> Result<Started, NotStarted> {
    let entries = info.as_ref().map(entries).unwrap_or_default();
    let subject = |entry: &EntryInfo| names::entry_subject(plugin, &entry.name).map(Subject::from);
    let subjects: Option<Vec<_>> = entries.iter().map(subject).collect();
    let subjects = subjects.ok_or_else(too_long)?;
    let cancel = names::cancel_subject(plugin).ok_or_else(too_long)?.into();
    let inbox = link.client().new_inbox();
    let replies = link.client().subscribe(format!("{inbox}.*")).await;
    let replies = replies.map_err(|error| failed("no inbox", Some(error.to_string())))?;
    let of = |name| info.as_ref().and_then(|info| info.metadata.get(name));
    let is_set = |name| of(name).is_some_and(|value| value == "true");
    let version = || info.as_ref().map_or_else(|| "0".to_owned(), |info| info.version.clone());
    Ok(Started {
        name: of(metadata::NAME).cloned().unwrap_or_else(|| plugin.to_owned()),
        version: of(metadata::VERSION).cloned().unwrap_or_else(version),
        entries,
        is_complete: is_set(metadata::IS_COMPLETE),
        layout: of(metadata::LAYOUT).and_then(|name| Layout::from_name(name)),
        path: None,
        exports_state: false,
        takes_data: info.is_none() || is_set(metadata::TAKES_DATA),
        sandbox: None,
        remote: Caller::start(link, plugin, (subjects, cancel), (inbox, replies)),
    })
}

/// The entries of a plugin, in its order.
fn entries(info: &Info) -> Vec<EntryInfo> {
    let mut entries: Vec<_> = info.endpoints.iter().filter_map(entry).collect();
    entries.sort_by_key(|(place, _)| *place);
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// An endpoint's entry, and its place in the plugin's list. `None`: it is for all that are not listed.
fn entry(endpoint: &async_nats::service::endpoint::Info) -> Option<(u32, EntryInfo)> {
    let of = |name: &str| endpoint.metadata.get(name).map(String::as_str);
    let kind = match of(metadata::KIND)? {
        "unary" => EntryKind::Unary,
        "stream" => EntryKind::Stream,
        _ => EntryKind::Bidirectional,
    };
    let info = EntryInfo {
        name: of(metadata::ENTRY)?.to_owned(),
        kind,
        help: of(metadata::HELP).unwrap_or_default().to_owned(),
        never_waits: false,
    };
    Some((of(metadata::PLACE)?.parse().ok()?, info))
}
