// SPDX-License-Identifier: BSD-3-Clause
//! One process that is every hostile peer at once, each on a thread of its own that attacks without a pause: channels,
//! streams, requests, elements and connections up to their limits, garbage, frames that do not end, and shared memory
//! that is not what it says, in both protocols.
//!
//! The attackers need processors, too, and so does a server that is attacked, and the machine may have few. So the rate
//! of the healthy clients is compared with their rate while the same attacks go to another server, in turns. What is
//! left of the difference is what it costs to have a server in common with the attackers.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::healthy::Healthy;
use crate::part::{Part, SERVER};
use crate::peers;
use crate::trial::{HANGS, Process, is_long, until_exchanged};

/// The part of a process.
pub(crate) const EVERY_PEER: &str = "every_peer";

/// A healthy client exchanges an element in each of these.
const PERIOD: Duration = Duration::from_millis(2);
/// Turns of both kinds, and how long each is; the second of each applies to the long form.
const TURNS: [usize; 2] = [2, 10];
const TURN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// The part of their rate that healthy clients are to keep. It depends on what else the machine does: the test says it,
/// and that the server has a thread of its own for those that keep it busy.
const GOAL: f64 = 0.95;
/// The most that the server's peak memory may grow: what each of the sessions that attack at a time may make it hold.
const MEMORY_MORE_MAX_KIB: u64 = 256 << 10;
/// The thread for peers that keep the server busy.
const SECOND: &str = "becket-ipc-2";

/// Attacks until it is stopped, and says then how often.
#[allow(clippy::exit, reason = "threads that wait to be disconnected end with the process")]
pub(crate) fn play(path: &Path, socket: &mut UnixStream) {
    // An attack that finds no room at the server panics.
    std::panic::set_hook(Box::new(|_| {}));
    let (ends, count) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for peer in peers::ALL {
            let (ends, count) = (&ends, &count);
            scope.spawn(move || {
                while !ends.load(Ordering::SeqCst) {
                    let _found_no_room = catch_unwind(|| (peer.attack)(path));
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        socket.write_all(&[1]).unwrap();
        let _end = socket.read(&mut [0]);
        ends.store(true, Ordering::SeqCst);
        socket.write_all(&count.load(Ordering::SeqCst).to_le_bytes()).unwrap();
        std::process::exit(0);
    });
}

/// What the healthy clients exchange in a second while the server at `path` is attacked, and the number of attacks.
fn rate_while(path: &Path, healthy: &[Healthy]) -> (f64, u64) {
    let mut part = Part::start_last(EVERY_PEER, path);
    part.socket.set_read_timeout(Some(HANGS)).unwrap();
    part.hear().expect("it begins");
    // Each attack has begun.
    until_exchanged(healthy, 50);
    let exchanged = || healthy.iter().map(Healthy::exchanges).sum::<u64>();
    let (begin, before) = (Instant::now(), exchanged());
    let until = begin + TURN[usize::from(is_long())];
    while let left = until.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        thread::park_timeout(left);
    }
    let rate = (exchanged() - before) as f64 / begin.elapsed().as_secs_f64();
    part.socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut count = [0; 8];
    part.socket.read_exact(&mut count).unwrap();
    part.ends();
    (rate, u64::from_le_bytes(count))
}

#[test]
fn all_hostile_peers_at_once_stop_none_of_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let [path, elsewhere] = ["one/socket", "other/socket"].map(|path| directory.path().join(path));
    let [server, other] = [&path, &elsewhere].map(|path| {
        let mut server = Part::start(SERVER, path);
        server.socket.set_read_timeout(Some(HANGS)).unwrap();
        server.hear().expect("it listens");
        server
    });
    let process = Process(PathBuf::from(format!("/proc/{}", server.child.id())));
    let mut healthy =
        ["shared-memory", "unix-stream"].map(|transport| Healthy::connect(&path, transport));
    healthy.iter_mut().for_each(|one| one.goes_on_every(PERIOD));
    until_exchanged(&healthy, 50);
    let (held, memory_kib) = (process.held(), process.memory_most_kib());

    let (mut rates, mut attacks) = ([0.0; 2], 0);
    for turn in 0..TURNS[usize::from(is_long())] {
        let (apart, _) = rate_while(&elsewhere, &healthy);
        let (beside, count) = rate_while(&path, &healthy);
        println!(
            "turn {turn}: {apart:.0} exchanges in a second, {beside:.0} beside {count} attacks"
        );
        rates[0] += apart;
        rates[1] += beside;
        attacks += count;
    }
    let kept = rates[1] / rates[0];
    let more_kib = process.memory_most_kib() - memory_kib;
    let verdict = if kept >= GOAL { "met" } else { "missed" };
    println!("{:.1} % of their rate beside {attacks} attacks, goal 95 %, {verdict}", 100.0 * kept);
    println!("{more_kib} KiB more than {memory_kib}");
    assert!(attacks > 0);
    // Every turn waited until each of them was served.
    assert!(process.has_thread(SECOND), "the attackers were served by the thread of the others");
    assert!(more_kib < MEMORY_MORE_MAX_KIB, "{more_kib} KiB more than {memory_kib}");
    process.until("it holds what it held", |process| process.held() == held);
    healthy.iter_mut().for_each(Healthy::rests);
    process.until_it_rests();
    drop(healthy);
    server.ends();
    other.ends();
}
