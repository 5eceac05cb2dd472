// SPDX-License-Identifier: BSD-3-Clause
//! A peer that is killed at any moment: received frames are whole and in order, the disconnect is
//! reported after them, and nothing remains: no descriptor, no mapping, no name.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;

use becket_ipc::shm::{Doorbell, Handshake, ShmLink, Side, Woken};
use becket_ipc::transport::{DirectWait as _, Link as _, LinkError, Socket, SocketKind};
use becket_wire::{Head, Kind, Outlet as _};
use rustix::event::{PollFd, PollFlags, poll};

use crate::shared_memory::{finish, pair, shm_limits};
use becket_ipc::transport::conformance::waiting::or_long;

const VARIABLE: &str = "BECKET_TEST_HAMMER";
const OTHER_SIDE: &str = "kill::other_side";

/// Sends endlessly, and takes frames: when the variable is set; otherwise does nothing.
#[test]
fn other_side() {
    let Ok(seed) = std::env::var(VARIABLE) else { return };
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut link = link(stdin, Side::Accepted);
    let mut rng = fastrand::Rng::with_seed(seed.parse().unwrap());
    let mut number = 0;
    loop {
        let body = body(number);
        let head = Head { length: body.len() as u32, sequence: number, ..Head::new(Kind::Data) };
        if number % 50 == 49 {
            let file = fs::File::open("/dev/null").unwrap();
            link.put_descriptors(vec![file.into()]).unwrap();
        }
        while link.put(&head, &body).is_err() {
            if !link.flush().unwrap() && !link.prepare_wait() {
                wait(&link);
            }
            link.take(100, &mut |_, _| ()).unwrap();
        }
        if rng.u8(..4) == 0 {
            link.flush().unwrap();
        }
        number += 1;
    }
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_behind() {
    const ALONE: &str = "BECKET_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        // Other tests of this process open and close descriptors of their own.
        let test = "kill::a_kill_at_any_moment_leaves_nothing_behind";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let run = alone.args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        return;
    }
    // Permanent allocations of the first link of each kind are not leaks.
    kill_one(0);
    let before = Held::now();
    for seed in 1..=or_long(12, 50) {
        kill_one(seed);
        assert_eq!(Held::now(), before, "after kill {seed}");
    }
}

/// Takes a random number of frames, then kills, then takes the rest.
fn kill_one(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (own, others) = Socket::pair(SocketKind::Stream).unwrap();
    let mut child = start(others, seed);
    let mut link = link(own.as_fd().try_clone_to_owned().unwrap(), Side::Connected);
    drop(own);
    let held = Held::now();
    assert_eq!((held.memfds, held.mappings), (0, 2), "two segments, and no descriptor of them");
    let kill_after = rng.u64(0..3_000);
    let (mut came, mut killed) = (0, false);
    let error = loop {
        let frames_max = rng.usize(1..40);
        let taken = link.take(frames_max, &mut |frame, ancillary| {
            assert_eq!(frame.head.sequence, came);
            assert_eq!(frame.body, body(came));
            assert_eq!(ancillary.len(), usize::from(came % 50 == 49));
            came += 1;
        });
        match taken {
            Ok(0) if !link.prepare_wait() => wait(&link),
            Ok(_) => {}
            Err(error) => break error,
        }
        if !killed && came >= kill_after {
            child.kill().unwrap();
            killed = true;
        }
        if rng.bool() {
            let _ = link.put(&Head::new(Kind::Ping), &[]);
            link.flush().unwrap();
        }
    };
    assert_eq!(error, LinkError::Closed, "after {came} frames");
    assert!(killed);
    child.wait().unwrap();
}

/// A thread sleeps at the doorbell, and another one watches the socket, as an I/O thread does.
#[test]
fn a_kill_ends_the_sleep_at_the_doorbell() {
    if !Doorbell::is_supported() {
        return;
    }
    let (own, others) = Socket::pair(SocketKind::Stream).unwrap();
    let mut child = start(others, 1);
    let watched = own.as_fd().try_clone_to_owned().unwrap();
    let mut link = link(own.as_fd().try_clone_to_owned().unwrap(), Side::Connected);
    drop(own);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let ticket = loop {
        while link.take(100, &mut |_, _| ()).unwrap() > 0 {}
        if let Some(ticket) = link.prepare_sleep() {
            break ticket;
        }
    };
    let doorbell = link.doorbell();
    let sleeper = thread::spawn(move || {
        loop {
            // It may be rung for the last frames of the killed peer; only the kick ends the wait.
            let woken = doorbell.sleep(ticket, None).unwrap();
            if woken == Woken::Kicked {
                return;
            }
        }
    });
    child.kill().unwrap();
    let mut fds = [PollFd::new(&watched, PollFlags::IN)];
    poll(&mut fds, None).unwrap();
    let error = loop {
        if let Err(error) = link.take(100, &mut |_, _| ()) {
            break error;
        }
    };
    assert_eq!(error, LinkError::Closed);
    sleeper.join().unwrap();
    child.wait().unwrap();
}

/// Epoll reports the disconnect once, and the notified thread calls `take` once: while another
/// thread sleeps at the doorbell, or is about to.
#[test]
fn a_disconnect_that_is_reported_once_is_noticed() {
    if !Doorbell::is_supported() {
        return;
    }
    let (mut one, other) = pair();
    let _ticket = one.prepare_sleep().unwrap();
    drop(other);
    assert_eq!(one.take(1, &mut |_, _| ()), Err(LinkError::Closed), "one sleeps");

    let awake = || {
        let (mut one, other) = pair();
        assert_eq!(one.take(1, &mut |_, _| ()), Ok(0));
        drop(other);
        assert_eq!(one.take(1, &mut |_, _| ()), Ok(0), "it did not read the socket");
        one
    };
    let mut one = awake();
    assert!(one.prepare_sleep().is_none(), "it does not sleep");
    assert_eq!(one.take(1, &mut |_, _| ()), Err(LinkError::Closed));
    let mut one = awake();
    one.readiness_changed();
    assert_eq!(one.take(1, &mut |_, _| ()), Err(LinkError::Closed), "it was notified");
    let mut one = awake();
    assert!(one.prepare_wait(), "it does not wait");
    assert_eq!(one.take(1, &mut |_, _| ()), Err(LinkError::Closed));
}

/// A thread that sleeps at the doorbell is woken by a frame, by room, and by an earlier kick.
#[test]
fn the_doorbell_wakes() {
    if !Doorbell::is_supported() {
        return;
    }
    let (mut one, mut other) = pair();
    let ticket = one.prepare_sleep().unwrap();
    one.doorbell().kick();
    assert_eq!(one.doorbell().sleep(ticket, None).unwrap(), Woken::Kicked);

    let ticket = one.prepare_sleep().unwrap();
    let past = Some(std::time::Instant::now());
    assert_eq!(one.doorbell().sleep(ticket, past).unwrap(), Woken::TimedOut);

    let bell = one.doorbell();
    let ticket = one.prepare_sleep().unwrap();
    let sleeper = thread::spawn(move || bell.sleep(ticket, None).unwrap());
    other.put(&Head::new(Kind::Ping), &[]).unwrap();
    other.flush().unwrap();
    assert_eq!(sleeper.join().unwrap(), Woken::Rung);
    assert!(one.prepare_sleep().is_none(), "a frame is there");

    while one.put(&Head::new(Kind::Ping), &[]).is_ok() {}
    assert!(!one.flush().unwrap());
    assert_eq!(one.take(9, &mut |_, _| ()).unwrap(), 1);
    let bell = one.doorbell();
    let ticket = one.prepare_sleep().unwrap();
    let sleeper = thread::spawn(move || bell.sleep(ticket, None).unwrap());
    while other.take(9, &mut |_, _| ()).unwrap() > 0 {}
    assert_eq!(sleeper.join().unwrap(), Woken::Rung);
    assert!(one.flush().unwrap(), "there is room");
    one.put(&Head::new(Kind::Ping), &[]).unwrap();
}

/// A process's shared memory, and the names of it.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    memfds: usize,
    sockets: usize,
    mappings: usize,
    names: usize,
}

impl Held {
    fn now() -> Self {
        let links: Vec<_> = fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .map(|link| link.to_string_lossy().into_owned())
            .collect();
        let count = |what: &str| links.iter().filter(|link| link.contains(what)).count();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        Self {
            memfds: count("memfd:becket-ipc"),
            sockets: count("socket:"),
            mappings: maps.lines().filter(|line| line.contains("memfd:becket-ipc")).count(),
            names: fs::read_dir("/dev/shm").map_or(0, |names| {
                names.filter(|e| is_ours(e.as_ref().unwrap().file_name().to_str())).count()
            }),
        }
    }
}

fn is_ours(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.contains("becket-ipc"))
}

fn body(number: u64) -> Vec<u8> {
    let bytes = match number % 7 {
        0 => 0,
        1..5 => number % 97,
        5 => 97 + number % 900,
        _ => 1_000 + number % 19_000,
    };
    (0..bytes).map(|at| (number.wrapping_mul(31) ^ at) as u8).collect()
}

fn link(socket: OwnedFd, side: Side) -> ShmLink {
    finish(Handshake::new(Socket::adopt(socket).unwrap(), side, shm_limits()).unwrap()).unwrap()
}

fn wait(link: &ShmLink) {
    let watch = link.watch();
    let readable: Vec<_> = watch.readable_one().into_iter().collect();
    let writable = watch.writable_one();
    let mut fds: Vec<_> = readable.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    fds.extend(writable.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)));
    let _ = poll(&mut fds, None);
}

/// The other side, in a process of its own.
fn start(socket: Socket, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", OTHER_SIDE, "--nocapture"])
        .env(VARIABLE, seed.to_string())
        .stdin(Stdio::from(socket.as_fd().try_clone_to_owned().unwrap()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
