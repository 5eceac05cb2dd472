// SPDX-License-Identifier: BSD-3-Clause
//! The workloads for peers whose coroutines are futures: those of `straight`, with awaits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::child::Request;
use super::parked::{IDLE, Parked, Watch as ParkedWatch};
use super::work::{Answer, FAR, LATE_MAX, Watch, Work, cpu_time, sleep_time};
use crate::channels::parked::let_others_run;

/// What a runtime for futures can do.
pub(crate) trait Tasks: Sized + Send + Sync + Clone + 'static {
    /// What joins a task.
    type Handle<T: Send + 'static>: Send + 'static;
    /// What wakes a task.
    type Bell: Send + Sync + 'static;

    /// Starts a task.
    fn spawn<T: Send + 'static>(
        &self,
        f: impl Future<Output = T> + Send + 'static,
    ) -> Self::Handle<T>;
    /// Waits for its answer; `None`: it panicked.
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> impl Future<Output = Option<T>> + Send;
    /// Lets the others run.
    fn yield_now() -> impl Future<Output = ()> + Send;
    /// Sleeps; `None`: it has no timers.
    fn sleep(time: Duration) -> Option<impl Future<Output = ()> + Send>;
    /// A new bell.
    fn bell() -> Self::Bell;
    /// Wakes the task that waits, or the next that does.
    fn ring(bell: &Self::Bell);
    /// Waits for the bell.
    fn heard(bell: &Self::Bell) -> impl Future<Output = ()> + Send;
    /// Waits for the bell, at most so long; `None`: it has no timers.
    fn heard_within(bell: &Self::Bell, time: Duration) -> Option<impl Future<Output = ()> + Send>;
}

/// Does a block, from within a task. `None`: something panicked, or there is no such thing.
pub(crate) async fn perform<S: Tasks>(on: S, work: Work, n: u64) -> Option<Answer> {
    match work {
        Work::SpawnJoin => {
            let watch = Watch::start();
            let mut sum = 0_u64;
            for number in 0..n {
                sum = sum.wrapping_add(S::join(on.spawn(async move { number })).await?);
            }
            Some(watch.stop(sum))
        }
        Work::Batch(count) => batch(on, count, n).await,
        Work::Yield(count) => yields(on, count, n).await,
        Work::Wake(waiters) => wakes(on, waiters, n, None).await,
        Work::WakeTimed(waiters) => wakes(on, waiters, n, Some(FAR)).await,
        Work::Timer => {
            let without = wakes(on.clone(), 0, n, None).await?;
            Some(wakes(on, 0, n, Some(FAR)).await?.less(without))
        }
        Work::WakeEach(count) => wake_each(on, count, n).await,
        Work::Fire(count) => sleepers(on, count, n, true).await,
        Work::Sleep(count) => sleepers(on, count, n, false).await,
        // Their channels are in the group `channels`.
        Work::Rendezvous | Work::Pairs(_) | Work::FourToFour => None,
    }
}

async fn batch<S: Tasks>(on: S, count: u64, n: u64) -> Option<Answer> {
    let mut handles = Vec::with_capacity(count as usize);
    let mut sum = 0_u64;
    let watch = Watch::start();
    for _ in 0..n {
        handles.extend((0..count).map(|number| on.spawn(async move { number })));
        for handle in handles.drain(..) {
            sum = sum.wrapping_add(S::join(handle).await?);
        }
    }
    Some(watch.stop(sum))
}

/// Where the one that measures waits until all others have come.
struct Gathering<S: Tasks> {
    missing: AtomicU64,
    complete: S::Bell,
}

impl<S: Tasks> Gathering<S> {
    fn of(count: u64) -> Arc<Self> {
        Arc::new(Self { missing: AtomicU64::new(count), complete: S::bell() })
    }

    /// One more has come.
    fn arrive(&self) {
        if self.missing.fetch_sub(1, Relaxed) == 1 {
            S::ring(&self.complete);
        }
    }

    async fn wait(&self) {
        S::heard(&self.complete).await;
    }
}

/// A number that one task sets and others see.
type Shared = Arc<AtomicU64>;

async fn let_run_until(number: &AtomicU64, at_least: u64) {
    while number.load(Relaxed) < at_least {
        let_others_run().await;
    }
}

async fn join_all<S: Tasks>(handles: Vec<S::Handle<()>>) -> Option<()> {
    for handle in handles {
        S::join(handle).await?;
    }
    Some(())
}

async fn yields<S: Tasks>(on: S, count: u64, n: u64) -> Option<Answer> {
    let (gathering, done) = (Gathering::<S>::of(count), Shared::default());
    let mut bells = Vec::new();
    let mut handles = Vec::new();
    for _ in 0..count {
        let bell = Arc::new(S::bell());
        bells.push(Arc::clone(&bell));
        let (all, done) = (Arc::clone(&gathering), Arc::clone(&done));
        handles.push(on.spawn(async move {
            all.arrive();
            S::heard(&bell).await;
            for _ in 0..n {
                S::yield_now().await;
            }
            done.fetch_add(n, Relaxed);
        }));
    }
    gathering.wait().await;
    bells.iter().for_each(|bell| S::ring(bell));
    S::yield_now().await;
    let watch = Watch::start();
    while done.load(Relaxed) < n * count {
        S::yield_now().await;
    }
    let answer = watch.stop(done.load(Relaxed));
    join_all::<S>(handles).await?;
    Some(answer)
}

async fn wakes<S: Tasks>(on: S, waiters: u64, n: u64, timeout: Option<Duration>) -> Option<Answer> {
    let (gathering, counted) = (Gathering::<S>::of(waiters + 1), Shared::default());
    let (mut bells, mut others) = (Vec::new(), Vec::new());
    for number in 0..waiters {
        let (bell, all) = (Arc::new(S::bell()), Arc::clone(&gathering));
        bells.push(Arc::clone(&bell));
        others.push(on.spawn(async move {
            all.arrive();
            if let Some(heard) = S::heard_within(&bell, FAR + sleep_time(number)) {
                heard.await;
            }
        }));
    }
    let bell = Arc::new(S::bell());
    let waiting = {
        let (bell, all) = (Arc::clone(&bell), Arc::clone(&gathering));
        let counted = Arc::clone(&counted);
        on.spawn(async move {
            all.arrive();
            for next in 1..=n {
                match timeout {
                    Some(time) => S::heard_within(&bell, time)?.await,
                    None => S::heard(&bell).await,
                }
                counted.store(next, Relaxed);
            }
            Some(())
        })
    };
    gathering.wait().await;
    let watch = Watch::start();
    for next in 1..=n {
        S::ring(&bell);
        let_run_until(&counted, next).await;
    }
    let answer = watch.stop(counted.load(Relaxed));
    bells.iter().for_each(|bell| S::ring(bell));
    S::join(waiting).await??;
    join_all::<S>(others).await?;
    Some(answer)
}

async fn wake_each<S: Tasks>(on: S, count: u64, n: u64) -> Option<Answer> {
    let (gathering, woken) = (Gathering::<S>::of(count), Shared::default());
    let (mut bells, mut handles) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (bell, woken) = (Arc::new(S::bell()), Arc::clone(&woken));
        bells.push(Arc::clone(&bell));
        let all = Arc::clone(&gathering);
        handles.push(on.spawn(async move {
            all.arrive();
            for _ in 0..n {
                S::heard(&bell).await;
                woken.fetch_add(1, Relaxed);
            }
        }));
    }
    gathering.wait().await;
    let watch = Watch::start();
    for next in 1..=n {
        bells.iter().for_each(|bell| S::ring(bell));
        let_run_until(&woken, next * count).await;
    }
    let answer = watch.stop(woken.load(Relaxed));
    join_all::<S>(handles).await?;
    Some(answer)
}

async fn sleepers<S: Tasks>(on: S, count: u64, n: u64, fire_only: bool) -> Option<Answer> {
    let (mut taken, mut sum) = (Duration::ZERO, 0);
    for _ in 0..n {
        for attempt in 1.. {
            match sleep_round(&on, count, fire_only).await? {
                (Some(cpu), awake_in_time) => {
                    taken += cpu;
                    sum += awake_in_time;
                    break;
                }
                (None, _) if attempt == LATE_MAX => return None,
                (None, _) => {}
            }
        }
    }
    Some(Answer { taken, disturbed: false, sum })
}

async fn sleep_round<S: Tasks>(
    on: &S,
    count: u64,
    fire_only: bool,
) -> Option<(Option<Duration>, u64)> {
    let (gathering, begin, mut cpu) = (Gathering::<S>::of(count), Instant::now(), cpu_time());
    let handles: Vec<_> = (0..count)
        .map(|number| {
            let all = Arc::clone(&gathering);
            on.spawn(async move {
                all.arrive();
                let (time, begin) = (sleep_time(number), Instant::now());
                S::sleep(time)?.await;
                Some(u64::from(begin.elapsed() >= time))
            })
        })
        .collect();
    gathering.wait().await;
    let mut late = false;
    if fire_only {
        let_others_run().await;
        late = begin.elapsed() >= sleep_time(0);
        cpu = cpu_time();
    }
    let mut sum = 0;
    for handle in handles {
        sum += S::join(handle).await??;
    }
    Some(((!late).then(|| cpu_time() - cpu), sum))
}

/// Has so many wait, leaves them alone, wakes them.
pub(crate) async fn parked<S: Tasks>(on: S, count: u64) -> Option<Parked> {
    let gathering = Gathering::<S>::of(count);
    let mut tasks = Vec::with_capacity(count as usize);
    let mut watch = ParkedWatch::start()?;
    tasks.extend((0..count).map(|_| {
        let (bell, all) = (Arc::new(S::bell()), Arc::clone(&gathering));
        let heard = Arc::clone(&bell);
        let handle = on.spawn(async move {
            all.arrive();
            S::heard(&heard).await;
            1
        });
        (bell, handle)
    }));
    gathering.wait().await;
    watch.all_wait();
    S::sleep(IDLE)?.await;
    watch.wake();
    tasks.iter().for_each(|(bell, _)| S::ring(bell));
    let mut sum = 0;
    for (_, handle) in tasks {
        sum += S::join(handle).await?;
    }
    watch.stop(sum)
}

/// Does what a child is asked for.
pub(crate) async fn serve<S: Tasks>(on: S, request: Request) -> Option<String> {
    match request {
        Request::Block(work, n) => perform(on, work, n).await.map(|answer| answer.line()),
        Request::Parked(count) => parked(on, count).await.map(|parked| parked.line()),
    }
}
