// SPDX-License-Identifier: BSD-3-Clause
//! The tables of the page on cost.

use std::fmt::Write as _;

use crate::model::{Counts, Kind, Node, Server, value_bytes};

/// Numbers of nodes.
const NODES: [usize; 5] = [3, 10, 100, 1000, 10_000];
/// Channels of each node, in the table of many channels.
const EACH: usize = 10;
/// Entries of the plugin.
const ENTRIES: u64 = 4;
/// Calls that each host has in hand.
const CALLS: u64 = 100;

/// All tables, by their headings.
#[must_use]
pub(crate) fn tables() -> [(&'static str, String); 4] {
    [
        ("One channel on all nodes", shared()),
        ("Messages of one value", values()),
        ("Ten channels for each node", own()),
        ("One plugin, offered and called by all nodes", plugins()),
    ]
}

fn opened(server: &mut Server, nodes: usize, kind: Kind) -> Vec<Node> {
    let open = |_| {
        let mut node = server.connect();
        server.open(&mut node, "jobs", kind);
        node
    };
    (0..nodes).map(open).collect()
}

fn shared() -> String {
    let mut table = String::from(
        "| nodes | connections | subscriptions | streams | consumers | opening: sent | delivered | all wait, a second: sent | delivered |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for nodes in NODES {
        let mut server = Server::default();
        opened(&mut server, nodes, Kind::Bounded);
        let Counts { connections, subscriptions, streams, consumers, sent, delivered } =
            server.counts();
        let before = server.counts();
        (0..nodes).for_each(|_| server.wait_30_s());
        let (asked, answered) = server.counts().since(before);
        let a_second = |count: u64| count as f64 / 30.0;
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "| {nodes} | {connections} | {subscriptions} | {streams} | {consumers} | {sent} | {delivered} | {:.1} | {:.1} |",
            a_second(asked),
            a_second(answered),
        );
    }
    table
}

fn values() -> String {
    let mut table = String::from(
        "| kind | nodes | sent | delivered | the same, when all nodes have waited for room: delivered |\n\
         |---|---:|---:|---:|---:|\n",
    );
    for kind in [Kind::Rendezvous, Kind::Bounded, Kind::Conflated, Kind::Unlimited] {
        for nodes in NODES {
            let mut server = Server::default();
            let mut all = opened(&mut server, nodes, kind);
            let mut value = |server: &mut Server| {
                let before = server.counts();
                if let [from, .., to] = &mut all[..] {
                    match kind {
                        Kind::Rendezvous => server.hand_over(from, "jobs"),
                        _ => {
                            server.send(from);
                            server.receive(to, "jobs", kind);
                        }
                    }
                }
                server.counts().since(before)
            };
            let (sent, delivered) = value(&mut server);
            (0..nodes).for_each(|_| server.listen("jobs"));
            let (_, waited) = value(&mut server);
            let _ = writeln!(table, "| {kind:?} | {nodes} | {sent} | {delivered} | {waited} |");
        }
    }
    let id = format!("{}-1000", "i".repeat(22));
    let bytes = value_bytes("becket.b100.g.jobs", &id, 0);
    let _ = writeln!(table, "\nHeaders of a value of the channel `jobs`: {bytes} bytes.");
    table
}

fn own() -> String {
    let mut table = String::from(
        "| nodes | channels | connections | subscriptions | streams | consumers | raft groups with three replicas |\n\
         |---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for nodes in NODES {
        let mut server = Server::default();
        for node in 0..nodes {
            let mut connection = server.connect();
            for channel in 0..EACH {
                server.open(&mut connection, &format!("{node}-{channel}"), Kind::Bounded);
            }
        }
        let Counts { connections, subscriptions, streams, consumers, .. } = server.counts();
        let channels = nodes * EACH;
        // Each replicated stream is a group, and each of its consumers.
        let groups = streams + consumers;
        let _ = writeln!(
            table,
            "| {nodes} | {channels} | {connections} | {subscriptions} | {streams} | {consumers} | {groups} |"
        );
    }
    table
}

fn plugins() -> String {
    let mut table = String::from(
        "| nodes | subscriptions | all load: sent | delivered, at most | a call: sent | delivered | a cancelled call: delivered beside | notes a second, 100 calls each |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for nodes in NODES {
        let mut server = Server::default();
        for _ in 0..nodes {
            server.connect();
            server.offer("p", ENTRIES);
        }
        let before = server.counts();
        (0..nodes).for_each(|_| server.load("p"));
        let (loads, loaded) = server.counts().since(before);
        let before = server.counts();
        server.call("p", 0);
        let (sent, delivered) = server.counts().since(before);
        let before = server.counts();
        server.cancel("p");
        let (_, cancelled) = server.counts().since(before);
        let before = server.counts();
        server.second_of_calls(nodes as u64, nodes as u64, CALLS);
        let (notes, _) = server.counts().since(before);
        let subscriptions = server.counts().subscriptions;
        let _ = writeln!(
            table,
            "| {nodes} | {subscriptions} | {loads} | {loaded} | {sent} | {delivered} | {cancelled} | {notes} |"
        );
    }
    table
}
