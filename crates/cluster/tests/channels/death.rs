// SPDX-License-Identifier: BSD-3-Clause
//! Consumers that are killed at random moments: each value is worked on until it is acknowledged, and
//! each result is sent once. On one server, and on three that all store the channels.
//!
//! The consumers are processes of this program, started with [`CONSUMER`] and [`REPLICAS`] in the environment.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use becket_cluster::{Connection, Kind, Options, RecvError};
use futures_lite::future::block_on;

use crate::open::{LONG, Open, Replicated};
use crate::server::Server;
use crate::server::cluster::{Cluster, NODES};

/// The addresses of the servers.
const CONSUMER: &str = "BECKET_CLUSTER_CONSUMER";
/// The number of servers that store the channels.
const REPLICAS: &str = "BECKET_CLUSTER_REPLICAS";
const JOBS: Kind = Kind::Bounded { capacity: 500 };
const RESULTS: Kind = Kind::Unlimited { bytes_max: 1 << 28 };
const PRODUCERS: u32 = 4;
const CONSUMERS: usize = 4;
/// Consumers that are killed, about.
const KILLS: usize = 50;

fn options() -> Options {
    Options::default().ack_wait(Duration::from_secs(2)).window(16)
}

/// The values of each producer, of which there are fewer in the short form.
fn values(few: u32) -> u32 {
    if std::env::var_os("BECKET_TEST_LONG").is_some() { 100_000 } else { few }
}

#[test]
fn four_by_four_exactly_once_while_consumers_are_killed() {
    if let Ok(url) = std::env::var(CONSUMER) {
        return consume(&url);
    }
    let server = Server::start();
    exactly_once(&server, (server.url(), 1), values(1000));
}

#[test]
fn with_three_replicas_four_by_four_exactly_once_while_consumers_are_killed() {
    let cluster = Cluster::start();
    let url = cluster.url();
    let cluster = Replicated { cluster: &cluster, namespace: "becket" };
    exactly_once(&cluster, (url, NODES), values(150));
}

fn exactly_once(server: &(impl Open + Sync), servers: (String, usize), values: u32) {
    let (closer, _) = server.open_with("jobs", JOBS, options());
    let (_, results) = server.open_with("results", RESULTS, options());
    let total = (PRODUCERS * values) as usize;
    let mut seen = Vec::new();
    let mut consumers = Consumers::start(servers, total / KILLS);
    thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let (tx, _) = server.open_with("jobs", JOBS, options());
                scope.spawn(move || {
                    for at in 0..values {
                        let number = producer * values + at;
                        tx.send(number.to_be_bytes().to_vec()).wait().unwrap();
                    }
                })
            })
            .collect();
        // The close comes after the last value: then the consumers drain, and end.
        scope.spawn(move || {
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            assert_eq!(closer.close().wait(), Ok(true));
        });
        while seen.len() < total {
            let result = results.recv().timeout(LONG).wait().unwrap();
            seen.push(u32::from_be_bytes(result[..].try_into().unwrap()));
            consumers.after_a_result();
        }
    });
    assert_eq!(results.try_recv().wait(), Err(RecvError::WouldBlock), "no result twice");
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..PRODUCERS * values));
    assert!(consumers.kills >= CONSUMERS, "{} consumers were killed", consumers.kills);
    println!("{total} values, {} kills", consumers.kills);
}

/// Four consumers, of which one is killed and replaced after a random number of results.
struct Consumers {
    servers: (String, usize),
    running: Vec<Consumer>,
    results_each: usize,
    results_left: usize,
    kills: usize,
}

impl Consumers {
    /// Kills one after `results_each` results, on average.
    fn start(servers: (String, usize), results_each: usize) -> Self {
        let running = (0..CONSUMERS).map(|_| Consumer::start(&servers)).collect();
        Self { servers, running, results_each, results_left: results_each, kills: 0 }
    }

    fn after_a_result(&mut self) {
        self.results_left -= 1;
        if self.results_left == 0 {
            self.results_left = fastrand::usize(1..2 * self.results_each);
            self.running[fastrand::usize(..CONSUMERS)] = Consumer::start(&self.servers);
            self.kills += 1;
        }
    }
}

/// A consumer's process, killed when it is dropped.
struct Consumer(Child);

impl Consumer {
    fn start((url, replicas): &(String, usize)) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "death::four_by_four_exactly_once_while_consumers_are_killed"])
            .env(CONSUMER, url)
            .env(REPLICAS, replicas.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Sends a result for each job, with the job as its id, and acknowledges the job only then.
#[allow(clippy::exit, reason = "a process of this test alone")]
fn consume(url: &str) {
    // It ends with the program that started it.
    thread::spawn(|| {
        let _read = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    let connection = block_on(Connection::connect(url)).unwrap();
    let options = options().replicas(std::env::var(REPLICAS).unwrap().parse().unwrap());
    let (_, jobs) = block_on(connection.open("jobs", JOBS, options.clone())).unwrap();
    let (results, _) = block_on(connection.open("results", RESULTS, options)).unwrap();
    while let Ok(job) = jobs.lease().wait() {
        let id = u32::from_be_bytes(job[..].try_into().unwrap()).to_string();
        results.send_with_id(job.to_vec(), &id).wait().unwrap();
        // Expired: another consumer has it by now, and its result is the same.
        let _acknowledged = job.ack().wait();
    }
}
