// SPDX-License-Identifier: BSD-3-Clause
//! Virtual time, and tasks that the lab's choices order: all on the calling thread.
//!
//! Time stands still while a task can run, and then goes to the next timer or event of the network. Timers of
//! `becket-chan` come here by its park hook.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use becket_chan::park::{self, Park, Unparker};
use becket_lab::choice::Choices;
use parking_lot::Mutex;

use super::network::Network;

/// Polls and jumps of a run. More are a run that never rests.
const STEPS_MAX: u64 = 200_000;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct World {
    start: Instant,
    /// Nanoseconds since the start.
    now: AtomicU64,
    next: AtomicU64,
    tasks: Mutex<Vec<Option<Task>>>,
    ready: Mutex<Vec<usize>>,
    timers: Mutex<BTreeMap<(u64, u64), Waker>>,
    pub(super) choices: Mutex<Choices>,
    pub(super) network: Mutex<Network>,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    /// Nothing is left that could happen.
    Stuck,
    /// The time has passed.
    Late,
    /// Too many steps.
    Busy,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// The thread's clock and timers while a run lasts.
struct Clock;

impl Park for Clock {
    fn unparker(&self) -> Unparker {
        Unparker::new(|_| {}, 0)
    }

    fn park(&self, _: Option<Instant>) {
        panic!("a task blocks the thread");
    }

    fn now(&self) -> Instant {
        current().instant()
    }

    fn wake_at(&self, at: Instant, waker: &Waker) -> Option<Box<dyn Send + Sync>> {
        let world = current();
        let at = at.saturating_duration_since(world.start).as_nanos() as u64;
        let key = (at, world.number());
        world.timers.lock().insert(key, waker.clone());
        Some(Box::new(Timer { world, key }))
    }
}

fn current() -> Arc<World> {
    CURRENT.with_borrow(|world| world.clone()).expect("a run")
}

struct Timer {
    world: Arc<World>,
    key: (u64, u64),
}

impl Drop for Timer {
    fn drop(&mut self) {
        let _fired = self.world.timers.lock().remove(&self.key);
    }
}

struct TaskWaker {
    world: Arc<World>,
    task: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self.world.ready.lock();
        if !ready.contains(&self.task) {
            ready.push(self.task);
            // In an order of its own: `watch` wakes its receivers at random.
            ready.sort_unstable();
        }
    }
}

/// Ends the run of the calling thread.
struct Entered(Option<&'static dyn Park>);

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(world) = CURRENT.with_borrow(|world| world.clone()) {
            // Tasks and the world hold each other; a task's end may set another one free.
            while let Some(task) = world.take_any() {
                drop(task);
            }
        }
        CURRENT.set(None);
        park::set_hook(self.0);
    }
}

impl World {
    pub(super) fn new(choices: Choices, network: Network) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            now: AtomicU64::new(0),
            next: AtomicU64::new(0),
            tasks: Mutex::default(),
            ready: Mutex::default(),
            timers: Mutex::default(),
            choices: Mutex::new(choices),
            network: Mutex::new(network),
        })
    }

    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }

    pub(super) fn instant(&self) -> Instant {
        self.start + self.now()
    }

    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        tasks.push(Some(Box::pin(task)));
        self.ready.lock().push(tasks.len() - 1);
    }

    fn take_any(&self) -> Option<Task> {
        self.tasks.lock().iter_mut().find_map(Option::take)
    }

    /// Runs until `main` is done, then for `rest` longer. The tasks end with the run.
    pub(super) fn run(
        self: &Arc<Self>,
        main: impl Future<Output = ()> + Send + 'static,
        (time_max, rest): (Duration, Duration),
    ) -> Ended {
        CURRENT.set(Some(self.clone()));
        let _entered = Entered(park::set_hook(Some(&Clock)));
        // The pauses of senders are drawn from it.
        fastrand::seed(1);
        let done = Arc::new(AtomicU64::new(u64::MAX));
        let (set, world) = (done.clone(), self.clone());
        self.spawn(async move {
            main.await;
            set.store(world.now.load(Ordering::Relaxed), Ordering::Relaxed);
        });
        for _ in 0..STEPS_MAX {
            let until = match done.load(Ordering::Relaxed) {
                u64::MAX => time_max,
                done => Duration::from_nanos(done) + rest,
            };
            if self.poll_one() {
                continue;
            }
            let is_done = done.load(Ordering::Relaxed) != u64::MAX;
            match self.next_time() {
                Some(at) if at <= until => self.jump(at),
                _ if is_done => return Ended::Done,
                Some(_) => return Ended::Late,
                None => return Ended::Stuck,
            }
        }
        Ended::Busy
    }

    fn poll_one(self: &Arc<Self>) -> bool {
        let task = {
            let mut ready = self.ready.lock();
            if ready.is_empty() {
                return false;
            }
            let at = self.choices.lock().below(ready.len() as u32);
            ready.remove(at as usize)
        };
        let Some(mut running) = self.tasks.lock()[task].take() else { return true };
        let waker = Waker::from(Arc::new(TaskWaker { world: self.clone(), task }));
        if running.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.tasks.lock()[task] = Some(running);
        }
        true
    }

    fn next_time(&self) -> Option<Duration> {
        let timer = self.timers.lock().first_key_value().map(|((at, _), _)| *at);
        let event = self.network.lock().next_time();
        timer.into_iter().chain(event).min().map(Duration::from_nanos)
    }

    fn jump(self: &Arc<Self>, to: Duration) {
        let to = (to.as_nanos() as u64).max(self.now.load(Ordering::Relaxed));
        self.now.store(to, Ordering::Relaxed);
        loop {
            let fired = {
                let mut timers = self.timers.lock();
                match timers.first_key_value() {
                    Some(((at, _), _)) if *at <= to => timers.pop_first(),
                    _ => None,
                }
            };
            match fired {
                Some((_, waker)) => waker.wake(),
                None => break,
            }
        }
        self.network.lock().happen(to, &mut self.choices.lock());
    }
}
