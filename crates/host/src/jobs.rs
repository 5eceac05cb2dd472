// SPDX-License-Identifier: BSD-3-Clause
//! Work that must not run on a caller's thread, in order, on a bounded number of threads.
//!
//! Each queue has threads of its own: at most `running_max`, started when there is work for one
//! more, ended after [`LINGER`] without work. So threads that are stuck in one plugin are taken
//! from no other. The queue, and the state of its threads, is under one lock that is held for a few
//! instructions.
//!
//! ```text
//!   submit   queue + 1; is no thread looking? wake an idle one, or start one
//!   thread   looking ──▶ takes a job; more in the queue? wakes the next ──▶ runs the job ──▶ again
//!                  └───▶ nothing there ──▶ idle ──(woken)──▶ looking
//! ```
//!
//! A thread is *looking* from the moment it is woken or started until it has been at the queue.
//! There is one at most, which wakes the next before it runs anything: a burst of jobs costs a few
//! wakes, and not one a job.
//!
//! Where jobs come fast and are over in microseconds, even those wakes cost more than the jobs.
//! Then one thread is enough: it *drains* the queue without waking others, naps for [`NAP`] instead
//! of going idle, and finds what came meanwhile, as network drivers do under load (J. Mogul and K.
//! Ramakrishnan, "Eliminating Receive Livelock", 1997). It stops after a nap that brought few jobs.
//! If a job blocks after all, the watchdog sees the thread stuck and [`Jobs::rescue`] ends the
//! draining.
//!
//! A thread that a job has kept for so long that another process has put it into the scheduler's idle class, which
//! this one may not undo, ends after its jobs. The next one is started by a submit, and is of the submitter's class.
//!
//! # Invariants
//!
//! 1. While the queue is not empty, a thread is looking or draining, or `running_max` are running.
//!    A thread that drains and is stuck is seen by the watchdog within two of its ticks.
//! 2. An idle thread is on the list of idle ones, or was counted as looking when it was taken off.
//! 3. A job runs once or is dropped; none of either happens under the lock.

use std::{
    collections::VecDeque,
    future::Future,
    mem::{self, ManuallyDrop},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    thread::{self, Builder, Thread},
    time::{Duration, Instant},
};

use async_task::{Runnable, Task};

use crate::{reentry::Mutex, sys};

/// How long a thread waits for another job before it ends.
const LINGER: Duration = Duration::from_secs(10);

/// How long a thread that drains the queue leaves it alone.
const NAP: Duration = Duration::from_micros(50);

/// A thread begins or goes on to drain after at least this many jobs without a pause, if they took
/// no longer than [`QUICK`] each.
const DRAIN_MIN: u32 = 3;
const QUICK: Duration = Duration::from_micros(20);

/// How long no thread drains after a rescue.
const EAGER: Duration = Duration::from_secs(1);

/// Jobs that are not wanted any more are purged when at least this many jobs are queued.
const PURGE_MIN: usize = 64;

/// What a queue runs.
pub(crate) trait Job: Send {
    /// Runs it.
    fn run(self: Box<Self>);

    /// False if its caller has left: then it may be dropped instead.
    fn is_wanted(&self) -> bool {
        true
    }

    /// True if it has no caller that could leave: at the plugin's end it is given up.
    fn is_unattended(&self) -> bool {
        false
    }
}

impl<F: FnOnce() + Send> Job for F {
    fn run(self: Box<Self>) {
        self();
    }
}

/// A job, as it is queued.
pub(crate) type BoxedJob = Box<dyn Job>;

/// The queue is at its bound.
#[derive(Debug)]
pub(crate) struct Full;

/// See the module's documentation.
pub(crate) struct Jobs {
    name: String,
    state: Mutex<State>,
    /// The length of the queue, to look at.
    queued: AtomicU64,
    running_max: u32,
    queued_max: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<BoxedJob>,
    idle: Vec<Arc<Sleeper>>,
    /// Threads that are alive.
    threads: u32,
    /// A thread was woken or started, and has not been at the queue since.
    looking: bool,
    /// One thread runs all jobs, which are quick.
    draining: bool,
    /// No thread drains before.
    eager_until: Option<Instant>,
    /// No more work is expected: threads end as soon as there is none.
    ending: bool,
    /// At this length the queue is searched for jobs that are not wanted any more.
    purge_at: usize,
}

/// An idle thread.
struct Sleeper {
    thread: Thread,
    woken: AtomicBool,
}

/// What is to be done when the lock is released.
#[must_use]
enum Next {
    Nothing,
    Wake(Arc<Sleeper>),
    Start,
}

impl State {
    /// Restores invariant 1 after a job was put in or taken.
    fn look(&mut self, running_max: u32) -> Next {
        if self.looking || self.draining || self.queue.is_empty() {
            return Next::Nothing;
        }
        if let Some(sleeper) = self.idle.pop() {
            self.looking = true;
            return Next::Wake(sleeper);
        }
        if self.threads < running_max {
            self.threads += 1;
            self.looking = true;
            return Next::Start;
        }
        Next::Nothing
    }

    /// Takes the jobs out that are not wanted any more, if it is time for that.
    fn purge(&mut self, queued_max: usize) -> Vec<BoxedJob> {
        let len = self.queue.len();
        if len < self.purge_at.max(PURGE_MIN) && len < queued_max {
            return Vec::new();
        }
        let purged = self.keep(|job| job.is_wanted());
        // At least as many come before the next search as this one looked at and kept.
        self.purge_at = self.queue.len() * 2;
        purged
    }

    /// Takes the jobs out that are not to be kept.
    fn keep(&mut self, is_kept: impl Fn(&dyn Job) -> bool) -> Vec<BoxedJob> {
        let queue = mem::take(&mut self.queue).into_iter();
        let (kept, others): (Vec<_>, Vec<_>) = queue.partition(|job| is_kept(&**job));
        self.queue = kept.into();
        others
    }
}

impl Jobs {
    /// A queue for `queued_max` jobs; its threads, at most `running_max`, are named `name`.
    pub(crate) fn new(name: String, running_max: u32, queued_max: usize) -> Self {
        Self {
            name,
            state: Mutex::default(),
            queued: AtomicU64::new(0),
            running_max: running_max.max(1),
            queued_max,
        }
    }

    /// Queues a job.
    pub(crate) fn submit(&'static self, job: BoxedJob) -> Result<(), Full> {
        self.put(job, self.queued_max)
    }

    /// Queues a job that must run, whatever the bound: there are no more of its kind than of
    /// something else that is bounded.
    pub(crate) fn submit_owed(&'static self, job: BoxedJob) {
        // Not refused without a bound.
        let _ = self.put(job, usize::MAX);
    }

    fn put(&'static self, job: BoxedJob, queued_max: usize) -> Result<(), Full> {
        let mut state = self.state.lock();
        let purged = state.purge(queued_max);
        if state.queue.len() >= queued_max {
            drop(state);
            drop((purged, job));
            return Err(Full);
        }
        state.queue.push_back(job);
        self.queued.store(state.queue.len() as u64, Ordering::Relaxed);
        let next = state.look(self.running_max);
        drop(state);
        drop(purged);
        self.go_on(next);
        Ok(())
    }

    /// Jobs that no thread has taken on yet.
    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Drops the jobs that have no callers; how many there were.
    pub(crate) fn drop_unattended(&self) -> usize {
        let mut state = self.state.lock();
        let dropped = state.keep(|job| !job.is_unattended());
        self.queued.store(state.queue.len() as u64, Ordering::Relaxed);
        drop(state);
        dropped.len()
    }

    /// No more work is expected: idle threads end, and others when they find no job.
    pub(crate) fn end(&self) {
        let idle = {
            let mut state = self.state.lock();
            state.ending = true;
            mem::take(&mut state.idle)
        };
        // Not looking: there may be one more at the queue than usual, which finds nothing.
        idle.iter().for_each(|sleeper| sleeper.wake());
    }

    fn go_on(&'static self, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Wake(sleeper) => sleeper.wake(),
            Next::Start => {
                let started = Builder::new().name(self.name.clone()).spawn(move || self.work());
                if let Err(error) = started {
                    // The next submit tries again.
                    let mut state = self.state.lock();
                    state.threads -= 1;
                    state.looking = false;
                    drop(state);
                    tracing::error!(
                        target: "becket::host",
                        thread = self.name,
                        %error,
                        "a thread could not be started",
                    );
                }
            }
        }
    }

    /// A thread is stuck in a job: another runs those behind it.
    pub(crate) fn rescue(&'static self) {
        let next = {
            let mut state = self.state.lock();
            if !state.draining {
                return;
            }
            state.draining = false;
            state.eager_until = Some(Instant::now() + EAGER);
            state.look(self.running_max)
        };
        self.go_on(next);
    }

    /// What a thread does.
    fn work(&'static self) {
        let thread = crate::thread::current();
        thread.set_worker();
        sys::naps_are_short();
        let sleeper =
            Arc::new(Sleeper { thread: thread::current(), woken: AtomicBool::new(false) });
        let mut is_looking = true;
        let mut burst = Run::begin();
        loop {
            let mut state = self.state.lock();
            if mem::take(&mut is_looking) {
                state.looking = false;
            }
            let Some(job) = state.queue.pop_front() else {
                if self.drains_on(&mut state, &mut burst) {
                    drop(state);
                    thread::park_timeout(NAP);
                    burst = Run { drains: true, ..Run::begin() };
                    continue;
                }
                if state.ending || thread.take_stuck() && sys::is_of_idle_class() {
                    state.threads -= 1;
                    return;
                }
                state.idle.push(sleeper.clone());
                drop(state);
                is_looking = self.sleep(&sleeper);
                if !is_looking {
                    return;
                }
                burst = Run::begin();
                continue;
            };
            self.queued.store(state.queue.len() as u64, Ordering::Relaxed);
            let next = state.look(self.running_max);
            drop(state);
            self.go_on(next);
            burst.jobs += 1;
            run(job);
        }
    }

    /// The queue is empty: whether this thread drains it from here on.
    fn drains_on(&self, state: &mut State, run: &mut Run) -> bool {
        // A rescue may have ended it meanwhile.
        let drained = run.drains && state.draining;
        let is_free = drained || !state.draining;
        let goes_on = is_free && !state.ending && run.is_quick(state.eager_until);
        if drained || goes_on {
            state.draining = goes_on;
        }
        run.drains = goes_on;
        goes_on
    }

    /// Waits to be woken; false if no wake came for long, and the thread is counted no more.
    fn sleep(&self, sleeper: &Arc<Sleeper>) -> bool {
        let until = Instant::now() + LINGER;
        while !sleeper.woken.swap(false, Ordering::Acquire) {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                thread::park_timeout(left);
                continue;
            }
            let mut state = self.state.lock();
            if let Some(at) = state.idle.iter().position(|other| Arc::ptr_eq(other, sleeper)) {
                state.idle.swap_remove(at);
                state.threads -= 1;
                return false;
            }
            // Somebody took it off the list and is about to wake it.
            drop(state);
            thread::park();
        }
        true
    }
}

/// The jobs that a thread ran without a pause.
struct Run {
    since: Instant,
    jobs: u32,
    /// The thread drains.
    drains: bool,
}

impl Run {
    fn begin() -> Self {
        Self { since: Instant::now(), jobs: 0, drains: false }
    }

    fn is_quick(&self, eager_until: Option<Instant>) -> bool {
        if self.jobs < DRAIN_MIN {
            return false;
        }
        let now = Instant::now();
        now.saturating_duration_since(self.since) < QUICK * self.jobs
            && eager_until.is_none_or(|until| now >= until)
    }
}

impl Sleeper {
    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Runs a future that calls neither the plugin nor the user: here, and from then on on each thread
/// that wakes it.
pub(crate) fn run_where_woken(future: impl Future<Output = ()> + Send + 'static) {
    let (runnable, task) = async_task::spawn(future, |runnable: Runnable| {
        runnable.run();
    });
    task.detach();
    runnable.schedule();
}

/// What runs `f`, and a future of what that returns. It is dropped or run once, by whatever has it: it
/// never waits, so it is never scheduled again.
pub(crate) fn once<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> (Runnable, Task<T>) {
    async_task::spawn(async move { f() }, |_| {})
}

/// Runs a job; a panic in it ends here: the queue goes on.
pub(crate) fn run(job: BoxedJob) {
    caught(|| job.run(), "a job of a plugin panicked");
}

/// Wakes a task; a panic in its waker, which is the user's, ends here: others are still to be woken.
pub(crate) fn wake(waker: Waker) {
    caught(|| waker.wake(), "a waker panicked");
}

/// Runs `f`, and logs `what` if it panics.
pub(crate) fn caught(f: impl FnOnce(), what: &'static str) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        // To drop the payload may panic too.
        let _kept = ManuallyDrop::new(payload);
        tracing::error!(target: "becket::host", "{what}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use becket_chan::unlimited;

    use super::*;

    fn jobs(running_max: u32, queued_max: usize) -> &'static Jobs {
        Box::leak(Box::new(Jobs::new("jobs".to_owned(), running_max, queued_max)))
    }

    #[test]
    fn one_thread_runs_in_order_and_the_bound_counts_what_waits() {
        let jobs = jobs(1, 2);
        let (begun, is_begun) = unlimited();
        let (go_on, may_go_on) = unlimited();
        let (ran, order) = unlimited();
        let job = |at: u32| -> BoxedJob {
            let (begun, may_go_on, ran) = (begun.clone(), may_go_on.clone(), ran.clone());
            Box::new(move || {
                begun.try_send(()).unwrap();
                may_go_on.recv().wait().unwrap();
                ran.try_send(at).unwrap();
            })
        };
        jobs.submit(job(0)).unwrap();
        is_begun.recv().wait().unwrap();
        jobs.submit(job(1)).unwrap();
        jobs.submit(job(2)).unwrap();
        assert!(jobs.submit(job(3)).is_err(), "one runs and two wait");
        assert_eq!(jobs.queued(), 2);
        (0..3).for_each(|_| go_on.try_send(()).unwrap());
        assert_eq!([(); 3].map(|()| order.recv().wait().unwrap()), [0, 1, 2]);
        go_on.try_send(()).unwrap();
        jobs.submit(job(4)).unwrap();
        assert_eq!(order.recv().wait(), Ok(4));
        assert_eq!(jobs.queued(), 0);
    }

    #[test]
    fn each_job_runs_once_on_no_more_threads_than_may_be() {
        static RUNNING: AtomicU32 = AtomicU32::new(0);
        static MOST: AtomicU32 = AtomicU32::new(0);
        let jobs = jobs(3, 100_000);
        let (ran, all) = unlimited();
        thread::scope(|scope| {
            for thread in 0..4 {
                let ran = &ran;
                scope.spawn(move || {
                    for at in 0..500 {
                        let ran = ran.clone();
                        let job = move || {
                            MOST.fetch_max(
                                RUNNING.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            RUNNING.fetch_sub(1, Ordering::SeqCst);
                            ran.try_send(thread * 500 + at).unwrap();
                            assert!(at % 100 != 7, "a job that panics takes no other with it");
                        };
                        jobs.submit(Box::new(job)).unwrap();
                    }
                });
            }
        });
        let mut seen: Vec<i32> = (0..2000).map(|_| all.recv().wait().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..2000).collect::<Vec<_>>());
        assert!(MOST.load(Ordering::SeqCst) <= 3);
    }

    #[cfg_attr(becket_portable, ignore = "there is no such class")]
    #[test]
    fn a_thread_that_was_put_into_the_idle_class_ends_and_the_next_is_not_of_it() {
        let jobs = jobs(1, 3);
        let (ran, all) = unlimited();
        let lowered = ran.clone();
        let lowers = move || {
            let parameters = libc::sched_param { sched_priority: 0 };
            // SAFETY: reads the record, and changes this thread's class.
            unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
            // As the watchdog does.
            crate::thread::current().set_stuck();
            lowered.try_send(sys::is_of_idle_class()).unwrap();
        };
        jobs.submit(Box::new(lowers)).unwrap();
        assert_eq!(all.recv().wait(), Ok(true));
        while jobs.state.lock().threads > 0 {
            thread::yield_now();
        }
        jobs.submit(Box::new(move || ran.try_send(sys::is_of_idle_class()).unwrap())).unwrap();
        assert_eq!(all.recv().wait(), Ok(false));
    }

    #[test]
    fn jobs_that_nobody_wants_make_room_for_others() {
        struct Given(Arc<AtomicBool>);
        impl Job for Given {
            fn run(self: Box<Self>) {}
            fn is_wanted(&self) -> bool {
                self.0.load(Ordering::SeqCst)
            }
        }
        let jobs = jobs(1, 3);
        let (go_on, may_go_on) = unlimited();
        let (begun, is_begun) = unlimited();
        let blocks = move || {
            begun.try_send(()).unwrap();
            may_go_on.recv().wait().unwrap();
        };
        jobs.submit(Box::new(blocks)).unwrap();
        is_begun.recv().wait().unwrap();
        let wanted = Arc::new(AtomicBool::new(true));
        (0..3).for_each(|_| jobs.submit(Box::new(Given(wanted.clone()))).unwrap());
        assert!(jobs.submit(Box::new(|| {})).is_err(), "three wait");
        wanted.store(false, Ordering::SeqCst);
        jobs.submit(Box::new(|| {})).unwrap();
        assert_eq!((jobs.queued(), Arc::strong_count(&wanted)), (1, 1));
        jobs.submit_owed(Box::new(|| {}));
        go_on.try_send(()).unwrap();
    }

    #[test]
    fn one_that_blocks_holds_up_no_other_while_threads_are_left() {
        let jobs = jobs(3, 100);
        let (go_on, may_go_on) = unlimited();
        let (ran, all) = unlimited();
        for at in 0..5 {
            let (ran, may_go_on) = (ran.clone(), may_go_on.clone());
            let job = move || {
                ran.try_send(at).unwrap();
                if at < 2 {
                    may_go_on.recv().wait().unwrap();
                }
            };
            jobs.submit(Box::new(job)).unwrap();
        }
        let mut seen = [(); 5].map(|()| all.recv().wait().unwrap());
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        (0..2).for_each(|_| go_on.try_send(()).unwrap());
    }

    #[test]
    fn a_job_that_blocks_after_many_quick_ones_holds_up_no_other_for_long() {
        let jobs = jobs(3, 10_000);
        let (go_on, may_go_on) = unlimited();
        let (begun, is_begun) = unlimited();
        let (ran, all) = unlimited();
        // Until a thread drains: on a busy machine a burst may count as slow.
        let is_draining = (0..10_000).any(|_| {
            for at in 0..50 {
                let ran = ran.clone();
                jobs.submit(Box::new(move || ran.try_send(at).unwrap())).unwrap();
            }
            for _ in 0..50 {
                all.recv().wait().unwrap();
            }
            jobs.state.lock().draining
        });
        assert!(is_draining, "it never drained");
        let blocks = move || {
            begun.try_send(()).unwrap();
            may_go_on.recv().wait().unwrap();
        };
        jobs.submit(Box::new(blocks)).unwrap();
        is_begun.recv().wait().unwrap();
        let waits = ran.clone();
        jobs.submit(Box::new(move || waits.try_send(7).unwrap())).unwrap();
        // As the watchdog does.
        jobs.rescue();
        assert_eq!(all.recv().wait(), Ok(7));
        go_on.try_send(()).unwrap();
    }
}
