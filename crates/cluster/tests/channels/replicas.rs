// SPDX-License-Identifier: BSD-3-Clause
//! Replicated channels on three servers: what holds on one server, and failures of servers.
//!
//! With `BECKET_TEST_LONG` the failures are many.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use becket_cluster::{
    Connection, Kind, OpenError, Options, Receiver, RecvError, SendError, Sender,
};
use futures_lite::future::block_on;
use parking_lot::{Condvar, Mutex};

use crate::open::{LONG, Open as _, Replicated};
use crate::server::Server;
use crate::server::cluster::{Cluster, NODES};
use crate::server::proxy::Proxy;
use crate::{closing, failures, kinds, rendezvous};

const BOUNDED: Kind = Kind::Bounded { capacity: 50 };
const UNLIMITED: Kind = Kind::Unlimited { bytes_max: 1 << 24 };
/// The stream of [`UNLIMITED`] in the namespace of most tests.
const STREAM: &str = "becket-u16777216-r3";
/// Longer than servers take to choose leaders, several times.
const VERY_LONG: Duration = Duration::from_secs(90);

fn is_long() -> bool {
    std::env::var_os("BECKET_TEST_LONG").is_some()
}

fn on(cluster: &Cluster) -> Replicated<'_> {
    Replicated { cluster, namespace: "becket" }
}

fn bytes(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// Runs these tests of one server on a cluster, each in a namespace of its own, and prints how long each took.
macro_rules! holds {
    ($cluster:ident: $($module:ident::$name:ident)*) => {$({
        let begun = Instant::now();
        let namespace = format!("ns{}", line!());
        let namespace = namespace + stringify!($name).get(..20).unwrap_or(stringify!($name));
        $module::on_any::$name(&Replicated { cluster: &$cluster, namespace: &namespace });
        println!("{} {:?}", stringify!($name), begun.elapsed());
    })*};
}

#[test]
fn what_holds_on_one_server_holds_on_three() {
    let cluster = Cluster::start();
    holds! {
        cluster:
        kinds::values_arrive_once_and_in_order
        kinds::a_bounded_channel_holds_exactly_its_capacity
        kinds::of_800_racing_sends_a_capacity_of_100_accepts_100
        kinds::a_note_wakes_a_sender_that_waits_for_room
        kinds::a_conflated_channel_gives_the_latest_in_order
        kinds::a_leased_value_that_is_replaced_is_safe
        kinds::unlimited_channels_are_bounded_by_bytes
        kinds::an_id_is_accepted_once
        kinds::a_select_sends_or_receives_a_local_value
    }
    a_full_channel_answers_after_one_message(&cluster);
    channels_of_one_and_of_three_replicas_are_two_kinds(&cluster);
}

#[test]
fn closes_drops_and_rendezvous_are_on_three_servers_as_on_one() {
    let cluster = Cluster::start();
    holds! {
        cluster:
        closing::a_close_wakes_receivers_that_wait
        closing::a_close_wakes_senders_that_wait_and_receivers_drain
        closing::a_receiver_is_closed_when_the_last_message_is_acknowledged
        closing::what_was_accepted_before_the_close_is_drained_exactly
        failures::a_dropped_receive_loses_nothing
        failures::a_receiver_that_is_dropped_hands_back_what_it_has_acknowledged
        failures::a_receiver_that_is_dropped_requeues_what_it_has_requested
        failures::a_slow_receiver_loses_nothing
        failures::a_dropped_lease_is_requeued_at_once
        rendezvous::values_pass_in_order_and_notes_wake_their_senders
        rendezvous::a_lease_holds_the_sender_and_a_dropped_one_refuses
        rendezvous::cancellation_loses_nothing
        rendezvous::a_close_ends_both_sides
        rendezvous::a_close_ends_a_send_that_waits
    }
    a_close_is_seen_soon(&cluster);
}

/// One message to the server, and its answer: no server is asked twice.
fn a_full_channel_answers_after_one_message(cluster: &Cluster) {
    let wire = Proxy::start(cluster.servers[0].port());
    let connection = block_on(Connection::connect(&wire.url())).unwrap();
    let options = on(cluster).options(Options::default());
    let kind = Kind::Bounded { capacity: 2 };
    let (tx, _rx) = block_on(connection.open("full", kind, options)).unwrap();
    tx.send(bytes(0)).wait().unwrap();
    tx.send(bytes(1)).wait().unwrap();
    for at in 0..20 {
        let before = wire.published();
        assert_eq!(tx.try_send(bytes(at)).wait(), Err(SendError::WouldBlock(bytes(at).into())));
        assert_eq!(wire.published() - before, 1);
    }
}

/// Servers pass a close on before two of them have stored it.
fn a_close_is_seen_soon(cluster: &Cluster) {
    // Sooner than a receiver looks by itself, which is after 30 s.
    let soon = Duration::from_secs(20);
    let (here, there) = (cluster.connect(), cluster.connect());
    for round in 0..20 {
        let open = |connection: &Connection| {
            let options = on(cluster).options(Options::default());
            block_on(connection.open(&format!("close{round}"), BOUNDED, options)).unwrap()
        };
        let ((tx, _), (_, rx)) = (open(&here), open(&there));
        tx.send("last").wait().unwrap();
        assert_eq!(&rx.recv().timeout(LONG).wait().unwrap()[..], b"last");
        thread::scope(|scope| {
            let closed = scope.spawn(|| rx.recv().timeout(soon).wait());
            assert_eq!(tx.close().wait(), Ok(true));
            assert_eq!(closed.join().unwrap(), Err(RecvError::Closed { reason: None }));
        });
    }
}

fn channels_of_one_and_of_three_replicas_are_two_kinds(cluster: &Cluster) {
    let connection = cluster.connect();
    let open = |replicas| {
        block_on(connection.open("degree", BOUNDED, Options::default().replicas(replicas)))
    };
    // The stream with the records exists with one replica only.
    open(1).unwrap();
    assert!(matches!(open(3).unwrap_err(), OpenError::Mismatch { .. }));
    assert!(matches!(open(2).unwrap_err(), OpenError::BadReplicas(2)));
}

#[test]
fn one_server_replicates_nothing() {
    let server = Server::start();
    let options = Options::default().replicas(3);
    let error = block_on(server.connect().open("jobs", BOUNDED, options)).unwrap_err();
    assert!(error.to_string().contains("non-clustered"), "{error}");
}

/// Senders and receivers of one channel, until they are stopped.
struct Load<'a> {
    name: &'static str,
    kind: Kind,
    senders: Vec<Sender>,
    receiver: Receiver,
    closer: Sender,
    stop: &'a AtomicBool,
    accepted: &'a Accepted,
}

/// The number of sends that were accepted.
#[derive(Default)]
struct Accepted {
    count: Mutex<usize>,
    more: Condvar,
}

impl Accepted {
    fn one(&self) {
        *self.count.lock() += 1;
        self.more.notify_all();
    }
}

/// What a load has seen.
struct Seen {
    accepted: HashSet<u32>,
    unknown: HashSet<u32>,
    received: Vec<u32>,
    longest: Duration,
}

const SENDERS: u32 = 2;

impl<'a> Load<'a> {
    fn new(
        cluster: &Cluster,
        (name, kind): (&'static str, Kind),
        (stop, accepted): (&'a AtomicBool, &'a Accepted),
    ) -> Self {
        let senders = (0..SENDERS).map(|_| on(cluster).open(name, kind).0).collect();
        let (closer, receiver) = on(cluster).open(name, kind);
        Self { name, kind, senders, receiver, closer, stop, accepted }
    }

    /// Sends and receives until it is stopped; then closes, and drains.
    fn run(self) -> Seen {
        let Self { senders, receiver, closer, stop, accepted, .. } = &self;
        let mut seen = Seen {
            accepted: HashSet::new(),
            unknown: HashSet::new(),
            received: Vec::new(),
            longest: Duration::ZERO,
        };
        thread::scope(|scope| {
            let receiving = scope.spawn(|| {
                let mut received = Vec::new();
                loop {
                    match receiver.recv().wait() {
                        Ok(value) => received.push(number(&value)),
                        Err(RecvError::Closed { .. }) => break received,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            let sending: Vec<_> = (0..SENDERS)
                .zip(senders)
                .map(|(sender, tx)| {
                    scope.spawn(move || {
                        let (mut sent, mut unknown) = (Vec::new(), Vec::new());
                        let mut longest = Duration::ZERO;
                        let mut next = sender << 28;
                        while !stop.load(Ordering::SeqCst) {
                            let begun = Instant::now();
                            match tx.send(bytes(next)).timeout(VERY_LONG).wait() {
                                Ok(()) => {
                                    sent.push(next);
                                    accepted.one();
                                }
                                Err(SendError::Unknown(_)) => unknown.push(next),
                                Err(error) => panic!("{error}"),
                            }
                            longest = longest.max(begun.elapsed());
                            next += 1;
                        }
                        (sent, unknown, longest)
                    })
                })
                .collect();
            for sending in sending {
                let (sent, unknown, longest) = sending.join().unwrap();
                seen.accepted.extend(sent);
                seen.unknown.extend(unknown);
                seen.longest = seen.longest.max(longest);
            }
            assert_eq!(closer.close().timeout(VERY_LONG).wait(), Ok(true));
            seen.received = receiving.join().unwrap();
        });
        self.check(&seen);
        println!(
            "{}: {} accepted, {} unknown, {} received, longest send {:?}",
            self.name,
            seen.accepted.len(),
            seen.unknown.len(),
            seen.received.len(),
            seen.longest
        );
        seen
    }

    fn check(&self, seen: &Seen) {
        let received: HashSet<_> = seen.received.iter().copied().collect();
        assert_eq!(received.len(), seen.received.len(), "{}: none twice", self.name);
        let of_none = received
            .iter()
            .find(|value| !seen.accepted.contains(value) && !seen.unknown.contains(value));
        assert_eq!(of_none, None, "{}: a value that was refused", self.name);
        if self.kind == Kind::Conflated {
            // The last one of the channel is that of one of the senders.
            let lasts: Vec<_> = (0..SENDERS)
                .filter_map(|sender| seen.accepted.iter().filter(|at| **at >> 28 == sender).max())
                .collect();
            let last = seen.received.last().unwrap();
            assert!(lasts.contains(&last), "{}: {last} of {lasts:?}", self.name);
        } else {
            let lost: Vec<_> = seen.accepted.difference(&received).collect();
            assert!(lost.is_empty(), "{}: lost {lost:?}", self.name);
        }
        if self.kind != Kind::Rendezvous {
            assert!(seen.unknown.is_empty(), "{}: sends are repeated", self.name);
        }
    }
}

const LOADS: [(&str, Kind); 4] = [
    ("bounded", BOUNDED),
    ("unlimited", UNLIMITED),
    ("conflated", Kind::Conflated),
    ("meet", Kind::Rendezvous),
];

/// Puts all kinds under load while `fail` does something to the servers. It gets a function that waits
/// until so many more sends were accepted.
fn under_load(cluster: &mut Cluster, fail: impl FnOnce(&mut Cluster, &dyn Fn(usize))) {
    let (stop, accepted) = (AtomicBool::new(false), Accepted::default());
    let loads = LOADS.map(|load| Load::new(cluster, load, (&stop, &accepted)));
    thread::scope(|scope| {
        let running = loads.map(|load| scope.spawn(|| load.run()));
        let more = |count: usize| {
            let mut accepted_now = accepted.count.lock();
            let until = *accepted_now + count;
            let limit = Instant::now() + VERY_LONG;
            while *accepted_now < until {
                let waited = accepted.more.wait_until(&mut accepted_now, limit);
                assert!(!waited.timed_out(), "the load goes on");
            }
        };
        let failed = catch_unwind(AssertUnwindSafe(|| {
            fail(cluster, &more);
            more(200);
        }));
        stop.store(true, Ordering::SeqCst);
        if let Err(panic) = failed {
            resume_unwind(panic);
        }
        running.into_iter().for_each(|running| drop(running.join().unwrap()));
    });
}

#[test]
fn a_killed_leader_loses_nothing_that_was_acknowledged() {
    let kills = if is_long() { 12 } else { 2 };
    let mut cluster = Cluster::start();
    under_load(&mut cluster, |cluster, more| {
        for kill in 0..kills {
            more(200);
            // Each stream has a leader of its own.
            let streams = [STREAM, "becket-b50-r3", "becket-c-r3", "becket-channels"];
            let leader = cluster.leader(streams[kill % streams.len()]);
            cluster.kill(leader);
            more(200);
            cluster.start_again(leader);
            streams.iter().for_each(|stream| cluster.wait_for_copies(stream));
        }
    });
}

/// The leader is cut off with clients that reach it alone: what it accepted without the others is not
/// acknowledged.
#[test]
fn a_partition_loses_nothing_and_heals() {
    let rounds = if is_long() { 6 } else { 1 };
    let mut cluster = Cluster::start();
    under_load(&mut cluster, |cluster, more| {
        let (_keep, rx) = on(cluster).open("log", UNLIMITED);
        for round in 0..rounds {
            more(100);
            let leader = cluster.leader(STREAM);
            let alone = block_on(Connection::connect(&cluster.servers[leader].url())).unwrap();
            let options = Options::default().replicas(3);
            let (tx, _) = block_on(alone.open("log", UNLIMITED, options)).unwrap();
            tx.send(bytes(0)).wait().unwrap();
            cluster.cut_off(leader);
            let error = tx.send(bytes(1)).timeout(Duration::from_secs(2)).wait().unwrap_err();
            assert_eq!(error, SendError::Unknown(bytes(1).into()), "round {round}");
            // One that waits for the end of it.
            thread::scope(|scope| {
                let waiting = scope.spawn(|| tx.send(bytes(2)).timeout(VERY_LONG).wait());
                more(100);
                assert!(!waiting.is_finished(), "the others are not there");
                assert!(!tx.is_closed());
                cluster.heal(leader);
                waiting.join().unwrap().unwrap();
            });
            cluster.wait_for_copies(STREAM);
            // The second one was not acknowledged: it is there or not. One whose delivery was lost comes
            // behind newer ones.
            let mut received = vec![];
            while !(received.contains(&0) && received.contains(&2)) {
                received.push(number(&rx.recv().timeout(LONG).wait().unwrap()));
            }
            received.retain(|at| *at != 1);
            received.sort_unstable();
            assert_eq!(received, [0, 2], "round {round}");
        }
    });
}

#[test]
fn values_survive_a_kill_of_all_servers_and_without_them_nothing_is_closed() {
    const VALUES: u32 = 100;
    let mut cluster = Cluster::start();
    let (tx, rx) = on(&cluster).open("log", UNLIMITED);
    let (closed, _) = on(&cluster).open("closed", UNLIMITED);
    closed.send(bytes(7)).wait().unwrap();
    closed.close_with("over").wait().unwrap();
    for at in 0..VALUES {
        tx.send(bytes(at)).wait().unwrap();
    }
    // One of three accepts nothing, and answers "no responders" to some.
    cluster.kill(0);
    cluster.kill(1);
    let short = Duration::from_secs(3);
    let error = tx.send(bytes(VALUES)).timeout(short).wait().unwrap_err();
    assert!(matches!(error, SendError::Unknown(_) | SendError::TimedOut(_)), "{error:?}");
    let is_accepted_perhaps = matches!(error, SendError::Unknown(_));
    assert!(!tx.is_closed() && !rx.is_closed());
    cluster.kill(2);
    assert_eq!(rx.recv().timeout(short).wait(), Err(RecvError::TimedOut));
    thread::scope(|scope| {
        let send = scope.spawn(|| tx.send(bytes(VALUES + 1)).timeout(VERY_LONG).wait());
        (0..NODES).for_each(|node| cluster.start_again(node));
        send.join().unwrap().unwrap();
    });
    let mut seen = Vec::new();
    while seen.len() < VALUES as usize + 1 {
        seen.push(number(&rx.recv().timeout(VERY_LONG).wait().unwrap()));
        if is_accepted_perhaps {
            seen.retain(|at| *at != VALUES);
        }
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq((0..VALUES).chain([VALUES + 1])));
    let (tx, rx) = on(&cluster).open("closed", UNLIMITED);
    assert!(tx.send(bytes(8)).wait().unwrap_err().is_closed());
    assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), 7);
    let over = RecvError::Closed { reason: Some("over".into()) };
    assert_eq!(rx.recv().timeout(LONG).wait(), Err(over));
}
