// SPDX-License-Identifier: BSD-3-Clause
//! Plugins on other machines, over core NATS.
//!
//! ```text
//!   Host ── ClusterPlugin ──┐                        ┌── Offer ── Host ── plugin      node 1
//!   Host ── ClusterPlugin ──┤  nats-server, or many  ├── Offer ── Host ── plugin      node 2
//!   any NATS client ────────┘                        └── …
//! ```
//!
//! A node [`offer`]s a plugin of its host: as a NATS service, which `nats micro ls` lists, with an endpoint for
//! each entry. A host loads it by name, as [`ClusterPlugin`]; nodes of one plugin share its calls through a
//! queue group. The host's calls, streams, deadlines and quotas are those of any placement.
//!
//! # Messages
//!
//! | subject | from | what |
//! |---|---|---|
//! | `becket.plugin.PLUGIN.ENTRY` | host, or any client | a call: the payload is the body. Without a reply subject: a notification |
//! | `INBOX.SID:MS` of the host | node | the answer: the body. Of a stream: [`frames`] |
//! | `INBOX.notes` of the host | node | what is in hand, each second |
//! | `becket.cancel.PLUGIN` | host | the reply subject of a call whose caller has left: all nodes receive it |
//! | `becket.offered.PLUGIN` | node | it offers the plugin: when it begins, and after each connection |
//! | `INBOX.NUMBER` of the node | host | data, credit, the close and the end of one stream |
//! | `INBOX.notes` of the node | host | the streams that it has, each second |
//!
//! Names are percent-escaped where a subject does not allow them. A host's reply subject ends with the number of the
//! call and the milliseconds that its caller waits yet, both in hexadecimal; without a deadline nothing follows the `:`.
//! A call with such a reply subject is in the notes, a call of any other client is not. A call of a host without
//! metadata, and an answer that is `Ok`, have no headers. What is in the headers is in [`headers`]:
//!
//! | header of a call | |
//! |---|---|
//! | `Becket-Deadline-Ms` | of other clients: how long the caller waits; without it, the node's default holds |
//! | `Becket-Method`, `-Path`, `-Query` | of the request |
//! | `Becket-Header` | `NAME: VALUE`, any number of them, in order |
//! | `Becket-Stream`, `Becket-Escaped` | of hosts |
//!
//! | header of an answer | |
//! |---|---|
//! | `Becket-Status` | the status, unless it is `Ok` |
//! | `Becket-Outcome` | why there is no answer: `refused`, `late`, `busy`, `unknown-entry`, `crashed`, `failed` |
//! | `Nats-Service-Error`, `Nats-Service-Error-Code` | the same for any client, with HTTP's numbers |
//!
//! # Guarantees
//!
//! 1. **At most once.** No call is sent twice, by anything. One that fails with `PluginFailed` had no effects: no
//!    node offered the plugin. One that fails with `Crashed` may have had some.
//! 2. **No call hangs.** A node sends a note on what it has in hand, each second. A call of which a host receives
//!    nothing for 3.5 s fails as `Crashed`: its node has ended, or is cut off, or a message was lost. A node ends a
//!    stream whose host is silent for as long.
//! 3. **No frame is left out.** Frames have numbers, in both directions, and notes have the last one: a stream with
//!    a gap fails as `Crashed`.
//! 4. **Everything is bounded.** Calls and streams by the bounds of the plugin, at the host and again on the node;
//!    frames by windows of 64 and 1 MiB, in both directions; what waits for the connection by 8192 messages and
//!    64 MiB. A message longer than the server's `max_payload` (1 MiB by default) is refused with `TooLong`.
//! 5. **Nothing polls.** The seconds are counted only while something is in hand, or a load waits for a node.
//! 6. **A plugin that blocks holds its own call alone**, also if it declares that it never blocks. Calls are polled on
//!    the connection's thread, which runs no code of a plugin: [`becket_host::lend_nothing_here`].
//! 7. **A cancelled call does not run**, also if the cancellation comes first: a node keeps the last 4096.
//!
//! # Not here
//!
//! Logs, metrics and counters of a plugin stay on its node, which serves many hosts. A reload hands over no state: each
//! node has its own, and hands it over when the plugin is reloaded there.
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | `placement` | finding the nodes of a plugin; its load |
//! | `caller`, `calling` | the host's side: calls; one stream |
//! | `outbox` | what a host sends |
//! | `offer` | the node's side: services and endpoints |
//! | `node` | a node, as it answers when it is asked |
//! | `changes` | that a node offers a plugin, and that there is a connection |
//! | `serving`, `served`, `cancelled` | calls in hand; one stream; cancellations that came first |
//! | `ticks` | the seconds in which either side has something in hand |
//! | `headers`, `frames`, `names` | what is in a message |

mod caller;
mod calling;
mod cancelled;
mod changes;
mod frames;
mod headers;
mod names;
mod node;
mod offer;
mod outbox;
mod placement;
mod served;
mod serving;
mod ticks;

use std::time::Duration;

pub use self::changes::{Change, Changes};
pub(crate) use self::node::NodeStats;
pub use self::node::{EntryReport, Node};
pub use self::offer::{Offer, OfferError, offer, offer_as};
pub use self::placement::ClusterPlugin;

/// How often there are notes on what is in hand.
const NOTE_PERIOD: Duration = Duration::from_secs(1);
/// A call or stream of which nothing was heard for this long is given up.
const SILENCE_MAX: Duration = Duration::from_millis(3500);
