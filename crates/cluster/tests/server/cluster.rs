// SPDX-License-Identifier: BSD-3-Clause
//! Three servers as a cluster.
//!
//! Each server reaches each other one through a [`Proxy`] of its own, and by no other way: they
//! advertise an address on which nothing listens. So a server can be cut off from the others while its
//! clients still reach it.

use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{self, Context};
use becket_cluster::Connection;
use futures_lite::future::block_on;
use tokio::runtime::{Builder, Runtime};

use super::Server;
use super::proxy::Proxy;

pub const NODES: usize = 3;

/// Long enough for a cluster to choose its leaders on a busy machine.
const FORM_TIMEOUT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);

/// Three servers. They are killed with this value, or with this program.
pub struct Cluster {
    pub servers: Vec<Server>,
    /// From a server to another one.
    wires: Vec<(usize, usize, Proxy)>,
    runtime: Runtime,
}

impl Cluster {
    /// Starts three servers, and waits until they replicate a stream.
    pub fn start() -> Self {
        let pairs = (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
        let wires: Vec<_> = pairs
            .filter(|(from, to)| from != to)
            .map(|(from, to)| (from, to, Proxy::start(0)))
            .collect();
        let config = |node: usize| {
            let of_node = wires.iter().filter(|(from, ..)| *from == node);
            let routes: Vec<_> = of_node.map(|(.., wire)| format!("\"{}\"", wire.url())).collect();
            let routes = routes.join(", ");
            format!(
                "server_name: n{node}\ncluster {{ name: three, host: 127.0.0.1, port: -1, pool_size: -1, \
                 cluster_advertise: \"127.0.0.1:1\", no_advertise: true, routes: [{routes}] }}"
            )
        };
        let servers: Vec<_> = (0..NODES).map(|node| Server::start_with(&config(node))).collect();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let cluster = Self { servers, wires, runtime };
        (0..NODES).for_each(|node| cluster.connect_wires(node));
        cluster.wait_for_replication();
        cluster
    }

    fn connect_wires(&self, node: usize) {
        for (_, _, wire) in self.wires.iter().filter(|(_, to, _)| *to == node) {
            wire.lead_to(self.servers[node].route_port.unwrap());
        }
    }

    /// The addresses of all.
    pub fn url(&self) -> String {
        self.servers.iter().map(Server::url).collect::<Vec<_>>().join(",")
    }

    pub fn connect(&self) -> Connection {
        block_on(Connection::connect(&self.url())).unwrap()
    }

    /// The server that leads a stream now.
    pub fn leader(&self, stream: &str) -> usize {
        self.ask(async |server| {
            let stream = server.get_stream(stream).await.ok()?;
            let leader = stream.cached_info().cluster.as_ref()?.leader.clone()?;
            leader.strip_prefix('n')?.parse().ok()
        })
    }

    /// Waits until a stream, and its copies on all servers, have the same messages.
    pub fn wait_for_copies(&self, stream: &str) {
        self.ask(async |server| {
            let stream = server.get_stream(stream).await.ok()?;
            let cluster = stream.cached_info().cluster.clone()?;
            let is_current = cluster.replicas.iter().all(|replica| replica.current);
            (cluster.replicas.len() == NODES - 1 && is_current).then_some(())
        });
    }

    /// Kills a server: `kill -9`.
    pub fn kill(&mut self, node: usize) {
        self.servers[node].kill();
    }

    /// Starts a server again that was killed, with its files.
    pub fn start_again(&mut self, node: usize) {
        self.servers[node].start_again();
        self.connect_wires(node);
    }

    /// From now on all is lost that a server and the others send to each other.
    pub fn cut_off(&self, node: usize) {
        self.wires_of(node).for_each(Proxy::lose);
    }

    /// Ends [`cut_off`](Self::cut_off).
    pub fn heal(&self, node: usize) {
        self.wires_of(node).for_each(Proxy::cut);
    }

    fn wires_of(&self, node: usize) -> impl Iterator<Item = &Proxy> {
        let of_node = move |(from, to, _): &&(usize, usize, Proxy)| *from == node || *to == node;
        self.wires.iter().filter(of_node).map(|(.., wire)| wire)
    }

    fn wait_for_replication(&self) {
        self.ask(async |server| {
            let probe = Config {
                name: "probe".into(),
                num_replicas: NODES,
                storage: StorageType::Memory,
                ..Config::default()
            };
            server.get_or_create_stream(probe).await.ok()
        });
        self.wait_for_copies("probe");
    }

    /// Asks the servers until one of them has an answer: no server announces what is asked for.
    fn ask<T>(&self, question: impl AsyncFn(Context) -> Option<T>) -> T {
        let begun = Instant::now();
        self.runtime.block_on(async {
            let client = async_nats::connect(self.url().split(',').collect::<Vec<_>>()).await;
            let server = jetstream::new(client.unwrap());
            let mut again = tokio::time::interval(PAUSE);
            loop {
                again.tick().await;
                if let Some(answer) = question(server.clone()).await {
                    return answer;
                }
                assert!(begun.elapsed() < FORM_TIMEOUT, "the servers have no answer");
            }
        })
    }
}
