// SPDX-License-Identifier: BSD-3-Clause
//! A connection over shared memory without its session: a peer puts frames, threads that wait for
//! them drive it or are woken, the I/O thread watches. The lock, the claim and the doorbell are the
//! production code; dispatching, polling and driving are written as in `connection/{core, drive,
//! mod}.rs`, without the bounds on spinning.
//!
//! If a frame is in the ring and no thread is left that polls, a thread that waits for it, or the
//! I/O thread, which ends with the last frame, sleeps forever, which loom reports.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

use super::{join, large_model, model, spawn};
use crate::{
    connection::{
        claim::{Claim, Tick},
        pending_lock::PendingLock,
    },
    doorbell::{Doorbell, Mode, News, Rung},
    side::{Side, pair},
    sync::{self, AtomicBool, AtomicU64, Ordering, fence},
};

struct World {
    /// Frames that the peer has put: in its segment.
    put: AtomicU64,
    /// The number of frames that it puts in total.
    last: u64,
    /// As `shm::FrameProbe`: the number of frames taken, for threads that poll without the lock.
    probe: AtomicU64,
    /// A channel's wake: there is something to send.
    woken: AtomicBool,
    core: PendingLock<Core>,
    claim: Claim,
    doorbell: Arc<Doorbell>,
    parkers: Vec<Parker>,
    io: Io,
}

struct Core {
    side: Side,
    taken: u64,
    is_armed: bool,
}

/// A thread that waits for a frame. As `drive::Parker`.
struct Parker {
    frame: u64,
    woken: AtomicBool,
    /// The thread's park token.
    token: Mutex<bool>,
    unparked: Condvar,
    sleeps_at_doorbell: sync::Mutex<bool>,
}

/// What the I/O thread waits for, as the kernel reports it.
#[derive(Default)]
struct Io {
    state: Mutex<IoState>,
    changed: Condvar,
}

#[derive(Default)]
struct IoState {
    /// There is a byte on the socket that was not reported yet.
    byte: bool,
    /// At most one guard is requested.
    guards: usize,
    is_over: bool,
}

impl Io {
    fn change(&self, change: impl FnOnce(&mut IoState)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_one();
    }
}

impl World {
    /// A started connection: it is not claimed, and its socket is armed. `waited_for` are the
    /// frames that threads wait for.
    fn new(last: u64, waited_for: &[u64]) -> (Arc<Self>, Side) {
        let (mut own, peer) = pair();
        assert!(!own.arm(Mode::Event, false, || false));
        let parker = |&frame: &u64| Parker {
            frame,
            woken: AtomicBool::new(false),
            token: Mutex::default(),
            unparked: Condvar::new(),
            sleeps_at_doorbell: sync::Mutex::default(),
        };
        let world = Self {
            put: AtomicU64::new(0),
            last,
            probe: AtomicU64::new(0),
            woken: AtomicBool::new(false),
            claim: Claim::default(),
            doorbell: own.doorbell().clone(),
            core: PendingLock::new(Core { side: own, taken: 0, is_armed: true }),
            parkers: waited_for.iter().map(parker).collect(),
            io: Io::default(),
        };
        (Arc::new(world), peer)
    }

    /// The peer's part.
    fn peer(&self, mut side: Side) {
        for frame in 1..=self.last {
            self.put.store(frame, Ordering::Release);
            if side.ring(News::Frames) == Rung::ByByte {
                self.io.change(|state| state.byte = true);
            }
        }
    }

    /// The I/O thread's part, until the last frame was taken.
    fn watch(&self) {
        loop {
            let mut state = self.io.state.lock().unwrap();
            while !state.byte && state.guards == 0 && !state.is_over {
                state = self.io.changed.wait(state).unwrap();
            }
            let byte = std::mem::take(&mut state.byte);
            let guards = std::mem::take(&mut state.guards);
            if state.is_over {
                return;
            }
            drop(state);
            assert!(guards <= 1);
            if guards > 0 && self.tick() {
                self.io.state.lock().unwrap().guards += 1;
            }
            if byte {
                self.turn();
            }
        }
    }

    /// As `Guarded::tick`.
    fn tick(&self) -> bool {
        let tick = self.claim.tick();
        if tick == Tick::Lost {
            self.ask_for_wake();
        }
        tick == Tick::Active
    }

    fn ask_for_wake(&self) {
        let core = self.core.lock();
        let is_ready = self.leave_after(core, |core| self.prepare_wait(core));
        if is_ready {
            self.turn();
        }
    }

    /// As `Connection::run`, and `Core::dispatch`.
    fn turn(&self) {
        loop {
            let Some(mut core) = self.core.enter() else { return };
            let before = core.taken;
            loop {
                let took = self.take(&mut core);
                let woke = self.serve_woken();
                if took || woke {
                    if core.taken == before && self.claim.is_taken() {
                        break;
                    }
                    continue;
                }
                let is_driven = self.claim.is_taken();
                if is_driven && core.taken != before {
                    self.doorbell.kick();
                }
                if is_driven || !self.prepare_wait(&mut core) {
                    break;
                }
            }
            let taken = core.taken;
            drop(core);
            self.wake(taken);
            if !self.core.is_pending() {
                return;
            }
        }
    }

    /// As `Connection::locked`, and its unlock.
    fn leave_after<R>(
        &self,
        mut core: sync::MutexGuard<'_, Core>,
        act: impl FnOnce(&mut Core) -> R,
    ) -> R {
        let done = act(&mut core);
        let taken = core.taken;
        drop(core);
        self.wake(taken);
        if self.core.is_pending() {
            self.turn();
        }
        done
    }

    /// As `look_once`, with what is visible without the lock.
    fn look_once(&self) {
        let has_news = self.is_ready(self.probe.load(Ordering::Relaxed))
            || self.woken.load(Ordering::Relaxed);
        if !has_news {
            return;
        }
        if let Some(core) = self.core.try_lock() {
            self.leave_after(core, |core| self.take(core) | self.serve_woken());
        }
    }

    fn is_ready(&self, taken: u64) -> bool {
        let put = self.put.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        put > taken
    }

    /// Takes frames that have arrived. As a link, it then is not armed.
    fn take(&self, core: &mut Core) -> bool {
        if !self.is_ready(core.taken) {
            return false;
        }
        core.taken += 1;
        self.probe.store(core.taken, Ordering::Relaxed);
        if std::mem::take(&mut core.is_armed) {
            core.side.disarm();
        }
        true
    }

    /// As a channel that wakes one of the connection's streams.
    fn send(&self) {
        self.woken.swap(true, Ordering::AcqRel);
        self.turn();
    }

    /// As `Woken::take`, and what it results in.
    fn serve_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::AcqRel)
    }

    /// As `Link::prepare_wait`.
    fn prepare_wait(&self, core: &mut Core) -> bool {
        let ready = core.side.arm(Mode::Event, false, || self.is_ready(core.taken));
        core.is_armed = !ready;
        ready
    }

    /// Wakes the parkers whose frames were taken.
    fn wake(&self, taken: u64) {
        for parker in self.parkers.iter().filter(|parker| parker.frame <= taken) {
            parker.wake(&self.doorbell);
        }
        if taken == self.last {
            self.io.change(|state| state.is_over = true);
        }
    }

    /// As `Connection::drive`: waits for the parker's frame, and gives the connection up by `end`.
    fn drive(&self, parker: usize, end: impl FnOnce(&Self)) {
        let parker = &self.parkers[parker];
        if !self.claim.resume() && !self.claim.claim() {
            while !parker.is_woken() {
                parker.park();
            }
            return;
        }
        loop {
            self.look_once();
            if parker.is_woken() {
                break;
            }
            *parker.sleeps_at_doorbell.lock() = true;
            self.sleep(parker);
            *parker.sleeps_at_doorbell.lock() = false;
            if parker.is_woken() {
                break;
            }
        }
        end(self);
    }

    /// As `Source::sleep`.
    fn sleep(&self, parker: &Parker) {
        let core = self.core.lock();
        let ticket = self.leave_after(core, |core| {
            let ticket = core.side.prepare_sleep(false, || self.is_ready(core.taken));
            core.is_armed = ticket.is_some();
            ticket
        });
        if let Some(ticket) = ticket
            && !parker.is_woken()
        {
            self.doorbell.sleep(ticket, None).unwrap();
        }
    }

    /// As `Source::retain`.
    fn retain(&self) {
        if self.claim.retain() {
            self.io.change(|state| state.guards += 1);
        }
    }

    /// As `Source::release`.
    fn release(&self) {
        self.claim.release();
        self.ask_for_wake();
    }

    fn assert_is_over(&self) {
        let core = self.core.lock();
        assert_eq!(core.taken, self.last);
        assert!(!self.woken.load(Ordering::Relaxed), "nothing is left to send");
        assert!(self.parkers.iter().all(Parker::is_woken));
    }
}

impl Parker {
    fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    fn park(&self) {
        let mut token = self.token.lock().unwrap();
        while !std::mem::take(&mut *token) {
            token = self.unparked.wait(token).unwrap();
        }
    }

    fn wake(&self, doorbell: &Doorbell) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        *self.token.lock().unwrap() = true;
        self.unparked.notify_one();
        let sleeps_at_doorbell = *self.sleeps_at_doorbell.lock();
        if sleeps_at_doorbell {
            doorbell.kick();
        }
    }
}

/// Runs the peer and the I/O thread, and these, each on a thread of its own except the first.
fn run<const N: usize>(last: u64, waited_for: &[u64], threads: [fn(&World); N]) {
    let (world, side) = World::new(last, waited_for);
    let mut others = Vec::new();
    let one = world.clone();
    others.push(spawn(move || one.peer(side)));
    let one = world.clone();
    others.push(spawn(move || one.watch()));
    let [first, rest @ ..] = &threads[..] else { return };
    for thread in rest {
        let (one, thread) = (world.clone(), *thread);
        others.push(spawn(move || thread(&one)));
    }
    first(&world);
    others.into_iter().for_each(join);
    world.assert_is_over();
}

#[test]
fn the_io_thread_takes_frames_without_waiting_threads() {
    model(|| run(2, &[], [|_| {}]));
}

#[test]
fn a_waiting_thread_drives_and_the_io_thread_may_be_first() {
    model(|| run(1, &[1], [|world| world.drive(0, |_| {})]));
}

#[test]
fn an_owner_that_retains_and_does_not_come_back_loses_nothing() {
    model(|| run(2, &[1], [|world| world.drive(0, World::retain)]));
}

#[test]
fn a_thread_that_gives_up_loses_nothing() {
    // The I/O thread may take a frame between the end of the drive and the arming.
    model(|| run(3, &[1], [|world| world.drive(0, World::release)]));
}

#[test]
fn an_owner_that_comes_back_continues() {
    large_model(|| {
        run(
            2,
            &[1, 2],
            [|world| {
                world.drive(0, World::retain);
                world.drive(1, World::retain);
            }],
        );
    });
}

#[test]
fn a_waiting_thread_is_woken_when_the_driving_one_has_left() {
    large_model(|| {
        run(
            2,
            &[1, 2],
            [
                |world| world.drive(0, World::retain),
                |world| {
                    world.drive(1, World::retain);
                },
            ],
        );
    });
}

#[test]
fn a_sending_thread_leaves_frames_to_the_driving_one() {
    large_model(|| {
        run(
            1,
            &[1, 1],
            [
                |world| world.drive(0, World::retain),
                |world| {
                    world.send();
                    world.drive(1, World::retain);
                },
            ],
        );
    });
}

#[test]
fn a_sleeping_thread_is_woken_when_another_takes_its_frame() {
    large_model(|| {
        run(2, &[2], [|world| world.drive(0, World::retain), World::send]);
    });
}

#[test]
fn a_sending_thread_leaves_nothing_when_the_driving_one_leaves() {
    large_model(|| {
        run(2, &[1], [|world| world.drive(0, World::retain), World::send]);
    });
}
