// SPDX-License-Identifier: BSD-3-Clause
//! The node's side: a plugin as a NATS service.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::{Service, ServiceExt as _};
use becket_host::Plugin;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout, timeout_at};

use super::changes::announce;
use super::names;
use super::outbox::round_trip;
use super::serving::Serving;
use crate::connection::{Connection, Link};

/// Names in the metadata of services and endpoints.
pub(super) mod metadata {
    /// The name that hosts load it by.
    pub(in super::super) const PLUGIN: &str = "plugin";
    /// Where it runs: the name of the connection's program.
    pub(in super::super) const NODE: &str = "node";
    /// The name that it gives itself.
    pub(in super::super) const NAME: &str = "name";
    /// Its version, as it gives it.
    pub(in super::super) const VERSION: &str = "version";
    /// The layout of its vtable; `becket`: it has a size of its own.
    pub(in super::super) const LAYOUT: &str = "layout";
    /// `true`: it has no entries that are not listed.
    pub(in super::super) const IS_COMPLETE: &str = "complete";
    /// `true`: its streams take data.
    pub(in super::super) const TAKES_DATA: &str = "takes-data";
    /// The entry of an endpoint.
    pub(in super::super) const ENTRY: &str = "entry";
    /// Its place in the plugin's list.
    pub(in super::super) const PLACE: &str = "place";
    /// `unary`, `stream` or `bidirectional`.
    pub(in super::super) const KIND: &str = "kind";
    /// One line on what it does.
    pub(in super::super) const HELP: &str = "help";
}

/// What an endpoint takes of the list's bytes beside its texts.
const ENDPOINT_BYTES: usize = 256;

/// How long the server may take to answer an offer.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(10);

/// How long the server may take to answer that it gives no more calls.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// A plugin that was not offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The name of the plugin, or of an entry, is too long for a subject.
    #[error("a name of {bytes} bytes in the plugin `{plugin}` is too long for a subject")]
    LongName {
        /// The plugin.
        plugin: String,
        /// The name's length.
        bytes: usize,
    },
    /// The list of the entries is longer than a message of the server.
    #[error(
        "the entries of the plugin `{plugin}` take about {bytes} bytes, above the {bytes_max} of a message"
    )]
    TooMuch {
        /// The plugin.
        plugin: String,
        /// About how long it is.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The server or the connection refused it.
    #[error("the plugin `{plugin}` was not offered: {cause}")]
    Server {
        /// The plugin.
        plugin: String,
        /// The cause.
        cause: String,
    },
}

/// A plugin that this process offers to others. Dropping it withdraws the plugin, and cancels what is in hand.
pub struct Offer {
    // Keeps the connection.
    link: Arc<Link>,
    service: Option<Service>,
    serving: Arc<Serving>,
    tasks: Vec<AbortHandle>,
    /// Those of the endpoints, which end when the service does.
    endpoints: Vec<JoinHandle<()>>,
}

/// Offers a plugin of this process's host to others, by its name in the host.
///
/// Its entries are those of this moment: after a reload that changed them it is to be offered again. It is
/// withdrawn before it is unloaded.
///
/// # Errors
/// [`OfferError`].
pub async fn offer(connection: &Connection, plugin: &Plugin) -> Result<Offer, OfferError> {
    offer_as(connection, plugin, plugin.name(), "").await
}

/// As [`offer`], by another name, and with a name for this node that people see: `HOST:PID`, say.
///
/// # Errors
/// [`OfferError`].
pub async fn offer_as(
    connection: &Connection,
    plugin: &Plugin,
    name: &str,
    node: &str,
) -> Result<Offer, OfferError> {
    let link = connection.link().clone();
    let names = (name.to_owned(), node.to_owned());
    let name = name.to_owned();
    // The plugin is asked on this thread, briefly: one that lists its entries and resolves names has not this one.
    let is_complete = !plugin.entries().is_empty() && plugin.entry("\u{1}").is_err();
    let (plugin, on) = (plugin.clone(), link.clone());
    let started = link.run(async move { start(on, plugin, names, is_complete).await }).await;
    let ended = || Err(OfferError::Server { plugin: name, cause: "the connection ended".into() });
    started.unwrap_or_else(ended)
}

async fn start(
    link: Arc<Link>,
    plugin: Plugin,
    (name, node): (String, String),
    is_complete: bool,
) -> Result<Offer, OfferError> {
    let refused = |cause: async_nats::Error| OfferError::Server {
        plugin: name.clone(),
        cause: cause.to_string(),
    };
    let long = |text: &str| OfferError::LongName { plugin: name.clone(), bytes: text.len() };
    let client = link.client().clone();
    let entries = plugin.entries();
    let texts = entries.iter().map(|entry| 3 * entry.name.len() + entry.help.len());
    let bytes = texts.map(|bytes| bytes + ENDPOINT_BYTES).sum();
    let bytes_max = client.max_payload();
    if bytes > bytes_max {
        return Err(OfferError::TooMuch { plugin: name, bytes, bytes_max });
    }

    let info = plugin.info();
    let version = version(&info.version);
    let metadata = [
        (metadata::PLUGIN, name.clone()),
        (metadata::NODE, node),
        (metadata::NAME, info.reported_name),
        (metadata::VERSION, info.version),
        (metadata::LAYOUT, info.layout.to_owned()),
        (metadata::IS_COMPLETE, is_complete.to_string()),
        (metadata::TAKES_DATA, plugin.takes_data().to_string()),
    ];
    let cancel_subject = names::cancel_subject(&name).ok_or_else(|| long(&name))?;
    let cancels = client.subscribe(cancel_subject).await.map_err(|error| refused(error.into()))?;
    let inbox = client.new_inbox();
    let inputs = client.subscribe(format!("{inbox}.*")).await;
    let inputs = inputs.map_err(|error| refused(error.into()))?;
    // The connection's thread polls its calls.
    plugin.mind_lending();
    let serving = Serving::new(plugin.clone(), client.clone(), inbox);
    let tasks = vec![
        tokio::spawn(serving.clone().take_cancels(cancels)).abort_handle(),
        tokio::spawn(serving.clone().take_inputs(inputs)).abort_handle(),
        tokio::spawn(serving.clone().watch()).abort_handle(),
    ];
    let mut offer = Offer { link, service: None, serving, tasks, endpoints: Vec::new() };

    let service = client.service_builder().description(format!("the plugin {name} of Becket"));
    let service = service.metadata(map(metadata)).start(names::label(&name), version).await;
    let service = offer.service.insert(service.map_err(refused)?);
    for (place, entry) in entries.iter().enumerate() {
        let subject = names::entry_subject(&name, &entry.name).ok_or_else(|| long(&entry.name))?;
        let label = names::label(&entry.name);
        let label = if label == entry.name { label } else { format!("{label}-{place}") };
        let metadata = [
            (metadata::ENTRY, entry.name.clone()),
            (metadata::PLACE, place.to_string()),
            (metadata::KIND, entry.kind.name().to_owned()),
            (metadata::HELP, entry.help.clone()),
        ];
        let endpoint = service.endpoint_builder().name(label).metadata(map(metadata)).add(subject);
        let endpoint = endpoint.await.map_err(refused)?;
        offer.endpoints.push(offer.serving.start(endpoint, Some(&entry.name)));
    }
    if !is_complete {
        // The server gives a call to one subscription of the queue group, whichever subject it has.
        let subject = names::entries_subject(&name).ok_or_else(|| long(&name))?;
        let endpoint = service.endpoint_builder().name("others").add(subject);
        let endpoint = endpoint.await.map_err(refused)?;
        offer.endpoints.push(offer.serving.start(endpoint, None));
    }
    // The server has the subscriptions when this returns.
    let answered = timeout(ROUND_TRIP_MAX, round_trip(&client)).await;
    answered.unwrap_or_else(|_| Err("the server does not answer".into())).map_err(refused)?;
    // For hosts that wait for a node. If it does not reach one, that asks again by itself.
    let offered = names::offered_subject(&name).ok_or_else(|| long(&name))?;
    offer.tasks.push(tokio::spawn(announce(Arc::downgrade(&offer.link), offered)).abort_handle());
    Ok(offer)
}

fn map<const N: usize>(pairs: [(&str, String); N]) -> HashMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A version that a service may have: three numbers.
fn version(text: &str) -> String {
    let is_number = |part: &str| {
        let is_short = part == "0" || !part.starts_with('0');
        is_short && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    match text.split('.').count() == 3 && text.split('.').all(is_number) {
        true => text.to_owned(),
        false => "0.0.0".to_owned(),
    }
}

impl Offer {
    /// Takes no more calls, and waits for those in hand, for this long at most. How many were cancelled then.
    ///
    /// A call that is on its way in this moment is lost: its caller sees it as crashed, 3.5 s later.
    pub async fn withdraw(mut self, drain: Duration) -> usize {
        self.close().await;
        let serving = self.serving.clone();
        // Timed out: what is left is cancelled.
        let draining = async move { timeout(drain, serving.drained()).await.is_ok() };
        self.link.run(draining).await;
        self.serving.in_hand()
    }

    /// Takes no more calls. Those in hand go on.
    pub async fn close(&mut self) {
        let Some(service) = self.service.take() else { return };
        let (endpoints, client) = (std::mem::take(&mut self.endpoints), self.link.client().clone());
        // On the connection's thread: the caller's may have no timers.
        let closing = async move {
            let until = Instant::now() + CLOSE_MAX;
            // The endpoints have what the server has sent them before this. Timed out: it is away.
            let _ = timeout_at(until, round_trip(&client)).await;
            // It cannot fail.
            let _ = service.stop().await;
            let ending = async {
                for endpoint in endpoints {
                    // It ends when it has taken what had come.
                    let _ = endpoint.await;
                }
                round_trip(&client).await
            };
            let _ = timeout_at(until, ending).await;
        };
        self.link.run(closing).await;
    }

    /// Calls and streams that this node has in hand.
    #[must_use]
    pub fn in_hand(&self) -> usize {
        self.serving.in_hand()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(service) = self.service.take() {
            self.link.spawn(async move { _ = service.stop().await });
        }
        self.tasks.iter().for_each(AbortHandle::abort);
        self.endpoints.iter().for_each(JoinHandle::abort);
        self.serving.cancel_all();
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").field("in_hand", &self.in_hand()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_three_numbers() {
        assert_eq!(version("1.20.3"), "1.20.3");
        for text in ["", "1", "1.2", "01.2.3", "1.2.x", "1.2.3.4", "1..2"] {
            assert_eq!(version(text), "0.0.0", "{text}");
        }
    }
}
