// SPDX-License-Identifier: BSD-3-Clause
//! A server that only counts, and the messages of Becket's nodes as the crate sends them.
//!
//! Every subscription, message and request below is one of the crate's; `tests/cost` does the same with the crate and a
//! real server, and compares the counts.

use std::collections::BTreeMap;

/// What a server has and has passed on: as its `/connz` and `/jsz` count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    pub(crate) subscriptions: u64,
    pub(crate) streams: u64,
    pub(crate) consumers: u64,
    /// Messages of clients.
    pub(crate) sent: u64,
    /// Messages to clients.
    pub(crate) delivered: u64,
}

impl Counts {
    /// What has been sent and delivered since.
    #[must_use]
    pub(crate) fn since(self, before: Self) -> (u64, u64) {
        (self.sent - before.sent, self.delivered - before.delivered)
    }
}

/// Subscriptions of a subject: those of no group, and the groups.
#[derive(Debug, Default)]
struct Interest {
    all: u64,
    groups: BTreeMap<&'static str, u64>,
}

/// The kinds of channels, as far as their costs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rendezvous,
    Bounded,
    Conflated,
    Unlimited,
}

/// A node: its connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Node {
    /// The client has the subscription of its answers.
    answers: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Server {
    counts: Counts,
    interests: BTreeMap<String, Interest>,
    streams: BTreeMap<String, u64>,
    consumers: BTreeMap<String, u64>,
    records: BTreeMap<String, u64>,
}

impl Server {
    #[must_use]
    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn connect(&mut self) -> Node {
        self.counts.connections += 1;
        Node::default()
    }

    fn subscribe(&mut self, subject: &str, group: Option<&'static str>) {
        self.counts.subscriptions += 1;
        let interest = self.interests.entry(subject.to_owned()).or_default();
        match group {
            None => interest.all += 1,
            Some(group) => *interest.groups.entry(group).or_default() += 1,
        }
    }

    /// A message to what is subscribed: one to each subscription, and one to each group.
    fn publish(&mut self, subject: &str) -> u64 {
        let reached = self
            .interests
            .get(subject)
            .map_or(0, |interest| interest.all + interest.groups.len() as u64);
        self.counts.sent += 1;
        self.counts.delivered += reached;
        reached
    }

    /// A message to one inbox.
    const fn answer(&mut self) {
        self.counts.sent += 1;
        self.counts.delivered += 1;
    }

    /// A request that the server itself answers.
    fn request(&mut self, node: &mut Node) {
        self.answers(node);
        self.counts.sent += 1;
        self.counts.delivered += 1;
    }

    fn answers(&mut self, node: &mut Node) {
        if !std::mem::replace(&mut node.answers, true) {
            self.counts.subscriptions += 1;
        }
    }

    /// Asks for something, and creates it if it is not there.
    fn get_or_create(&mut self, node: &mut Node, what: What, name: &str) {
        self.request(node);
        let things = match what {
            What::Stream => &mut self.streams,
            What::Consumer => &mut self.consumers,
            What::Record => &mut self.records,
        };
        let known = things.entry(name.to_owned()).or_default();
        *known += 1;
        if *known == 1 {
            match what {
                What::Stream => self.counts.streams += 1,
                What::Consumer => self.counts.consumers += 1,
                What::Record => {}
            }
            self.request(node);
        }
    }

    /// A node opens a channel, and holds both its handles.
    pub(crate) fn open(&mut self, node: &mut Node, name: &str, kind: Kind) {
        self.get_or_create(node, What::Stream, "channels");
        self.get_or_create(node, What::Record, name);
        if kind != Kind::Rendezvous {
            self.get_or_create(node, What::Stream, &format!("{kind:?}"));
            self.get_or_create(node, What::Consumer, name);
        }
        self.subscribe(&format!("{name}.gate"), None);
        // Is it closed?
        self.request(node);
        if kind == Kind::Rendezvous {
            self.subscribe(&format!("{name}.data"), Some("receivers"));
            self.subscribe(&format!("{name}.call"), None);
        }
        // Where its messages come; for a rendezvous, the offers to this process.
        self.counts.subscriptions += 1;
    }

    /// A send to a stream: the value, and the server's acknowledgement.
    pub(crate) fn send(&mut self, node: &mut Node) {
        self.request(node);
    }

    /// A receive that waited, with its acknowledgement: a pull request, the value, the acknowledgement and its
    /// confirmation, and the note that there is room.
    pub(crate) fn receive(&mut self, node: &mut Node, name: &str, kind: Kind) {
        self.counts.sent += 1;
        self.counts.delivered += 1;
        self.request(node);
        if matches!(kind, Kind::Bounded | Kind::Unlimited) {
            self.publish(&format!("{name}.room"));
        }
    }

    /// An operation had to wait on a node: it receives the notes from now on.
    pub(crate) fn listen(&mut self, name: &str) {
        self.subscribe(&format!("{name}.room"), None);
    }

    /// The first receive of a node that waits at a rendezvous: the note for senders that called before the node was there.
    pub(crate) fn first_wait(&mut self, name: &str) {
        self.publish(&format!("{name}.room"));
    }

    /// A value handed to a receive that waits.
    pub(crate) fn hand_over(&mut self, from: &mut Node, name: &str) {
        self.answers(from);
        self.publish(&format!("{name}.data"));
        self.answer();
    }

    /// A receive that waits for as long as a pull request lives, 30 s: the request, the heartbeats, and its end.
    pub(crate) const fn wait_30_s(&mut self) {
        const HEARTBEATS: u64 = 5;
        self.counts.sent += 1;
        self.counts.delivered += HEARTBEATS + 1;
    }

    /// A node offers a plugin with so many entries, all of which are listed.
    pub(crate) fn offer(&mut self, plugin: &str, entries: u64) {
        self.subscribe(&format!("{plugin}.cancel"), None);
        // What hosts send to its streams.
        self.counts.subscriptions += 1;
        for verb in ["PING", "INFO", "STATS"] {
            self.subscribe(verb, None);
            self.subscribe(&format!("{verb}.{plugin}"), None);
            // With its own id.
            self.counts.subscriptions += 1;
        }
        for entry in 0..entries {
            self.subscribe(&format!("{plugin}.{entry}"), Some("q"));
        }
        // A message to itself: the server has the subscriptions when it comes.
        self.answer();
        // To loads that wait for a node.
        self.publish(&format!("{plugin}.offered"));
    }

    /// A host loads a plugin: each node answers, and the first answer is taken. Those after it reach the host until its
    /// subscription is gone: counted as if all did.
    pub(crate) fn load(&mut self, plugin: &str) {
        let answers = self.publish(&format!("INFO.{plugin}"));
        self.counts.sent += answers;
        self.counts.delivered += answers;
        self.counts.subscriptions += 1;
    }

    /// A call and its answer.
    pub(crate) fn call(&mut self, plugin: &str, entry: u64) {
        self.publish(&format!("{plugin}.{entry}"));
        self.answer();
    }

    /// A caller leaves.
    pub(crate) fn cancel(&mut self, plugin: &str) {
        self.publish(&format!("{plugin}.cancel"));
    }

    /// A second in which hosts have so many calls in hand each, which are spread over the nodes: a note of each node
    /// for each host that has a call there.
    pub(crate) fn second_of_calls(&mut self, hosts: u64, nodes: u64, calls: u64) {
        for _ in 0..hosts * calls.min(nodes) {
            self.answer();
        }
    }
}

enum What {
    Stream,
    Consumer,
    Record,
}

/// The bytes of a value's message, without the line of the protocol: headers and payload.
#[must_use]
pub(crate) fn value_bytes(gate: &str, id: &str, payload: usize) -> usize {
    let headers = [
        ("Nats-Expected-Last-Subject-Sequence", "0"),
        ("Nats-Expected-Last-Subject-Sequence-Subject", gate),
        ("Nats-Msg-Id", id),
    ];
    let lines: usize = headers
        .iter()
        .map(|(name, value)| name.len() + ": ".len() + value.len() + "\r\n".len())
        .sum();
    "NATS/1.0\r\n".len() + lines + "\r\n".len() + payload
}
