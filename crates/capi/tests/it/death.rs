// SPDX-License-Identifier: BSD-3-Clause
//! kill -9 of a server or a client of protocol 2 in C, over shared memory, at a random moment.
//!
//! Each round starts a server, two senders and two receivers (`session_death.c`), and kills one of
//! the five after a random number of reports. The requirements:
//!
//! 1. No process hangs: every wait of the survivors ends, with `-ECONNRESET` if the server was killed.
//!    Every wait of this test has a limit that fails the round.
//! 2. No message is delivered twice, changed or invented; a refused one is never delivered.
//! 3. If the server survives, an accepted message is received, or in its channel, or was handed to the
//!    killed receiver: at most its window, and the one that it had not reported yet.
//! 4. A survivor without a connection holds no socket, no shared memory and no descriptor of it.
//! 5. Nothing is left in `/dev/shm`; the next server replaces the socket of a killed one, and a server
//!    that ends leaves none.
//!
//! `BECKET_DEATH_ROUNDS` is the number of rounds; `cargo xtask ipc-death --c --rounds N` sets it.
//! `BECKET_DEATH_SEED` repeats the choices of a run, not its schedule.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::common::{C, Library, program};
use crate::peer::{again, place};

#[path = "../../../ipc/tests/death/what.rs"]
mod what;

use what::What;

const ROUNDS: u64 = 10;
/// A process is killed after fewer reports of all.
const REPORTS_MAX: u64 = 1500;
const WINDOWS: [u64; 3] = [0, 1, 16];
/// Longer than any step takes, on however busy a machine: otherwise a process hangs.
const HANGS: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Server,
    Sender,
    Receiver,
}

#[derive(Debug, Default)]
struct Fate {
    intended: bool,
    accepted: bool,
    refused: bool,
    delivered: u32,
}

#[derive(Debug, Default)]
struct Totals {
    accepted: u64,
    delivered: u64,
    unknown: u64,
    /// Handed to killed receivers.
    handed: u64,
    /// Accepted by killed servers, and not received.
    lost_with_server: u64,
    killed: [u64; 3],
}

struct Member {
    role: Role,
    window: u64,
    child: Child,
}

/// The processes of a round, and every message.
struct Round {
    program: Command,
    socket: PathBuf,
    members: BTreeMap<u64, Member>,
    next: u64,
    heard: Receiver<(u64, Option<(What, u64)>)>,
    tell: Sender<(u64, Option<(What, u64)>)>,
    fates: HashMap<u64, Fate>,
    totals: Totals,
}

impl Round {
    fn start(&mut self, role: Role, window: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        let name = match role {
            Role::Server => "server",
            Role::Sender => "sender",
            Role::Receiver => "receiver",
        };
        let mut command = again(&self.program);
        command.arg(name).arg(&self.socket).args([id.to_string(), window.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (out, tell) = (child.stdout.take().unwrap(), self.tell.clone());
        thread::spawn(move || reads(id, out, &tell));
        self.members.insert(id, Member { role, window, child });
        id
    }

    /// The next report of any process; `None`: it has ended.
    fn hear(&mut self) -> (u64, Option<What>) {
        let Ok((id, report)) = self.heard.recv_timeout(HANGS) else {
            let living: Vec<_> = self.members.iter().map(|(id, it)| (id, it.role)).collect();
            panic!("no report comes; of {living:?} one hangs");
        };
        let Some((what, number)) = report else { return (id, None) };
        let mut fate = |mark: fn(&mut Fate)| mark(self.fates.entry(number).or_default());
        match what {
            What::Intended => fate(|fate| fate.intended = true),
            What::Accepted => fate(|fate| fate.accepted = true),
            What::Refused => fate(|fate| fate.refused = true),
            What::Received | What::Left => fate(|fate| fate.delivered += 1),
            What::Unknown => self.totals.unknown += 1,
            What::Wrong => panic!("a process reports an error: {number:x}"),
            What::Ready | What::Ended | What::Idle | What::Done => {}
        }
        (id, Some(what))
    }

    /// Until each of these has reported what `is` accepts.
    fn until_each(&mut self, ids: &[u64], is: impl Fn(What) -> bool) {
        let mut left: Vec<_> = ids.to_vec();
        while !left.is_empty() {
            match self.hear() {
                (id, Some(what)) if is(what) => left.retain(|one| *one != id),
                (_, Some(_)) => {}
                (id, None) => panic!("{:?} has ended by itself", self.members[&id].role),
            }
        }
    }

    fn clients(&self, role: Role) -> Vec<u64> {
        self.members.iter().filter(|(_, it)| it.role == role).map(|(id, _)| *id).collect()
    }

    fn command(&mut self, id: u64, command: u8) {
        let stdin = self.members.get_mut(&id).unwrap().child.stdin.as_mut();
        stdin.unwrap().write_all(&[command]).unwrap();
    }

    /// Until it has ended and all its reports were heard. `also`: these report their end meanwhile.
    fn buried(&mut self, id: u64, is_well: bool, idle: &mut Vec<u64>) -> Member {
        loop {
            match self.hear() {
                (other, None) if other == id => break,
                (other, None) => panic!("{:?} has ended by itself", self.members[&other].role),
                (other, Some(What::Idle)) => idle.push(other),
                (_, Some(_)) => {}
            }
        }
        let mut member = self.members.remove(&id).unwrap();
        let status = member.child.wait().unwrap();
        assert!(!is_well || status.success(), "{:?} ended with {status}", member.role);
        member
    }

    /// Its standard input ends, and so does it.
    fn ends(&mut self, id: u64) {
        drop(self.members.get_mut(&id).unwrap().child.stdin.take());
        self.buried(id, true, &mut Vec::new());
    }

    /// Waits until it holds so many sockets and no shared memory: the I/O thread may close them a
    /// moment after the connection has ended.
    fn holds_nothing(&self, id: u64, sockets: usize) {
        let member = &self.members[&id];
        let process = PathBuf::from(format!("/proc/{}", member.child.id()));
        let begin = Instant::now();
        loop {
            let links = fs::read_dir(process.join("fd")).unwrap();
            let links = links.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
            let links: Vec<_> = links.map(|link| link.to_string_lossy().into_owned()).collect();
            let maps = fs::read_to_string(process.join("maps")).unwrap();
            // Each once, however many descriptors it has.
            let open: BTreeSet<_> = links.iter().filter(|it| it.contains("socket:")).collect();
            let shared = links.iter().filter(|link| link.contains("memfd:")).count()
                + maps.lines().filter(|line| line.contains("memfd:")).count();
            if open.len() == sockets && shared == 0 {
                return;
            }
            let is_late = begin.elapsed() > HANGS;
            assert!(!is_late, "{:?} holds {links:?} and {shared} of shared memory", member.role);
            thread::yield_now();
        }
    }

    /// All reports were heard. `handed`: what the killed receiver may have been handed, of each
    /// channel; `None`: the server was killed.
    fn close(&mut self, handed: Option<u64>) {
        let mut lost = [0; 2];
        for (number, fate) in self.fates.drain() {
            assert!(fate.delivered <= 1, "{number:x} was delivered twice: {fate:?}");
            assert!(fate.delivered == 0 || fate.intended, "{number:x} was made up: {fate:?}");
            assert!(fate.delivered == 0 || !fate.refused, "{number:x} was refused: {fate:?}");
            self.totals.accepted += u64::from(fate.accepted);
            self.totals.delivered += u64::from(fate.delivered);
            lost[(number >> 40) as usize & 1] += u64::from(fate.accepted && fate.delivered == 0);
        }
        match handed {
            Some(handed) => {
                assert!(lost.iter().all(|lost| *lost <= handed), "{lost:?} of {handed}");
                self.totals.handed += lost.iter().sum::<u64>();
            }
            None => self.totals.lost_with_server += lost.iter().sum::<u64>(),
        }
        assert_eq!(shared_names(), Vec::<String>::new());
    }

    fn play(&mut self, rng: &mut Rng) {
        let server = self.start(Role::Server, 0);
        // The socket of a killed predecessor may be there.
        self.until_each(&[server], |what| what == What::Ready);
        for role in [Role::Sender, Role::Receiver, Role::Sender, Role::Receiver] {
            self.start(role, WINDOWS[rng.usize(..WINDOWS.len())]);
        }
        let all: Vec<_> = self.members.keys().copied().collect();
        for _ in 0..rng.u64(..REPORTS_MAX) {
            let (id, report) = self.hear();
            assert!(report.is_some(), "{:?} has ended by itself", self.members[&id].role);
        }
        // The server as often as the clients.
        let victim = if rng.bool() { server } else { all[1 + rng.usize(..all.len() - 1)] };
        self.members.get_mut(&victim).unwrap().child.kill().unwrap();
        let mut idle = Vec::new();
        let killed = self.buried(victim, false, &mut idle);
        self.totals.killed[killed.role as usize] += 1;
        if killed.role == Role::Server {
            let clients: Vec<_> = self.members.keys().copied().collect();
            let waiting: Vec<_> = clients.iter().copied().filter(|id| !idle.contains(id)).collect();
            self.until_each(&waiting, |what| what == What::Idle);
            for id in clients {
                self.holds_nothing(id, 0);
                self.command(id, b's');
                self.ends(id);
            }
            return self.close(None);
        }
        // The others go on.
        let progress = |what| matches!(what, What::Accepted | What::Received);
        let clients: Vec<_> = self.members.keys().copied().filter(|id| *id != server).collect();
        self.until_each(&clients, progress);
        // Senders first: each of their messages finds a receiver. Receivers first: what they had
        // prefetched goes back, and is left.
        let mut roles = [Role::Sender, Role::Receiver];
        rng.shuffle(&mut roles);
        for role in roles {
            let ids = self.clients(role);
            ids.iter().for_each(|id| self.command(*id, b's'));
            self.until_each(&ids, |what| what == What::Idle);
            for id in ids {
                self.holds_nothing(id, 0);
                self.ends(id);
            }
        }
        // The socket at which it listens; all connections are gone, and what they held is back.
        self.holds_nothing(server, 1);
        self.command(server, b'd');
        self.until_each(&[server], |what| what == What::Idle);
        self.ends(server);
        // Also what its killed predecessors had left.
        assert_eq!(left_beside(&self.socket), Vec::<String>::new());
        self.close(Some(if killed.role == Role::Receiver { killed.window + 1 } else { 0 }));
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        for member in self.members.values_mut() {
            // Fails if it has ended.
            let _gone = member.child.kill();
            let _buried = member.child.wait();
        }
    }
}

fn reads(id: u64, mut out: ChildStdout, tell: &Sender<(u64, Option<(What, u64)>)>) {
    let mut bytes = [0; 16];
    while out.read_exact(&mut bytes).is_ok() {
        let number = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        if tell.send((id, Some((What::of(number(0)), number(8))))).is_err() {
            return;
        }
    }
    let _over = tell.send((id, None));
}

/// The names of this project in `/dev/shm`.
fn shared_names() -> Vec<String> {
    let Ok(names) = fs::read_dir("/dev/shm") else { return Vec::new() };
    let names = names.map(|name| name.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("becket")).collect()
}

#[test]
fn servers_and_clients_in_c_are_killed() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let rounds = number("BECKET_DEATH_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("BECKET_DEATH_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{rounds} rounds, BECKET_DEATH_SEED={seed}");
    let (_directory, socket) = place();
    let (tell, heard) = mpsc::channel();
    let mut round = Round {
        program: program("session_death", &C, Library::Static),
        socket,
        members: BTreeMap::new(),
        next: 1,
        heard,
        tell,
        fates: HashMap::new(),
        totals: Totals::default(),
    };
    let mut rng = Rng::with_seed(seed);
    for _ in 0..rounds {
        round.play(&mut rng);
    }
    println!("{:?}", round.totals);
    assert!(round.totals.delivered > 0, "it has been no load: {:?}", round.totals);
}

/// The names in the socket's directory.
fn left_beside(socket: &Path) -> Vec<String> {
    let names = fs::read_dir(socket.parent().unwrap()).unwrap();
    names.map(|name| name.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
