// SPDX-License-Identifier: BSD-3-Clause
//! The workloads for coroutines with stacks: straight-line code that waits.
//!
//! In some peers a park may end spuriously. So a waiter checks a number that the waking side
//! changes before the wake, and parks again if it has not changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::child::Request;
use super::parked::{IDLE, Parked, Watch as ParkedWatch};
use super::work::{Answer, BURST, FAR, LATE_MAX, MANY, Watch, Work, cpu_time, sleep_time};

/// What stackful coroutines can do, in the words of one peer.
pub(crate) trait Straight: Sized + 'static {
    /// What joins a coroutine, and wakes it.
    type Handle<T: Send + 'static>: Send + 'static;
    /// A channel's sender.
    type Tx: Clone + Send + 'static;
    /// A channel's receiver.
    type Rx: Clone + Send + 'static;

    /// Starts a coroutine on the runtime of the calling one.
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T>;
    /// Waits for its answer; `None`: it panicked.
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> Option<T>;
    /// Lets the others run.
    fn yield_now();
    /// Sleeps.
    fn sleep(time: Duration);
    /// Wakes a coroutine that waits.
    fn wake<T: Send + 'static>(handle: &Self::Handle<T>);
    /// Waits to be woken.
    fn park();
    /// Waits to be woken, at most so long.
    fn park_timeout(time: Duration);
    /// A channel without room.
    fn rendezvous() -> (Self::Tx, Self::Rx);
    /// A channel with room for 1024.
    fn bounded() -> (Self::Tx, Self::Rx);
    /// Sends; waits for room.
    fn send(tx: &Self::Tx, value: u64) -> Option<()>;
    /// Receives; waits for a value.
    fn recv(rx: &Self::Rx) -> Option<u64>;
}

/// Does a block, from within a coroutine. `None`: something was refused or panicked.
pub(crate) fn perform<S: Straight>(work: Work, n: u64) -> Option<Answer> {
    match work {
        Work::SpawnJoin => {
            let watch = Watch::start();
            let mut sum = 0_u64;
            for number in 0..n {
                sum = sum.wrapping_add(S::join(S::spawn(move || number))?);
            }
            Some(watch.stop(sum))
        }
        Work::Batch(count) => batch::<S>(count, n),
        Work::Yield(count) => yields::<S>(count, n),
        Work::Wake(waiters) => wakes::<S>(waiters, n, None),
        Work::WakeTimed(waiters) => wakes::<S>(waiters, n, Some(FAR)),
        Work::Timer => {
            let without = wakes::<S>(0, n, None)?;
            Some(wakes::<S>(0, n, Some(FAR))?.less(without))
        }
        Work::WakeEach(count) => wake_each::<S>(count, n),
        Work::Fire(count) => sleepers::<S>(count, n, true),
        Work::Sleep(count) => sleepers::<S>(count, n, false),
        Work::Rendezvous => {
            let (tx, rx) = S::rendezvous();
            let watch = Watch::start();
            let receiving = S::spawn(move || receive::<S>(&rx, n, true));
            let sending = S::spawn(move || send::<S>(&tx, 0..n));
            let sum = S::join(receiving)??;
            S::join(sending)??;
            Some(watch.stop(sum))
        }
        Work::Pairs(count) => pairs::<S>(count, n * BURST),
        Work::FourToFour => {
            let (tx, rx) = S::bounded();
            let watch = Watch::start();
            let receiving: Vec<_> = (0..MANY)
                .map(|_| {
                    let rx = rx.clone();
                    S::spawn(move || receive::<S>(&rx, n, false))
                })
                .collect();
            let sending: Vec<_> = (0..MANY)
                .map(|index| {
                    let tx = tx.clone();
                    S::spawn(move || send::<S>(&tx, index * n..(index + 1) * n))
                })
                .collect();
            let mut sum = 0_u64;
            for handle in receiving {
                sum = sum.wrapping_add(S::join(handle)??);
            }
            for handle in sending {
                S::join(handle)??;
            }
            Some(watch.stop(sum))
        }
    }
}

fn send<S: Straight>(tx: &S::Tx, numbers: std::ops::Range<u64>) -> Option<()> {
    for number in numbers {
        S::send(tx, number)?;
    }
    Some(())
}

fn receive<S: Straight>(rx: &S::Rx, n: u64, ordered: bool) -> Option<u64> {
    let mut sum = 0_u64;
    for turn in 0..n {
        let got = S::recv(rx)?;
        sum = sum.wrapping_add(if !ordered || got == turn { got } else { u64::MAX });
    }
    Some(sum)
}

fn batch<S: Straight>(count: u64, n: u64) -> Option<Answer> {
    let mut handles = Vec::with_capacity(count as usize);
    let mut sum = 0_u64;
    let watch = Watch::start();
    for _ in 0..n {
        handles.extend((0..count).map(|number| S::spawn(move || number)));
        for handle in handles.drain(..) {
            sum = sum.wrapping_add(S::join(handle)?);
        }
    }
    Some(watch.stop(sum))
}

/// Where the one that measures waits until all others have come: it waits, and does not yield,
/// for a scheduler may well let those go first that have run before.
struct Gathering<S: Straight> {
    all: Arc<All<S::Tx>>,
    complete: S::Rx,
}

struct All<Tx> {
    missing: AtomicU64,
    /// For the last one that comes.
    complete: Mutex<Tx>,
}

impl<S: Straight> Gathering<S> {
    fn of(count: u64) -> Self {
        let (tx, complete) = S::bounded();
        let missing = AtomicU64::new(count);
        Self { all: Arc::new(All { missing, complete: Mutex::new(tx) }), complete }
    }

    fn wait(&self) -> Option<()> {
        S::recv(&self.complete).map(drop)
    }
}

/// One more has come.
fn arrive<S: Straight>(all: &All<S::Tx>) {
    if all.missing.fetch_sub(1, Relaxed) == 1 {
        // Unanswered it would wait for ever, and say so.
        let tx = all.complete.lock().clone();
        let _ = S::send(&tx, 0);
    }
}

/// A number that one coroutine sets and others see.
type Shared = Arc<AtomicU64>;

/// Parks until the number is at least that.
fn await_turn<S: Straight>(turn: &AtomicU64, at_least: u64) {
    while turn.load(Relaxed) < at_least {
        S::park();
    }
}

/// Yields until the number is at least that.
fn yield_until<S: Straight>(number: &AtomicU64, at_least: u64) {
    while number.load(Relaxed) < at_least {
        S::yield_now();
    }
}

fn join_all<S: Straight>(handles: Vec<S::Handle<()>>) -> Option<()> {
    for handle in handles {
        S::join(handle)?;
    }
    Some(())
}

fn yields<S: Straight>(count: u64, n: u64) -> Option<Answer> {
    let (turn, done) = (Shared::default(), Shared::default());
    let gathering = Gathering::<S>::of(count);
    let handles: Vec<_> = (0..count)
        .map(|_| {
            let (turn, done) = (Arc::clone(&turn), Arc::clone(&done));
            let all = Arc::clone(&gathering.all);
            S::spawn(move || {
                arrive::<S>(&all);
                await_turn::<S>(&turn, 1);
                for _ in 0..n {
                    S::yield_now();
                }
                done.fetch_add(n, Relaxed);
            })
        })
        .collect();
    gathering.wait()?;
    turn.store(1, Relaxed);
    handles.iter().for_each(S::wake);
    // All are in the queue, this one behind them, before the time begins.
    S::yield_now();
    let watch = Watch::start();
    yield_until::<S>(&done, n * count);
    let answer = watch.stop(done.load(Relaxed));
    join_all::<S>(handles)?;
    Some(answer)
}

fn wakes<S: Straight>(waiters: u64, n: u64, timeout: Option<Duration>) -> Option<Answer> {
    let (turn, over) = (Shared::default(), Shared::default());
    let gathering = Gathering::<S>::of(waiters + 1);
    let others: Vec<_> = (0..waiters)
        .map(|number| {
            let (over, all) = (Arc::clone(&over), Arc::clone(&gathering.all));
            S::spawn(move || {
                arrive::<S>(&all);
                while over.load(Relaxed) == 0 {
                    S::park_timeout(FAR + sleep_time(number));
                }
            })
        })
        .collect();
    let counted = Shared::default();
    let waiting = {
        let (turn, counted) = (Arc::clone(&turn), Arc::clone(&counted));
        let all = Arc::clone(&gathering.all);
        S::spawn(move || {
            arrive::<S>(&all);
            for next in 1..=n {
                while turn.load(Relaxed) < next {
                    match timeout {
                        Some(time) => S::park_timeout(time),
                        None => S::park(),
                    }
                }
                counted.store(next, Relaxed);
            }
        })
    };
    gathering.wait()?;
    let watch = Watch::start();
    for next in 1..=n {
        turn.store(next, Relaxed);
        S::wake(&waiting);
        yield_until::<S>(&counted, next);
    }
    let answer = watch.stop(counted.load(Relaxed));
    over.store(1, Relaxed);
    others.iter().for_each(S::wake);
    S::join(waiting)?;
    join_all::<S>(others)?;
    Some(answer)
}

fn wake_each<S: Straight>(count: u64, n: u64) -> Option<Answer> {
    let (turn, woken) = (Shared::default(), Shared::default());
    let gathering = Gathering::<S>::of(count);
    let handles: Vec<_> = (0..count)
        .map(|_| {
            let (turn, woken) = (Arc::clone(&turn), Arc::clone(&woken));
            let all = Arc::clone(&gathering.all);
            S::spawn(move || {
                arrive::<S>(&all);
                for next in 1..=n {
                    await_turn::<S>(&turn, next);
                    woken.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    gathering.wait()?;
    let watch = Watch::start();
    for next in 1..=n {
        turn.store(next, Relaxed);
        handles.iter().for_each(S::wake);
        yield_until::<S>(&woken, next * count);
    }
    let answer = watch.stop(woken.load(Relaxed));
    join_all::<S>(handles)?;
    Some(answer)
}

fn sleepers<S: Straight>(count: u64, n: u64, fire_only: bool) -> Option<Answer> {
    let (mut taken, mut sum) = (Duration::ZERO, 0);
    for _ in 0..n {
        let (cpu, awake_in_time) = (0..LATE_MAX)
            .map_while(|_| sleep_round::<S>(count, fire_only))
            .find(|(cpu, _)| cpu.is_some())?;
        taken += cpu?;
        sum += awake_in_time;
    }
    Some(Answer { taken, disturbed: false, sum })
}

/// The CPU time, unless some would have been woken before all slept; and how many slept as long as
/// they were to.
fn sleep_round<S: Straight>(count: u64, fire_only: bool) -> Option<(Option<Duration>, u64)> {
    let (gathering, begin, mut cpu) = (Gathering::<S>::of(count), Instant::now(), cpu_time());
    let handles: Vec<_> = (0..count)
        .map(|number| {
            let all = Arc::clone(&gathering.all);
            S::spawn(move || {
                arrive::<S>(&all);
                let (time, begin) = (sleep_time(number), Instant::now());
                S::sleep(time);
                u64::from(begin.elapsed() >= time)
            })
        })
        .collect();
    gathering.wait()?;
    let mut late = false;
    if fire_only {
        // The last one to come sleeps by now as well, since there is one worker.
        S::yield_now();
        late = begin.elapsed() >= sleep_time(0);
        cpu = cpu_time();
    }
    let mut sum = 0;
    for handle in handles {
        sum += S::join(handle)?;
    }
    Some(((!late).then(|| cpu_time() - cpu), sum))
}

/// Parks so many, leaves them alone, wakes them.
pub(crate) fn parked<S: Straight>(count: u64) -> Option<Parked> {
    let (turn, gathering) = (Shared::default(), Gathering::<S>::of(count));
    let mut handles = Vec::with_capacity(count as usize);
    let mut watch = ParkedWatch::start()?;
    handles.extend((0..count).map(|_| {
        let (turn, all) = (Arc::clone(&turn), Arc::clone(&gathering.all));
        S::spawn(move || {
            arrive::<S>(&all);
            await_turn::<S>(&turn, 1);
            1
        })
    }));
    gathering.wait()?;
    watch.all_wait();
    S::sleep(IDLE);
    watch.wake();
    turn.store(1, Relaxed);
    handles.iter().for_each(S::wake);
    let mut sum = 0;
    for handle in handles {
        sum += S::join(handle)?;
    }
    watch.stop(sum)
}

fn pairs<S: Straight>(count: u64, values: u64) -> Option<Answer> {
    let (turn, gathering) = (Shared::default(), Gathering::<S>::of(2 * count));
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (tx, rx) = S::rendezvous();
        let (turn, all) = (Arc::clone(&turn), Arc::clone(&gathering.all));
        senders.push(S::spawn(move || {
            arrive::<S>(&all);
            await_turn::<S>(&turn, 1);
            send::<S>(&tx, 0..values)
        }));
        let all = Arc::clone(&gathering.all);
        receivers.push(S::spawn(move || {
            arrive::<S>(&all);
            receive::<S>(&rx, values, true)
        }));
    }
    gathering.wait()?;
    let watch = Watch::start();
    turn.store(1, Relaxed);
    senders.iter().for_each(S::wake);
    let mut sum = 0_u64;
    for handle in receivers {
        sum = sum.wrapping_add(S::join(handle)??);
    }
    let answer = watch.stop(sum);
    for handle in senders {
        S::join(handle)??;
    }
    Some(answer)
}

/// Does what a child is asked for.
pub(crate) fn serve<S: Straight>(request: Request) -> Option<String> {
    match request {
        Request::Block(work, n) => perform::<S>(work, n).map(|answer| answer.line()),
        Request::Parked(count) => parked::<S>(count).map(|parked| parked.line()),
    }
}
