// SPDX-License-Identifier: BSD-3-Clause
//! A plugin that blocks costs its own calls and nothing else, at default settings.
//!
//! While calls of it are blocked, keep-alive connections and new ones on another plugin, and the
//! admin listener, are probed every 10 ms under load: the worst answer is below [`WORST`]. The
//! callers that are blocked get 504 at their deadline, the plugin is reloaded and unloaded, and the
//! drain keeps its time.
//!
//! | | short | with `BECKET_TEST_LONG` | with `BECKET_BLOCKING=full` |
//! |---|---|---|---|
//! | the plugin blocks in | C, Rust | the same | C, Rust, Go (`BECKET_BLOCKING_GO` is its library) |
//! | at | `handle` in C, `stream_data` in Rust, an owned answer's `release` if declared | each | each |
//! | calls at once | `workers_max` in C, one in Rust | both | both |
//! | quick calls before | 8 | 8, and 1000 at `handle` in C | 0, 8, 1000 |
//! | load on the other plugin | of the test | of the test | `wrk`, if it is there |
//!
//! `cargo xtask test --full` runs the second and the third.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]
// A probe has a period, and the promise is by the clock.
#![allow(clippy::disallowed_methods)]

#[path = "../it/common/mod.rs"]
mod common;

mod asked;
mod plugin;
mod probe;

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use becket_gateway::Gateway;
use becket_host::Host;
use tokio::runtime::Runtime;

use crate::plugin::{Inside, Language};
use crate::probe::{Client, Load, Machine, Probes};

/// What a probe may take at most.
const WORST: Duration = Duration::from_millis(100);
/// The deadline of the plugin that blocks.
const DEADLINE: Duration = Duration::from_millis(300);
/// What comes at a deadline, comes so soon after it on a busy machine.
const SOON: Duration = Duration::from_millis(250);
/// How long a call blocks: longer than a cell takes to look.
const BLOCK: Duration = Duration::from_secs(4);
/// How long it is probed.
const PROBED: Duration = Duration::from_millis(700);
const DRAIN: Duration = Duration::from_millis(500);
/// What the ends of plugins may take when a drain took all of its time (`Host::shutdown`).
const ENDS: Duration = Duration::from_secs(1);
/// As by default.
const WORKERS_MAX: usize = 32;
/// After so many quick calls a plugin runs on the server's own threads.
const PROVEN: u32 = 1000;
/// A try in which a server of its own, without a gateway, took so long to answer once says nothing:
/// the machine stood still for others. It is made again, so often at most; a failure in any other try
/// stands.
const DISTURBED: Duration = Duration::from_millis(50);
const TRIES: u32 = 4;

/// Where a call blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Handle,
    Data,
    Release,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    language: Language,
    place: Place,
    /// Calls that are blocked at once.
    at_once: usize,
    quick_before: u32,
    /// The plugin says that it never blocks.
    declared: bool,
}

fn config(library: &Path, inside: &Path, generation: u32) -> String {
    let (deadline, drain) = (DEADLINE.as_millis(), DRAIN.as_millis());
    format!(
        "listen = \"127.0.0.1:0\"\nwatch = false\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [limits]\ndrain_ms = {drain}\n[plugins.kit]\nlinked = \"kit\"\n[plugins.blocks]\n\
         path = {library:?}\nconfig.generation = \"{generation}\"\n\
         config.inside = {inside:?}\nlimits.deadline_ms = {deadline}\n\
         limits.drain_ms = {drain}\n",
    )
}

struct Served {
    runtime: Runtime,
    host: Host,
    gateway: Gateway,
}

impl Served {
    /// On as many threads as `becket serve` has on two cores.
    fn start(config: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .enable_all()
            .build()
            .unwrap();
        let host = Host::new();
        let gateway = runtime.block_on(common::start_on(config, host.clone())).unwrap();
        Self { runtime, host, gateway }
    }

    /// Drains as SIGTERM does; both parts in their stated time.
    fn end(self) -> Duration {
        let began = Instant::now();
        self.runtime.block_on(async {
            let drained = self.gateway.drain(DRAIN).await;
            self.host.shutdown(DRAIN.saturating_sub(drained.took)).await;
        });
        let took = began.elapsed();
        // As the command does: a thread that is stuck is not waited for.
        self.runtime.shutdown_background();
        took
    }
}

/// What was seen of calls that block.
struct Blocked {
    statuses: Vec<(u16, Duration)>,
}

fn block(addr: SocketAddr, cell: Cell) -> Blocked {
    let ms = BLOCK.as_millis().to_string();
    let one = |ms: &str| match cell.place {
        Place::Handle => Client::connect(addr).post("/blocks/handle", ms),
        Place::Release => Client::connect(addr).post("/blocks/release", ms),
        Place::Data => Client::connect(addr).frame("/blocks/data", ms),
    };
    let statuses = thread::scope(|scope| {
        let calls: Vec<_> = (0..cell.at_once).map(|_| scope.spawn(|| one(&ms))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    Blocked { statuses }
}

/// Everything about a cell; the error is what was too slow.
fn look(cell: Cell, library: &Path) -> Result<Duration, String> {
    let inside = Inside::new();
    let served = Served::start(&config(library, &inside.path(), 1));
    let (addr, admin) = (served.gateway.addr(), served.gateway.admin_addr().unwrap());
    let mut quick = Client::connect(addr);
    for _ in 0..cell.quick_before {
        assert_eq!(quick.post("/blocks/quick", "").0, 200, "{cell:?}");
    }
    let load = Load::start(addr, "/kit/echo");
    let probes = Probes::start(addr, "/kit/echo", admin);
    let (blocked, worst) = thread::scope(|scope| {
        let blocked = scope.spawn(|| block(addr, cell));
        thread::sleep(PROBED);
        // A plugin whose workers are all blocked frees its other callers too. One that was quick has
        // blocked threads of the server in place of as many workers.
        if cell.at_once >= WORKERS_MAX && !cell.declared {
            let (status, took) = Client::connect(addr).post("/blocks/quick", "");
            let is_answered = cell.quick_before >= PROVEN && status == 200;
            assert!(status == 504 || is_answered, "{cell:?}: {status}");
            assert!(took < DEADLINE + SOON * 2, "{cell:?}: 504 after {took:?}");
        }
        let worst = probes.end();
        (blocked.join().unwrap(), worst)
    });
    drop(load);
    for (status, took) in &blocked.statuses {
        let as_wanted = match cell.place {
            Place::Handle => *status == 504 && *took >= DEADLINE && *took < DEADLINE + SOON * 2,
            Place::Data | Place::Release => *status < 300 && *took < DEADLINE + SOON * 2,
        };
        // A call on a lent thread is held: at most one less than there are threads.
        let is_held = cell.declared && *took >= BLOCK;
        if !(as_wanted || is_held) {
            return Err(format!("a blocked call had {status} after {took:?}"));
        }
    }
    // Reload, unload and drain do not wait for what is stuck.
    let began = Instant::now();
    let reloaded = served.runtime.block_on(served.gateway.reload(common::config(&config(
        library,
        &inside.path(),
        2,
    ))));
    assert_eq!(reloaded.unwrap().replaced, ["blocks"], "{cell:?}");
    let took = began.elapsed();
    if took > DRAIN * 3 + ENDS + SOON {
        return Err(format!("the reload took {took:?}"));
    }
    let (status, took) = Client::connect(addr).post("/blocks/quick", "");
    assert_eq!(status, 200, "{cell:?}: after the reload, in {took:?}");
    // It is blocked again, for the drain.
    let again = thread::spawn(move || block(addr, Cell { at_once: 1, ..cell }));
    inside.wait_for(2);
    let took = served.end();
    drop(again);
    if took > DRAIN + ENDS + SOON {
        return Err(format!("the drain took {took:?}"));
    }
    worst
}

fn holds(cell: Cell, library: &Path) {
    for made in 1..=TRIES {
        let machine = Machine::start();
        let found = look(cell, library);
        let machine = machine.end();
        match found {
            Ok(worst) => {
                let language = cell.language;
                println!(
                    "{language:?}: {cell:?}: worst {worst:?}, the machine {machine:?}, try {made}"
                );
                return;
            }
            Err(why) if machine < DISTURBED => panic!("{cell:?}: {why} (the machine: {machine:?})"),
            Err(why) => println!("{cell:?}: {why}; the machine took {machine:?}: once more"),
        }
    }
    panic!("{cell:?}: the machine stood still in each of {TRIES} tries");
}

fn is_full() -> bool {
    std::env::var_os("BECKET_BLOCKING").is_some_and(|value| value == "full")
}

fn is_long() -> bool {
    is_full() || std::env::var_os("BECKET_TEST_LONG").is_some()
}

fn every_cell(language: Language) {
    let workshop = plugin::Workshop::new();
    let library = workshop.build(language, false);
    if !is_long() {
        let (place, at_once) = match language {
            Language::Rust => (Place::Data, 1),
            Language::C | Language::Go => (Place::Handle, WORKERS_MAX),
        };
        return holds(
            Cell { language, place, at_once, quick_before: 8, declared: false },
            &library,
        );
    }
    for place in [Place::Handle, Place::Data, Place::Release] {
        let quick_before: &[u32] = match (is_full(), language, place) {
            (true, ..) => &[0, 8, PROVEN],
            (false, Language::C, Place::Handle) => &[8, PROVEN],
            (false, ..) => &[8],
        };
        for at_once in [1, WORKERS_MAX] {
            for quick_before in quick_before.iter().copied() {
                let cell = Cell { language, place, at_once, quick_before, declared: false };
                holds(cell, &library);
            }
        }
    }
}

#[test]
fn a_plugin_that_blocks_in_c_stops_nothing_else() {
    every_cell(Language::C);
}

#[test]
fn a_plugin_that_blocks_in_rust_stops_nothing_else() {
    every_cell(Language::Rust);
}

#[test]
fn a_plugin_that_blocks_in_go_stops_nothing_else() {
    // Its toolchain is not everywhere: `cargo xtask test --full` fetches it and builds the library.
    if is_full() {
        every_cell(Language::Go);
    }
}

#[test]
fn a_plugin_that_says_it_never_blocks_and_does_stops_nothing_else() {
    let workshop = plugin::Workshop::new();
    let library = workshop.build(Language::C, true);
    let all = [Place::Release, Place::Handle, Place::Data];
    for place in all.into_iter().take(if is_long() { 3 } else { 1 }) {
        let counts = [8, 0];
        for quick_before in counts.into_iter().take(if is_long() { 2 } else { 1 }) {
            let cell =
                Cell { language: Language::C, place, at_once: 4, quick_before, declared: true };
            holds(cell, &library);
        }
    }
}
