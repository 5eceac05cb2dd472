// SPDX-License-Identifier: BSD-3-Clause
//! A side that waits for frames or room, and a peer that provides them; threads that are kicked.
//!
//! A lost wake leaves a thread asleep forever, which loom reports.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

use super::{join, model, spawn};
use crate::{
    doorbell::{Doorbell, Mode, News, Rung},
    side::{Side, pair},
    sync::{self, AtomicBool, AtomicU64, Ordering, fence},
};

/// A position that one side writes and the other reads: as `Own::publish` and `Foreign::acquire`.
#[derive(Default)]
struct Position(AtomicU64);

impl Position {
    fn publish(&self, position: u64) {
        self.0.store(position, Ordering::Release);
    }

    fn read(&self) -> u64 {
        let position = self.0.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        position
    }
}

/// One ring: the number of frames put into it, and taken.
#[derive(Default)]
struct Ring {
    put: Position,
    taken: Position,
}

impl Ring {
    fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
}

/// As `Endpoint::wait`: sleeps until something has arrived. Returns how often it announced a sleep.
fn wait(side: &mut Side, wants_room: bool, is_ready: impl Fn() -> bool) -> usize {
    let mut waits = 0;
    while !is_ready() {
        waits += 1;
        let Some(ticket) = side.prepare_sleep(wants_room, &is_ready) else { break };
        side.doorbell().sleep(ticket, None).unwrap();
        side.disarm();
    }
    waits
}

#[test]
fn a_sleeping_side_is_rung_for_each_frame() {
    model(|| {
        let ring = Ring::new();
        let (mut own, mut peer) = pair();
        let others = ring.clone();
        let puts = spawn(move || {
            let mut rings = 0;
            for position in 1..=2 {
                others.put.publish(position);
                rings += usize::from(peer.ring(News::Frames) == Rung::Bell);
            }
            rings
        });
        let waits = wait(&mut own, false, || ring.put.read() >= 1)
            + wait(&mut own, false, || ring.put.read() >= 2);
        assert!(join(puts) <= waits, "a wait is rung once at most");
    });
}

#[test]
fn a_peer_that_continues_to_publish_rings_once() {
    model(|| {
        let ring = Ring::new();
        let (mut own, mut peer) = pair();
        assert!(!own.arm(Mode::Futex, false, || false));
        ring.put.publish(1);
        assert_eq!(peer.ring(News::Frames), Rung::Bell);
        ring.put.publish(2);
        assert_eq!(peer.ring(News::Frames), Rung::Not);
        own.disarm();
        assert!(own.arm(Mode::Futex, false, || ring.put.read() == 2));
        assert_eq!(peer.ring(News::Frames), Rung::Not, "it is awake");
    });
}

#[test]
fn a_side_without_room_is_rung_for_it() {
    // A ring for one frame: both sides sleep, one for room and one for frames.
    model(|| {
        let ring = Ring::new();
        let (mut own, mut peer) = pair();
        let others = ring.clone();
        let puts = spawn(move || {
            for position in 1..=2 {
                wait(&mut peer, true, || others.taken.read() + 1 >= position);
                others.put.publish(position);
                peer.ring(News::Frames);
            }
        });
        for position in 1..=2 {
            wait(&mut own, false, || ring.put.read() >= position);
            ring.taken.publish(position);
            own.ring(News::Room);
        }
        join(puts);
    });
}

#[test]
fn a_side_that_waits_for_frames_is_not_rung_for_room() {
    model(|| {
        let (mut own, mut peer) = pair();
        assert!(!own.arm(Mode::Futex, false, || false));
        assert_eq!(peer.ring(News::Room), Rung::Not);
        assert_eq!(peer.ring(News::Frames), Rung::Bell);
    });
}

#[test]
fn a_side_that_waits_for_the_socket_gets_a_byte() {
    model(|| {
        let ring = Ring::new();
        let (mut own, mut peer) = pair();
        let socket = Arc::new((Mutex::new(false), Condvar::new()));
        let (others, sends) = (ring.clone(), socket.clone());
        let puts = spawn(move || {
            others.put.publish(1);
            if peer.ring(News::Frames) == Rung::ByByte {
                *sends.0.lock().unwrap() = true;
                sends.1.notify_one();
            }
        });
        if !own.arm(Mode::Event, false, || ring.put.read() == 1) {
            let mut byte = socket.0.lock().unwrap();
            while !*byte {
                byte = socket.1.wait(byte).unwrap();
            }
            own.disarm();
        }
        assert_eq!(ring.put.read(), 1);
        join(puts);
    });
}

/// As `Parker`, of a thread that drives its connection.
#[derive(Default)]
struct Parker {
    woken: AtomicBool,
    sleeps_at: sync::Mutex<Option<Arc<Doorbell>>>,
}

impl Parker {
    fn wake(&self) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        let sleeps_at = self.sleeps_at.lock().clone();
        if let Some(doorbell) = sleeps_at {
            doorbell.kick();
        }
    }

    /// As `Connection::drive` of a connection without frames.
    fn sleep(&self, side: &mut Side) {
        let doorbell = side.doorbell().clone();
        while !self.woken.load(Ordering::Acquire) {
            *self.sleeps_at.lock() = Some(doorbell.clone());
            let ticket = side.prepare_sleep(false, || false);
            if let Some(ticket) = ticket
                && !self.woken.load(Ordering::Acquire)
            {
                doorbell.sleep(ticket, None).unwrap();
            }
            *self.sleeps_at.lock() = None;
            side.disarm();
        }
    }
}

#[test]
fn a_thread_woken_by_its_own_side_is_kicked() {
    model(|| {
        let (mut own, _peer) = pair();
        let parker = Arc::new(Parker::default());
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let parker = parker.clone();
                spawn(move || parker.wake())
            })
            .collect();
        parker.sleep(&mut own);
        wakers.into_iter().for_each(join);
    });
}

#[test]
fn a_kicked_thread_sees_the_reason() {
    model(|| {
        let (mut own, mut peer) = pair();
        let ring = Ring::new();
        let others = ring.clone();
        // On this side: it takes what the sleeping thread waits for, and kicks.
        let doorbell = own.doorbell().clone();
        let takes = spawn(move || {
            others.taken.0.store(1, Ordering::Relaxed);
            doorbell.kick();
        });
        let rings = spawn(move || peer.ring(News::Frames));
        while ring.taken.0.load(Ordering::Relaxed) == 0 {
            let ticket = own.prepare_sleep(false, || false);
            if let Some(ticket) = ticket
                && ring.taken.0.load(Ordering::Relaxed) == 0
            {
                own.doorbell().sleep(ticket, None).unwrap();
            }
            own.disarm();
        }
        join(takes);
        join(rings);
    });
}
