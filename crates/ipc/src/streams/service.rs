// SPDX-License-Identifier: BSD-3-Clause
//! The services of streams and requests, and their bodies, which are JSON.
//!
//! A stream's name is the channel's, or `#` and its number.

use becket_chan::Kind;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::channels::{Channel, Channels};
use crate::dedup::Remembered;

/// The opening side sends into the channel.
pub(crate) const SEND: u16 = 1;
/// The opening side receives from the channel.
pub(crate) const RECEIVE: u16 = 2;
/// The opening side sends numbered elements into the channel: the 16 bytes of its producer precede
/// the channel's name. See [`dedup`](crate::dedup).
pub(crate) const SEND_ONCE: u16 = 3;

/// Creates a channel: [`Make`]; the answer is an [`Info`].
pub(crate) const MAKE: u16 = 1;
/// A page of channels: [`List`]; the answer is a list of [`Info`].
pub(crate) const LIST: u16 = 2;
/// Closes a channel: [`Close`].
pub(crate) const CLOSE: u16 = 3;
/// Closes a channel and removes it from the server's table: [`Close`].
pub(crate) const DESTROY: u16 = 4;
/// A report for the monitor, which defines the query and the answer.
pub(crate) const REPORT: u16 = 5;

/// The maximum number of channels in an answer to [`LIST`].
pub(crate) const PAGE_MAX: usize = 256;

/// A channel as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Info {
    /// Its number.
    pub id: u32,
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `rendezvous`, `bounded`, `conflated` or `unlimited`.
    pub kind: String,
    /// Its capacity in elements; none: unbounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<usize>,
    /// The length of each element in bytes, if it is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element_bytes: Option<u32>,
    /// Whether clients may send into it.
    pub sends: bool,
    /// Whether clients may receive from it.
    pub receives: bool,
    /// The state of the producer, for a stream of numbered elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remembered: Option<Remembered>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Make {
    #[serde(default)]
    pub(crate) name: Option<String>,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) capacity: usize,
    #[serde(default)]
    pub(crate) element_bytes: Option<u32>,
    /// An existing channel of this name suffices.
    #[serde(default)]
    pub(crate) or_open: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct List {
    #[serde(default)]
    pub(crate) after: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Close {
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

impl Info {
    pub(crate) fn of(channel: &Channel) -> Self {
        Self {
            id: channel.id(),
            name: channel.name().map(str::to_owned),
            kind: kind_name(channel.kind()).to_owned(),
            capacity: channel.capacity(),
            element_bytes: channel.element_bytes(),
            sends: channel.sender().is_some(),
            receives: channel.receiver().is_some(),
            remembered: None,
        }
    }
}

/// The kind's name in the protocol and on the command line.
#[must_use]
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Rendezvous => "rendezvous",
        Kind::Conflated => "conflated",
        Kind::Unlimited => "unlimited",
        _ => "bounded",
    }
}

/// The kind of this name.
#[must_use]
pub fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "rendezvous" => Kind::Rendezvous,
        "bounded" => Kind::Bounded,
        "conflated" => Kind::Conflated,
        "unlimited" => Kind::Unlimited,
        _ => return None,
    })
}

/// The channel that a name, or `#` and a number, refers to.
pub(crate) fn find(channels: &Channels, name: &str) -> Option<std::sync::Arc<Channel>> {
    channels.by_name(name).or_else(|| {
        let number = name.strip_prefix('#')?.parse().ok()?;
        channels.by_id(number)
    })
}

/// Serialises a body. The bodies of this module cannot fail.
pub(crate) fn encode(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}
