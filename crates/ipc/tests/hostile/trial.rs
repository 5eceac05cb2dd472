// SPDX-License-Identifier: BSD-3-Clause
//! One hostile peer, and the server's reaction.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::healthy::Healthy;
use crate::part::{Part, SERVER};

/// Longer than any step takes, on however busy a machine: otherwise a process hangs.
pub(crate) const HANGS: Duration = Duration::from_secs(300);
/// The number of attacks, each of which may take as long as the server waits for a silent peer; the
/// second number applies to the long form: the variable `BECKET_TEST_LONG` is set.
const ATTACKS: [usize; 2] = [1, 3];
/// Exchanges of each healthy client during the attacks.
const EXCHANGES: u64 = 100;
/// The maximum increase of the server's peak memory, whatever one peer did: what one session may
/// make it hold (16 MiB of elements on a stream), and what its allocator retains of that.
const MEMORY_MORE_MAX_KIB: u64 = 48 << 10;
/// Consecutive samples of a sleeping server; the second number applies to the long form.
const LOOKS: [u32; 2] = [60, 300];

pub(crate) fn of(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    let mut server = Part::start(SERVER, &path);
    server.socket.set_read_timeout(Some(HANGS)).unwrap();
    server.hear().expect("it listens");
    let process = Process(PathBuf::from(format!("/proc/{}", server.child.id())));
    let mut healthy =
        ["shared-memory", "unix-stream"].map(|transport| Healthy::connect(&path, transport));
    healthy.iter_mut().for_each(Healthy::goes_on);
    until_exchanged(&healthy, EXCHANGES);
    let (held, memory_kib) = (process.held(), process.memory_most_kib());

    let mut hostile = Part::start(name, &path);
    hostile.socket.set_read_timeout(Some(HANGS)).unwrap();
    for attack in 0..ATTACKS[usize::from(is_long())] {
        assert!(hostile.hear().is_some(), "{name} has ended before attack {attack} was over");
    }
    // It continues meanwhile.
    until_exchanged(&healthy, EXCHANGES);
    hostile.ends();

    let more_kib = process.memory_most_kib() - memory_kib;
    println!("{name}: {more_kib} KiB more than {memory_kib}");
    assert!(more_kib < MEMORY_MORE_MAX_KIB, "{name}: {more_kib} KiB more than {memory_kib}");
    process.until("it holds what it held", |process| process.held() == held);
    healthy.iter_mut().for_each(Healthy::rests);
    process.until_it_rests();
    healthy.iter_mut().for_each(Healthy::goes_on);
    until_exchanged(&healthy, EXCHANGES);
    let mut late = Healthy::connect(&path, "jobs");
    healthy.iter_mut().for_each(Healthy::rests);
    drop(healthy);
    late_is_served(&mut late, name);
    drop(late);
    server.ends();
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

pub(crate) fn is_long() -> bool {
    std::env::var_os("BECKET_TEST_LONG").is_some()
}

/// Waits until each has made `exchanges` more exchanges.
pub(crate) fn until_exchanged(healthy: &[Healthy], exchanges: u64) {
    let begin = Instant::now();
    for one in healthy {
        let from = one.exchanges();
        while one.exchanges() < from + exchanges {
            assert!(begin.elapsed() < HANGS, "a healthy client is not served");
            thread::yield_now();
        }
    }
}

/// A client that connects after the attack. Its channel may hold hostile elements.
fn late_is_served(late: &mut Healthy, name: &str) {
    if !["without_credit", "flood_of_elements"].contains(&name) {
        late.goes_on();
        until_exchanged(std::slice::from_ref(late), EXCHANGES);
        late.rests();
    }
}

/// The server, seen from outside.
pub(crate) struct Process(pub(crate) PathBuf);

/// Descriptors, and mappings of shared memory.
pub(crate) type Held = (usize, usize);

impl Process {
    fn read(&self, file: impl AsRef<Path>) -> String {
        fs::read_to_string(self.0.join(file)).unwrap_or_default()
    }

    pub(crate) fn held(&self) -> Held {
        let descriptors = fs::read_dir(self.0.join("fd")).unwrap().count();
        let maps = self.read("maps");
        (descriptors, maps.lines().filter(|line| line.contains("memfd:")).count())
    }

    /// Its peak memory.
    pub(crate) fn memory_most_kib(&self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Whether one of its threads has this name.
    pub(crate) fn has_thread(&self, name: &str) -> bool {
        let tasks = fs::read_dir(self.0.join("task")).unwrap();
        tasks.filter_map(Result::ok).any(|task| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        })
    }

    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            assert!(begin.elapsed() < HANGS, "in vain: {what}; it holds {:?}", self.held());
            thread::yield_now();
        }
    }

    /// All its threads sleep in each sample, and were not woken in between. An occasional ping
    /// restarts the series; a thread that polls would never let it complete.
    pub(crate) fn until_it_rests(&self) {
        let (begin, mut looks, mut before) = (Instant::now(), 0, None);
        while looks < LOOKS[usize::from(is_long())] {
            let switches = self.switches_asleep();
            looks = if switches.is_some() && switches == before { looks + 1 } else { 0 };
            before = switches;
            assert!(begin.elapsed() < HANGS, "it does not become idle");
            thread::yield_now();
        }
    }

    /// The context switches of its threads; `None`: one is running.
    fn switches_asleep(&self) -> Option<u64> {
        let mut switches = 0;
        for task in fs::read_dir(self.0.join("task")).unwrap() {
            let status = fs::read_to_string(task.unwrap().path().join("status")).ok()?;
            for line in status.lines() {
                match line.split_once(':')? {
                    ("State", state) if !state.trim().starts_with('S') => return None,
                    ("voluntary_ctxt_switches" | "nonvoluntary_ctxt_switches", count) => {
                        switches += count.trim().parse::<u64>().ok()?;
                    }
                    _ => {}
                }
            }
        }
        Some(switches)
    }
}
