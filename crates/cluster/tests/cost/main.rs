// SPDX-License-Identifier: BSD-3-Clause
//! What the crate costs a server: the model behind the book's page on cost counts as a real server does, and the page
//! has the model's tables.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod measured;
#[path = "../../examples/cost/model.rs"]
mod model;
#[path = "../../examples/cost/tables.rs"]
mod tables;

use std::future::{Future as _, poll_fn};
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use becket_cluster::{Connection, Options, Receiver, Sender, offer};
use becket_host::{Host, PluginSpec};
use futures_lite::future::{block_on, poll_once, zip};

use crate::measured::Measured;
use crate::model::{Kind, Node, Server, value_bytes};

const PAYLOAD: &[u8] = b"12345678";

struct Nodes {
    server: Measured,
    model: Server,
    nodes: Vec<Node>,
    handles: Vec<(Sender, Receiver)>,
    kind: Kind,
}

impl Nodes {
    /// So many nodes, one after the other, open a channel.
    fn open(count: usize, kind: Kind) -> Self {
        let server = Measured::start();
        let mut all =
            Self { server, model: Server::default(), nodes: Vec::new(), handles: Vec::new(), kind };
        for _ in 0..count {
            let connection = block_on(Connection::connect(&all.server.url())).unwrap();
            let kind = match kind {
                Kind::Rendezvous => becket_cluster::Kind::Rendezvous,
                Kind::Bounded => becket_cluster::Kind::Bounded { capacity: 2 },
                Kind::Conflated => becket_cluster::Kind::Conflated,
                Kind::Unlimited => becket_cluster::Kind::Unlimited { bytes_max: 1 << 20 },
            };
            let opened = block_on(connection.open("jobs", kind, Options::default())).unwrap();
            let mut node = all.model.connect();
            all.model.open(&mut node, "jobs", all.kind);
            all.nodes.push(node);
            all.handles.push(opened);
            all.same();
        }
        all
    }

    /// The server has counted what the model has.
    fn same(&self) {
        self.server.wait_for(self.model.counts());
    }

    fn send(&mut self, from: usize) {
        block_on(self.handles[from].0.send(PAYLOAD)).unwrap();
        self.model.send(&mut self.nodes[from]);
    }

    fn receive(&mut self, to: usize) {
        assert_eq!(block_on(self.handles[to].1.recv()).unwrap(), PAYLOAD);
        self.model.receive(&mut self.nodes[to], "jobs", self.kind);
    }
}

#[test]
fn channels_in_streams_cost_what_the_model_counts() {
    for kind in [Kind::Bounded, Kind::Conflated, Kind::Unlimited] {
        for count in [1, 2, 5] {
            let mut all = Nodes::open(count, kind);
            for _ in 0..3 {
                all.send(0);
                all.same();
                all.receive(count - 1);
                all.same();
            }
        }
    }
}

/// Notes reach the nodes that have waited, and no others.
#[test]
fn a_full_channel_costs_what_the_model_counts() {
    let mut all = Nodes::open(3, Kind::Bounded);
    all.send(0);
    all.send(0);
    all.same();
    let (sender, receiver) = (all.handles[1].0.clone(), all.handles[2].1.clone());
    let mut waiting = Box::pin(sender.send(PAYLOAD).timeout(Duration::from_secs(60)));
    // The first attempt, and one after the notes are received; each is refused.
    all.model.listen("jobs");
    all.model.send(&mut all.nodes[1]);
    all.model.send(&mut all.nodes[1]);
    while !all.server.has(all.model.counts()) {
        assert!(block_on(poll_once(&mut waiting)).is_none());
    }
    let (sent, received) = block_on(zip(waiting, receiver.recv()));
    sent.unwrap();
    assert_eq!(received.unwrap(), PAYLOAD);
    all.model.receive(&mut all.nodes[2], "jobs", Kind::Bounded);
    all.model.send(&mut all.nodes[1]);
    all.same();
    all.receive(2);
    all.same();
}

#[test]
fn a_rendezvous_costs_what_the_model_counts() {
    for count in [1, 3] {
        let mut all = Nodes::open(count, Kind::Rendezvous);
        (0..count).for_each(|_| all.model.first_wait("jobs"));
        for _ in 0..3 {
            let sender = all.handles[0].0.clone();
            // The server gives the offer to any node of the group: a receive waits on each.
            let mut receives: Vec<_> =
                all.handles.iter().map(|(_, receiver)| Box::pin(receiver.recv())).collect();
            let mut received = Box::pin(poll_fn(|context| {
                let mut polled = receives.iter_mut().map(|receive| receive.as_mut().poll(context));
                polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
            }));
            assert!(block_on(poll_once(&mut received)).is_none());
            let (sent, received) = block_on(zip(sender.send(PAYLOAD), received));
            sent.unwrap();
            assert_eq!(received.unwrap(), PAYLOAD);
            all.model.hand_over(&mut all.nodes[0], "jobs");
            all.same();
        }
    }
}

#[test]
fn the_bytes_of_a_value_are_those_of_the_model() {
    let mut all = Nodes::open(1, Kind::Bounded);
    let before = all.server.bytes_in();
    let id = "i".repeat(7);
    block_on(all.handles[0].0.send_with_id(PAYLOAD, &id)).unwrap();
    all.model.send(&mut all.nodes[0]);
    all.same();
    let expected = value_bytes("becket.b2.g.jobs", &format!("jobs.{id}"), PAYLOAD.len());
    assert_eq!(all.server.bytes_in() - before, expected as u64);
}

#[test]
fn plugins_cost_what_the_model_counts() {
    let server = Measured::start();
    let mut model = Server::default();
    let host = Host::new();
    let plugin = host.load(PluginSpec::linked("sample", becket_sample::PLUGIN)).unwrap();
    let mut offers = Vec::new();
    for _ in 0..3 {
        let connection = block_on(Connection::connect(&server.url())).unwrap();
        offers.push(block_on(offer(&connection, &plugin)).unwrap());
        model.connect();
        model.offer("sample", plugin.entries().len() as u64);
        server.wait_for(model.counts());
    }
}

#[test]
fn the_page_has_the_models_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/cluster/cost.md");
    let page = std::fs::read_to_string(path).unwrap();
    for (heading, table) in tables::tables() {
        let section = format!("### {heading}\n\n{table}");
        assert!(
            page.contains(&section),
            "the page on cost lacks this; `cargo run -p becket-cluster --example cost` prints it:\n{section}"
        );
    }
}
