// SPDX-License-Identifier: BSD-3-Clause
//! Two processes over shared memory: the cost of a message, beside the floors of this machine.
//!
//! ```text
//! cargo run --release -p becket-ipc --example shm_ping
//! ```
//!
//! *awake*: on two CPUs, each spinning before it sleeps. *packed*: both on one CPU. *asleep*: on
//! two CPUs, neither spinning. Each figure is the median of 9 repetitions, with the minimum and the
//! maximum, in nanoseconds. The echoed bytes are checked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use becket_ipc::shm::{Endpoint, Handshake, Refused, ShmLimits, ShmLink, Side, SpinLimits};
use becket_ipc::transport::{Link as _, Socket, SocketKind};
use becket_wire::{Head, Kind, Outlet as _};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::thread::{CpuSet, futex, sched_setaffinity};

const REPETITIONS: usize = 9;
const WINDOW: u64 = 64;
const BODY_BYTES: usize = 64;

/// Where the two run, and whether they spin before they sleep.
#[derive(Clone, Copy)]
struct Mode {
    name: &'static str,
    child_cpu: usize,
    spin: bool,
}

const AWAKE: Mode = Mode { name: "awake", child_cpu: 1, spin: true };
const PACKED: Mode = Mode { name: "packed", child_cpu: 0, spin: true };
const ASLEEP: Mode = Mode { name: "asleep", child_cpu: 1, spin: false };

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, cpu, spin] = &arguments[..] {
        pin(cpu.parse().unwrap());
        let signal = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(signal).unwrap();
        match role.as_str() {
            "ring" => echo(&mut ring(stdin(), Side::Accepted, spin == "true")),
            "word" => echo_word(&stdin(), std::hint::spin_loop),
            "yield" => echo_word(&stdin(), rustix::thread::sched_yield),
            "link" => echo_link(link(stdin(), Side::Accepted, spin == "true")),
            _ => echo_futex(&stdin()),
        }
        return;
    }
    pin(0);
    println!("{:<44} {:>9} {:>9} {:>9}", "", "median", "least", "most");
    for (mode, messages) in [(AWAKE, 20_000), (PACKED, 5_000), (ASLEEP, 300)] {
        if mode.name == "packed" {
            let (mut child, socket) = start("yield", mode);
            let word = Word::own(&socket);
            report("round trip of a word by yielding", mode, messages, || word.yields(messages));
            word.end();
            child.wait().unwrap();
        }
        if mode.name != "awake" {
            let (mut child, socket) = start("futex", mode);
            let word = Word::own(&socket);
            report("64 B round trip, futex floor", mode, messages, || word.ping(messages));
            word.end();
            child.wait().unwrap();
        } else {
            let (mut child, socket) = start("word", mode);
            let word = Word::own(&socket);
            report("round trip of a word", mode, messages, || word.spin(messages));
            word.end();
            child.wait().unwrap();
        }
        with_ring(mode, |ring| {
            report("64 B round trip, ring", mode, messages, || round_trips(ring, messages));
        });
        let (mut child, socket) = start("link", mode);
        let mut link = link(socket, Side::Connected, mode.spin);
        report("64 B round trip, link", mode, messages, || link_round_trips(&mut link, messages));
        drop(link);
        child.wait().unwrap();
    }
    report("a connection made and dropped", PACKED, 100, || connections(100));
    let messages = 100_000;
    for mode in [AWAKE, PACKED] {
        with_ring(mode, |ring| {
            report("window of 64, per message", mode, messages, || window(ring, messages));
            report("one way, 64 B, per message", mode, messages, || one_way(ring, messages, 64));
            let fewer = messages / 8;
            report("one way, 4 KiB, per message", mode, fewer, || one_way(ring, fewer, 4096));
        });
    }
}

fn report(what: &str, mode: Mode, messages: u64, mut run: impl FnMut() -> Duration) {
    run();
    let mut each: Vec<f64> =
        (0..REPETITIONS).map(|_| run().as_nanos() as f64 / messages as f64).collect();
    each.sort_by(f64::total_cmp);
    let what = format!("{what}, {}", mode.name);
    let (median, last) = (each[REPETITIONS / 2], each[REPETITIONS - 1]);
    println!("{what:<44} {median:>9.1} {:>9.1} {last:>9.1}", each[0]);
}

fn with_ring(mode: Mode, measure: impl FnOnce(&mut Endpoint)) {
    let (mut child, socket) = start("ring", mode);
    let mut ring = ring(socket, Side::Connected, mode.spin);
    measure(&mut ring);
    put(&mut ring, Kind::Close, 0, &[]);
    ring.flush().unwrap();
    child.wait().unwrap();
    eprintln!("    {:?}", ring.counters());
}

/// Both sides in this process.
fn connections(count: u64) -> Duration {
    let began = Instant::now();
    for _ in 0..count {
        let (one, other) = Socket::pair(SocketKind::Stream).unwrap();
        let mut one = Handshake::new(one, Side::Connected, ShmLimits::default()).unwrap();
        let mut other = Handshake::new(other, Side::Accepted, ShmLimits::default()).unwrap();
        assert!(one.progress().unwrap().is_none());
        assert!(other.progress().unwrap().is_some() && one.progress().unwrap().is_some());
    }
    began.elapsed()
}

fn round_trips(ring: &mut Endpoint, messages: u64) -> Duration {
    let body = [7; BODY_BYTES];
    let began = Instant::now();
    for number in 0..messages {
        put(ring, Kind::Ping, number, &body);
        ring.flush().unwrap();
        let mut came = 0;
        while came == 0 {
            came = ring
                .take(1, |frame| assert!(frame.head.sequence == number && frame.body == body))
                .unwrap();
            if came == 0 {
                ring.wait(None).unwrap();
            }
        }
    }
    began.elapsed()
}

/// Up to 64 in flight.
fn window(ring: &mut Endpoint, messages: u64) -> Duration {
    let body = [7; BODY_BYTES];
    let began = Instant::now();
    let (mut sent, mut came) = (0, 0);
    while came < messages {
        while sent < messages && sent - came < WINDOW {
            put(ring, Kind::Ping, sent, &body);
            sent += 1;
        }
        ring.flush().unwrap();
        let before = came;
        ring.take(WINDOW as usize, |frame| {
            assert_eq!((frame.head.sequence, frame.body), (came, &body[..]));
            came += 1;
        })
        .unwrap();
        if came == before {
            ring.wait(None).unwrap();
        }
    }
    began.elapsed()
}

/// As fast as the peer takes them; it answers the last one.
fn one_way(ring: &mut Endpoint, messages: u64, bytes: usize) -> Duration {
    let body = vec![7; bytes];
    let began = Instant::now();
    for number in 0..messages {
        let last = number + 1 == messages;
        put(ring, if last { Kind::Ping } else { Kind::Data }, number, &body);
        if number % 16 == 15 || last {
            ring.flush().unwrap();
        }
    }
    while ring.take(1, |_| ()).unwrap() == 0 {
        ring.wait(None).unwrap();
    }
    began.elapsed()
}

fn put(ring: &mut Endpoint, kind: Kind, sequence: u64, body: &[u8]) {
    let head = Head { length: body.len() as u32, sequence, ..Head::new(kind) };
    loop {
        match ring.put(&head, body, 0) {
            Ok(()) => return,
            Err(Refused::Full) => {
                ring.wait(None).unwrap();
            }
            Err(refused) => panic!("{refused:?}"),
        }
    }
}

/// Answers pings until the close frame.
fn echo(ring: &mut Endpoint) {
    let mut answers = Vec::with_capacity(WINDOW as usize);
    let mut open = true;
    let mut count = 0_u64;
    while open {
        let came = ring
            .take(WINDOW as usize, |frame| match frame.head.kind {
                Kind::Ping if frame.body.len() == BODY_BYTES => {
                    let mut body = [0; BODY_BYTES];
                    body.copy_from_slice(frame.body);
                    answers.push((frame.head, body));
                }
                Kind::Ping => answers.push((frame.head, [0; BODY_BYTES])),
                Kind::Close => open = false,
                _ => count += u64::from(frame.body[0]),
            })
            .unwrap();
        for (head, body) in answers.drain(..) {
            put(ring, Kind::Pong, head.sequence, &body);
        }
        ring.flush().unwrap();
        if came == 0 {
            ring.wait(None).unwrap();
        }
    }
    assert!(count.is_multiple_of(7));
}

fn link_round_trips(link: &mut ShmLink, messages: u64) -> Duration {
    let body = [7; BODY_BYTES];
    let began = Instant::now();
    for sequence in 0..messages {
        link.put(&Head { length: 64, sequence, ..Head::new(Kind::Ping) }, &body).unwrap();
        link.flush().unwrap();
        let mut came = 0;
        while came == 0 {
            came = link
                .take(1, &mut |frame, _| {
                    assert!(frame.head.sequence == sequence && frame.body == body);
                })
                .unwrap();
            if came == 0 {
                wait_link(link);
            }
        }
    }
    began.elapsed()
}

fn echo_link(mut link: ShmLink) {
    let mut answer = None;
    loop {
        let came = link.take(1, &mut |frame, _| {
            let mut body = [0; BODY_BYTES];
            body.copy_from_slice(frame.body);
            answer = Some((frame.head, body));
        });
        match (came, answer.take()) {
            (Err(_), _) => return,
            (Ok(_), Some((head, body))) => {
                link.put(&head, &body).unwrap();
                link.flush().unwrap();
            }
            (Ok(_), None) => wait_link(&mut link),
        }
    }
}

/// As a thread that drives a link: spins, then sleeps. Here no other thread watches the socket, so
/// a long sleep reads it.
fn wait_link(link: &mut ShmLink) {
    if link.spin() {
        return;
    }
    let Some(ticket) = link.prepare_sleep() else { return };
    let deadline = Instant::now() + Duration::from_millis(100);
    link.doorbell().sleep(ticket, Some(deadline)).unwrap();
}

fn ring(socket: OwnedFd, side: Side, spin: bool) -> Endpoint {
    link(socket, side, spin).into_parts().0
}

fn link(socket: OwnedFd, side: Side, spin: bool) -> ShmLink {
    let spin = if spin { SpinLimits::default() } else { SpinLimits { spin_max: Duration::ZERO } };
    let limits = ShmLimits { spin, ..ShmLimits::default() };
    let mut handshake = Handshake::new(Socket::adopt(socket).unwrap(), side, limits).unwrap();
    loop {
        if let Some(link) = handshake.progress().unwrap() {
            return link;
        }
        let watch = handshake.watch();
        let readable: Vec<_> = watch.readable_one().into_iter().collect();
        let mut fds: Vec<_> = readable.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        poll(&mut fds, None).unwrap();
    }
}

fn start(role: &str, mode: Mode) -> (Child, OwnedFd) {
    let (own, others) = Socket::pair(SocketKind::Stream).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([role, &mode.child_cpu.to_string(), &mode.spin.to_string()])
        .stdin(Stdio::from(others.as_fd().try_clone_to_owned().unwrap()))
        .spawn()
        .unwrap();
    (child, own.as_fd().try_clone_to_owned().unwrap())
}

fn stdin() -> OwnedFd {
    std::io::stdin().as_fd().try_clone_to_owned().unwrap()
}

fn pin(cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).unwrap();
}

/// The floor: one word that two processes change alternately, without anything else.
struct Word(&'static AtomicU32);

impl Word {
    /// Creates it and passes it to the peer.
    fn own(socket: &OwnedFd) -> Self {
        let file = rustix::fs::memfd_create("word", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 4096).unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        control.push(rustix::net::SendAncillaryMessage::ScmRights(&files));
        let bytes = [std::io::IoSlice::new(b"w")];
        rustix::net::sendmsg(socket, &bytes, &mut control, rustix::net::SendFlags::empty())
            .unwrap();
        Self::map(&file)
    }

    fn of_the_other_side(socket: &OwnedFd) -> Self {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let fds = &mut [PollFd::new(socket, PollFlags::IN)];
        poll(fds, None).unwrap();
        let bytes = &mut [std::io::IoSliceMut::new(&mut byte)];
        rustix::net::recvmsg(socket, bytes, &mut control, rustix::net::RecvFlags::empty()).unwrap();
        let mut files = control.drain().flat_map(|message| match message {
            rustix::net::RecvAncillaryMessage::ScmRights(files) => files,
            _ => panic!("no descriptor"),
        });
        Self::map(&files.next().unwrap())
    }

    fn map(file: &OwnedFd) -> Self {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping of a file of this size, never unmapped, only accessed as an atomic.
        let word =
            unsafe { &*mmap(std::ptr::null_mut(), 4096, prot, flags, file, 0).unwrap().cast() };
        Self(word)
    }

    fn ping(&self, messages: u64) -> Duration {
        let began = Instant::now();
        for _ in 0..messages {
            self.turn(1);
            self.wait_while(1);
        }
        began.elapsed()
    }

    fn spin(&self, messages: u64) -> Duration {
        let began = Instant::now();
        for _ in 0..messages {
            self.0.store(1, Ordering::Release);
            while self.0.load(Ordering::Acquire) == 1 {
                std::hint::spin_loop();
            }
        }
        began.elapsed()
    }

    fn yields(&self, messages: u64) -> Duration {
        let began = Instant::now();
        for _ in 0..messages {
            self.0.store(1, Ordering::Release);
            while self.0.load(Ordering::Acquire) == 1 {
                rustix::thread::sched_yield();
            }
        }
        began.elapsed()
    }

    fn end(&self) {
        self.turn(2);
    }

    fn turn(&self, value: u32) {
        self.0.store(value, Ordering::SeqCst);
        futex::wake(self.0, futex::Flags::empty(), 1).unwrap();
    }

    fn wait_while(&self, value: u32) -> u32 {
        loop {
            let now = self.0.load(Ordering::SeqCst);
            if now != value {
                return now;
            }
            let _ = futex::wait(self.0, futex::Flags::empty(), value, None);
        }
    }
}

fn echo_word(socket: &OwnedFd, between: fn()) {
    let word = Word::of_the_other_side(socket).0;
    loop {
        match word.load(Ordering::Acquire) {
            0 => between(),
            1 => word.store(0, Ordering::Release),
            _ => return,
        }
    }
}

fn echo_futex(socket: &OwnedFd) {
    let word = Word::of_the_other_side(socket);
    while word.wait_while(0) == 1 {
        word.turn(0);
    }
}
