// SPDX-License-Identifier: BSD-3-Clause
//! The kills, and the checks after them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use fastrand::Rng;

use crate::crew::{Crew, Held, shared_names};
use crate::ledger::{Ledger, Sum};
use crate::part::{Role, Transport};
use crate::report::{Report, What};

/// The default number of kills, over all transports and both sides.
const ROUNDS: u32 = 30;
/// Tests that share them.
const TESTS: u32 = 10;
/// A process is killed after fewer reports.
const REPORTS_MAX: u64 = 600;
/// The windows of receivers, in turn.
const WINDOWS: [u32; 3] = [0, 1, 16];

struct World {
    transport: Transport,
    crew: Crew,
    ledger: Ledger,
    rng: Rng,
    rounds: u32,
    total: Sum,
    directory: tempfile::TempDir,
}

fn is_client(role: Role) -> bool {
    role != Role::Server
}

impl World {
    fn new(transport: Transport) -> Self {
        let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let seed = number("BECKET_DEATH_SEED").unwrap_or_else(|| fastrand::u64(..));
        let rounds = number("BECKET_DEATH_ROUNDS").map_or(ROUNDS, |rounds| rounds as u32);
        let rounds = rounds.div_ceil(TESTS);
        println!("{transport:?}: {rounds} rounds, BECKET_DEATH_SEED={seed}");
        let directory = tempfile::tempdir().unwrap();
        let crew = Crew::new(directory.path(), transport);
        let rng = Rng::with_seed(seed);
        let (ledger, total) = (Ledger::default(), Sum::default());
        Self { transport, crew, ledger, rng, rounds, total, directory }
    }

    /// Reads reports until `wanted` returns true. A process that ends has to end successfully.
    fn hear_until(&mut self, mut wanted: impl FnMut(&Crew, u16, Report) -> bool) {
        loop {
            match self.crew.hear() {
                (id, Some(report)) => {
                    self.ledger.note(report);
                    if wanted(&self.crew, id, report) {
                        return;
                    }
                }
                (id, None) => {
                    panic!("{:?} has ended by itself", self.crew.part(id))
                }
            }
        }
    }

    /// Until each of these has reported this.
    fn each_says(&mut self, ids: &[u16], what: What) {
        let mut left: BTreeSet<_> = ids.iter().copied().collect();
        if !left.is_empty() {
            self.hear_until(|_, id, report| {
                if report.what == what {
                    left.remove(&id);
                }
                left.is_empty()
            });
        }
    }

    /// Until this process has ended and all its reports are noted.
    fn ends(&mut self, id: u16, well: bool) {
        loop {
            match self.crew.hear() {
                (ended, None) if ended == id => break,
                (ended, None) => panic!("{:?} has ended by itself", self.crew.part(ended)),
                (_, Some(report)) => self.ledger.note(report),
            }
        }
        self.crew.bury(id, well);
    }

    /// Starts a process and waits until it is ready.
    fn start(&mut self, role: Role) -> u16 {
        let window = match self.transport.is_old() {
            true => 0,
            false => WINDOWS[self.rng.usize(..WINDOWS.len())],
        };
        let id = self.crew.start(role, window);
        self.each_says(&[id], What::Ready);
        id
    }

    fn start_clients(&mut self) {
        for role in [Role::Sender, Role::Sender, Role::Receiver, Role::Receiver] {
            self.start(role);
        }
    }

    /// Kills a process after `reports` more reports.
    fn kill_after(&mut self, victim: u16, reports: u64) {
        let mut left = reports;
        if left > 0 {
            self.hear_until(|_, id, _| {
                left -= u64::from(id == victim);
                left == 0
            });
        }
        self.crew.kill(victim);
        self.ends(victim, false);
    }

    /// Waits until each of these has completed another operation.
    fn each_goes_on(&mut self, ids: &[u16]) {
        let mut left: BTreeSet<_> = ids.iter().copied().collect();
        self.hear_until(|_, id, report| {
            if report.is_progress() {
                left.remove(&id);
            }
            left.is_empty()
        });
    }

    /// Stops the senders first, so that each of their sends finds a receiver.
    fn stop_clients(&mut self) {
        for role in [Role::Sender, Role::Receiver] {
            let ids = self.crew.ids(|other| other == role);
            ids.iter().for_each(|id| self.crew.tell(*id, b's'));
            ids.iter().for_each(|id| self.ends_of(*id, &ids));
        }
    }

    /// As `ends`, while other processes end too.
    fn ends_of(&mut self, id: u16, ending: &[u16]) {
        if !self.crew.ids(|_| true).contains(&id) {
            return;
        }
        loop {
            match self.crew.hear() {
                (ended, None) => {
                    assert!(ending.contains(&ended), "{ended} has ended by itself");
                    self.crew.bury(ended, true);
                    if ended == id {
                        return;
                    }
                }
                (_, Some(report)) => self.ledger.note(report),
            }
        }
    }

    fn asks(&mut self, id: u16, command: u8) {
        self.crew.tell(id, command);
        self.each_says(&[id], What::Idle);
    }

    fn close_ledger(&mut self, is_whole: bool) {
        let sum = self.ledger.close(is_whole);
        self.total.accepted += sum.accepted;
        self.total.received += sum.received;
        self.total.left += sum.left;
        self.total.handed += sum.handed;
    }

    /// The server ends, and leaves nothing.
    fn ends_well(mut self, server: u16) {
        self.crew.tell(server, b's');
        self.ends(server, true);
        let left: Vec<_> = fs::read_dir(self.directory.path().join("private")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(shared_names(), Vec::<String>::new());
        assert!(self.total.received > 0, "it has been no load: {:?}", self.total);
        println!("{} rounds: {:?}", self.rounds, self.total);
    }
}

/// One client after another is killed; the server and the other clients continue.
pub(crate) fn clients_are_killed(transport: Transport) {
    let mut world = World::new(transport);
    let server = world.start(Role::Server);
    let begin = |world: &mut World| {
        world.start_clients();
        let clients = world.crew.ids(is_client);
        clients.iter().for_each(|id| world.crew.tell(*id, b'g'));
        world.each_goes_on(&clients);
    };
    let end = |world: &mut World| {
        world.stop_clients();
        // Values that clients had not read have been requeued by then.
        let held = world.crew.held_alone(server);
        world.asks(server, b'd');
        world.close_ledger(true);
        held
    };
    // Permanent allocations of the first client of each kind are not leaks.
    begin(&mut world);
    let before = end(&mut world);

    begin(&mut world);
    for _ in 0..world.rounds {
        let clients = world.crew.ids(is_client);
        let victim = clients[world.rng.usize(..clients.len())];
        let (role, window) = (world.crew.part(victim).role, world.crew.part(victim).window);
        let reports = world.rng.u64(..REPORTS_MAX);
        world.kill_after(victim, reports);
        if role == Role::Receiver {
            world.ledger.receiver_killed(window);
        }
        let next = world.start(role);
        world.crew.tell(next, b'g');
        let clients = world.crew.ids(is_client);
        world.each_goes_on(&clients);
        // Also during its handshake.
        if world.rng.u8(..4) == 0 {
            let brief = world.start(Role::Receiver);
            let window = world.crew.part(brief).window;
            world.crew.tell(brief, b'g');
            world.crew.kill(brief);
            world.ends(brief, false);
            world.ledger.receiver_killed(window);
        }
    }
    end(&mut world);
    world.crew.holds_again(server, before);
    world.ends_well(server);
}

/// The server is killed repeatedly; its clients survive, and connect to the next one.
pub(crate) fn servers_are_killed(transport: Transport) {
    let mut world = World::new(transport);
    world.start_clients();
    let clients = world.crew.ids(is_client);
    let mut before: BTreeMap<u16, Held> = BTreeMap::new();
    for _ in 0..world.rounds {
        // The files of the previous one exist.
        let server = world.start(Role::Server);
        clients.iter().for_each(|id| world.crew.tell(*id, b'g'));
        let watched = clients[world.rng.usize(..clients.len())];
        let mut left = world.rng.u64(..REPORTS_MAX);
        world.hear_until(|_, id, _| {
            left = left.saturating_sub(u64::from(id == watched));
            left == 0
        });
        world.crew.kill(server);
        // Each operation of each client has failed, and its connection is closed.
        let mut ended: BTreeMap<u16, usize> = clients.iter().map(|id| (*id, 0)).collect();
        let mut idle = 0;
        let mut is_buried = false;
        while idle < clients.len() || !is_buried {
            match world.crew.hear() {
                (id, None) if id == server => is_buried = true,
                (id, None) => panic!("{:?} has ended by itself", world.crew.part(id)),
                (id, Some(report)) => {
                    world.ledger.note(report);
                    match report.what {
                        What::Ended => *ended.get_mut(&id).unwrap() += 1,
                        What::Idle => idle += 1,
                        _ => {}
                    }
                }
            }
        }
        world.crew.bury(server, false);
        assert!(ended.values().all(|ended| *ended == 4), "each with an error: {ended:?}");
        world.close_ledger(false);
        for id in &clients {
            let held = *before.entry(*id).or_insert_with(|| world.crew.held_alone(*id));
            world.crew.holds_again(*id, held);
        }
        assert_eq!(shared_names(), Vec::<String>::new());
    }
    let server = world.start(Role::Server);
    world.stop_clients();
    world.ends_well(server);
}
