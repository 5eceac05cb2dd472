// SPDX-License-Identifier: BSD-3-Clause
//! What all handles of one plugin share, and the way into its current instance.
//!
//! `current` is the one word that a call reads. A reload replaces it. It is null while a rollout deals
//! the calls to two instances ([`super::rollout`]), while state is handed over, when callers wait, and
//! for good after an unload.
//!
//! # Invariants
//!
//! 1. Every instance that was put in is listed as alive until it was shut down, wherever it is: an
//!    unload reaches those that a reload replaced or paused.
//! 2. An instance is ended once: by the thread that moves it to `ending`.
//! 3. No waker runs while a lock is held.
//! 4. `current` and `rollouts` change under `away`; a rollout is under way only while `current` is
//!    null.

use std::{
    cell::OnceCell,
    future::poll_fn,
    mem,
    path::PathBuf,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use super::PluginInfo;
use super::reload::retire;
use super::rollout::{
    CanaryCall, Rollout, RolloutCause, RolloutEnd, RolloutResult, RolloutSnapshot, Rollouts, Trial,
};
use becket_chan::fence;

use crate::{
    counters::{Count, Counters},
    error::{CallError, UnknownEntry},
    executor::Executor,
    instance::Instance,
    jobs,
    load::EntryInfo,
    metrics::Metrics,
    notify::Kept,
    observer::Observer,
    request::AnyRequest,
    spec::PluginSpec,
    thread::{self, DEPTH_MAX, ThreadRecord},
    timer,
    workers::WorkerHistory,
};

/// See the module's documentation.
pub(crate) struct Shared {
    pub(crate) name: String,
    /// What was loaded last, and is loaded by the next reload.
    spec: RwLock<Arc<PluginSpec>>,
    pub(crate) search_path: Arc<[PathBuf]>,
    pub(crate) coroutine_workers: Option<usize>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) counters: Counters,
    pub(crate) metrics: Metrics,
    /// What the plugin reports goes there.
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// See [`Plugin::mind_lending`](super::Plugin::mind_lending).
    minds_lending: AtomicBool,
    current: AtomicPtr<Instance>,
    /// Why `current` is null, and the tasks that wait for it.
    away: Mutex<PausedState>,
    back: Condvar,
    rollouts: RwLock<Rollouts>,
    alive: Mutex<Alive>,
    /// The time that an unload grants to calls is over.
    drain_over: AtomicBool,
    /// A Go runtime of the plugin runs in this process.
    is_go: AtomicBool,
    last: RwLock<CachedInfo>,
    generations: AtomicU64,
    pub(super) reloading: Mutex<()>,
    pub(crate) kept: Kept,
    /// Of its workers, if it runs elsewhere.
    pub(crate) history: WorkerHistory,
}

#[derive(Default)]
struct PausedState {
    unloaded: bool,
    wakers: Vec<Waker>,
}

/// The instances that are not shut down yet, and the tasks that wait for their ends.
#[derive(Default)]
struct Alive {
    instances: Vec<InstanceEntry>,
    wakers: Vec<Waker>,
}

struct InstanceEntry {
    instance: &'static Instance,
    ending: bool,
}

/// What the plugin reported last, also when no instance is current.
struct CachedInfo {
    info: Option<PluginInfo>,
    entries: Arc<[EntryInfo]>,
}

impl Shared {
    pub(crate) fn new(
        spec: PluginSpec,
        search_path: Arc<[PathBuf]>,
        coroutine_workers: Option<usize>,
        executor: Arc<Executor>,
    ) -> Arc<Self> {
        Arc::new(Self {
            counters: Counters::new(spec.observer.clone()),
            metrics: Metrics::new(spec.limits.metrics_max, spec.observer.clone()),
            minds_lending: AtomicBool::new(spec.observer.is_some()),
            observer: spec.observer.clone(),
            name: spec.name.clone(),
            spec: RwLock::new(Arc::new(spec)),
            search_path,
            coroutine_workers,
            executor,
            current: AtomicPtr::new(ptr::null_mut()),
            away: Mutex::default(),
            back: Condvar::new(),
            rollouts: RwLock::default(),
            alive: Mutex::default(),
            drain_over: AtomicBool::new(false),
            is_go: AtomicBool::new(false),
            last: RwLock::new(CachedInfo { info: None, entries: [].into() }),
            generations: AtomicU64::new(0),
            reloading: Mutex::new(()),
            kept: Kept::default(),
            history: WorkerHistory::default(),
        })
    }

    /// What was loaded last.
    pub(crate) fn spec(&self) -> Arc<PluginSpec> {
        self.spec.read().clone()
    }

    pub(crate) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Enters the current instance on this thread.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Entered, NotEntered> {
        match Entered::new(thread::current(), &self.current) {
            Some(entered) => Ok(entered),
            None => Err(self.why_away()),
        }
    }

    #[cold]
    fn why_away(&self) -> NotEntered {
        if thread::current().depth() >= DEPTH_MAX {
            return NotEntered::TooDeep;
        }
        if self.rollouts.read().now.is_some() {
            return NotEntered::RollingOut;
        }
        if self.away.lock().unloaded { NotEntered::Unloaded } else { NotEntered::Paused }
    }

    /// Enters the current instance, or the one that a rollout deals the call to. If that
    /// is the canary, what takes the call's outcome comes back beside it.
    pub(crate) fn enter_for(
        &self,
        what: EnteringFor<'_>,
    ) -> Result<(Entered, Option<CanaryCall>), NotEntered> {
        match self.enter() {
            Ok(entered) => Ok((entered, None)),
            Err(why) => self.enter_dealt(why, what),
        }
    }

    /// Enters what a rollout deals the call to, if that is why it was not entered.
    #[cold]
    pub(crate) fn enter_dealt(
        &self,
        mut why: NotEntered,
        what: EnteringFor<'_>,
    ) -> Result<(Entered, Option<CanaryCall>), NotEntered> {
        while why == NotEntered::RollingOut {
            if let Some(dealt) = self.deal(what)? {
                return Ok(dealt);
            }
            // It has ended meanwhile.
            match self.enter() {
                Ok(entered) => return Ok((entered, None)),
                Err(not_entered) => why = not_entered,
            }
        }
        Err(why)
    }

    /// `None`: no rollout is under way.
    fn deal(
        &self,
        what: EnteringFor<'_>,
    ) -> Result<Option<(Entered, Option<CanaryCall>)>, NotEntered> {
        let (entered, trial) = {
            let rollouts = self.rollouts.read();
            let Some(trial) = &rollouts.now else { return Ok(None) };
            let is_canary = match what {
                EnteringFor::Call(request) => trial.deal(request),
                EnteringFor::Look => false,
            };
            let instance = if is_canary { trial.canary } else { trial.stable };
            // Under the lock: the end of the rollout sees the mark, or is seen here.
            let entered = Entered::kept(thread::current(), instance).ok_or(NotEntered::TooDeep)?;
            if !is_canary {
                return Ok(Some((entered, None)));
            }
            (entered, trial.clone())
        };
        if trial.is_canary_out() {
            drop(entered);
            self.end_rollout(Some(&trial), RolloutResult::TakenBack, RolloutCause::Failed);
            return Ok(None);
        }
        Ok(Some((entered, Some(CanaryCall::new(trial)))))
    }

    /// Enters; blocks while the plugin hands its state over, at most as long as a call may take.
    pub(crate) fn enter_blocking(
        &self,
        what: EnteringFor<'_>,
    ) -> Result<(Entered, Option<CanaryCall>), CallError> {
        let until = OnceCell::new();
        loop {
            match self.enter_for(what) {
                Ok(entered) => return Ok(entered),
                Err(NotEntered::Paused) => {}
                Err(why) => return Err(why.into()),
            }
            if !self.wait_until_back(*until.get_or_init(|| self.patience())) {
                return Err(CallError::DeadlineExceeded);
            }
        }
    }

    /// Until when a thread waits for the plugin.
    fn patience(&self) -> Instant {
        let spec = self.spec();
        let limits = &spec.limits;
        let patience = if limits.deadline_ms > 0 { limits.deadline_ms } else { limits.drain_ms };
        timer::after(Duration::from_millis(patience))
    }

    /// Blocks this thread while the plugin hands its state over; false if it still does then.
    fn wait_until_back(&self, until: Instant) -> bool {
        let mut away = self.away.lock();
        while !self.is_back(&away) {
            if self.back.wait_until(&mut away, until).timed_out() {
                return self.is_back(&away);
            }
        }
        true
    }

    /// Callers need not wait: it takes calls, or is gone for good.
    fn is_back(&self, away: &PausedState) -> bool {
        away.unloaded
            || !self.current.load(Ordering::SeqCst).is_null()
            || self.rollouts.read().now.is_some()
    }

    /// Wakes `waker` when the plugin is back, or gone for good. True if it is so already.
    pub(crate) fn wake_when_back(&self, waker: &Waker) -> bool {
        let mut away = self.away.lock();
        if self.is_back(&away) {
            return true;
        }
        if !away.wakers.iter().any(|other| other.will_wake(waker)) {
            away.wakers.push(waker.clone());
        }
        false
    }

    /// Puts a new instance in, with what it was loaded by and the entries that it described, and
    /// wakes waiting tasks. Returns the one before, or `Err` if the plugin was unloaded meanwhile.
    pub(crate) fn put(
        &self,
        instance: &'static Instance,
        entries: Arc<[EntryInfo]>,
        spec: Arc<PluginSpec>,
    ) -> Result<Option<&'static Instance>, Gone> {
        let away = self.away.lock();
        if away.unloaded {
            return Err(Gone);
        }
        self.set_last(instance, entries, spec);
        self.list(instance);
        let old = self.swap(ptr::from_ref(instance).cast_mut());
        self.wake_all(away);
        Ok(old)
    }

    /// What was loaded last is this.
    fn set_last(
        &self,
        instance: &'static Instance,
        entries: Arc<[EntryInfo]>,
        spec: Arc<PluginSpec>,
    ) {
        *self.spec.write() = spec;
        let mut last = self.last.write();
        last.info = Some(info(self, instance, &entries));
        last.entries = entries;
    }

    /// Takes the instance out: callers wait until one is put in.
    pub(super) fn pause(&self) -> Option<&'static Instance> {
        self.swap(ptr::null_mut())
    }

    /// Puts the instance that was paused in again, unless the plugin was unloaded meanwhile.
    pub(super) fn resume(&self, instance: &'static Instance) {
        let away = self.away.lock();
        // An unload drains it then.
        if !away.unloaded {
            instance.end_drain();
            self.swap(ptr::from_ref(instance).cast_mut());
            self.wake_all(away);
        }
    }

    /// Takes the plugin out of reach for good. Returns the instances that are to be ended.
    pub(super) fn take(&self) -> Vec<&'static Instance> {
        let mut away = self.away.lock();
        away.unloaded = true;
        let (ended, wakers) = {
            let mut rollouts = self.rollouts.write();
            self.swap(ptr::null_mut());
            let ended = rollouts.end(None, RolloutResult::TakenBack, RolloutCause::Unloaded);
            (ended, mem::take(&mut rollouts.wakers))
        };
        self.wake_all(away);
        wakers.into_iter().for_each(jobs::wake);
        ended.iter().for_each(|(_, end)| end.log(&self.name));
        self.alive.lock().instances.iter().map(|life| life.instance).collect()
    }

    // Rollouts.

    /// From now on the calls are dealt to the current instance and to `canary`. No other reload is
    /// under way.
    pub(super) fn begin_rollout(
        &self,
        canary: &'static Instance,
        entries: Arc<[EntryInfo]>,
        spec: Arc<PluginSpec>,
        rollout: Rollout,
    ) -> Result<(), Gone> {
        let _away = self.away.lock();
        let mut rollouts = self.rollouts.write();
        // Null after an unload alone.
        let stable = self.current().ok_or(Gone)?;
        self.list(canary);
        let trial = Arc::new(Trial::new(stable, canary, entries, spec, rollout));
        rollouts.now = Some(trial.clone());
        self.swap(ptr::null_mut());
        drop(rollouts);
        trial.set_timer();
        Ok(())
    }

    /// Ends the rollout under way, if it is `trial` or that is `None`: one of its instances is
    /// current from now on, and the other one drains. False if it was over.
    pub(super) fn end_rollout(
        &self,
        trial: Option<&Arc<Trial>>,
        result: RolloutResult,
        cause: RolloutCause,
    ) -> bool {
        let (end, loser, wakers) = {
            let _away = self.away.lock();
            let mut rollouts = self.rollouts.write();
            let Some((trial, end)) = rollouts.end(trial, result, cause) else { return false };
            let (winner, loser) = match result {
                RolloutResult::Promoted => (trial.canary, trial.stable),
                RolloutResult::TakenBack => (trial.stable, trial.canary),
            };
            if result == RolloutResult::Promoted {
                self.set_last(winner, trial.entries.clone(), trial.spec.clone());
                self.counters.one(Count::Reloads);
            }
            self.swap(ptr::from_ref(winner).cast_mut());
            (end, loser, mem::take(&mut rollouts.wakers))
        };
        end.log(&self.name);
        retire(loser);
        wakers.into_iter().for_each(jobs::wake);
        true
    }

    /// Sets the share and the bounds of the rollout under way; false if there is none.
    pub(super) fn adjust_rollout(&self, rollout: &Rollout) -> bool {
        let now = self.rollouts.read().now.clone();
        let Some(trial) = now else { return false };
        let result = match rollout.percent {
            0 => RolloutResult::TakenBack,
            1..100 => {
                trial.adjust(rollout);
                return true;
            }
            _ => RolloutResult::Promoted,
        };
        self.end_rollout(Some(&trial), result, RolloutCause::Requested)
    }

    /// Waits until no rollout is under way; how the last one ended.
    pub(super) async fn rollout_over(&self) -> Option<RolloutEnd> {
        poll_fn(|context| {
            let mut rollouts = self.rollouts.write();
            if rollouts.now.is_none() {
                return Poll::Ready(rollouts.last());
            }
            if !rollouts.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                rollouts.wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    pub(super) fn rollouts(&self) -> RolloutSnapshot {
        self.rollouts.read().snapshot()
    }

    fn wake_all(&self, mut away: MutexGuard<'_, PausedState>) {
        self.back.notify_all();
        let wakers = mem::take(&mut away.wakers);
        drop(away);
        wakers.into_iter().for_each(jobs::wake);
    }

    // Ends.

    /// Lists an instance as alive.
    pub(super) fn list(&self, instance: &'static Instance) {
        if instance.about.is_go {
            self.is_go.store(true, Ordering::Relaxed);
        }
        self.alive.lock().instances.push(InstanceEntry { instance, ending: false });
        instance.mind_executor();
    }

    /// Whether threads that lend nothing call it.
    pub(crate) fn minds_lending(&self) -> bool {
        self.minds_lending.load(Ordering::SeqCst)
    }

    /// From now on they may.
    pub(super) fn mind_lending(&self) {
        // An instance that is listed after this sees it; one that was listed before is reached.
        self.minds_lending.store(true, Ordering::SeqCst);
        self.mind_executor();
    }

    /// The executor is known from now on.
    pub(crate) fn mind_executor(&self) {
        self.alive.lock().instances.iter().for_each(|life| life.instance.mind_executor());
    }

    /// True for the one that is to end the instance.
    pub(super) fn begin_end(&self, instance: &'static Instance) -> bool {
        let mut alive = self.alive.lock();
        let life = alive.instances.iter_mut().find(|life| ptr::eq(life.instance, instance));
        life.is_some_and(|life| !mem::replace(&mut life.ending, true))
    }

    /// The instance was shut down, or left to a thread that does not come back from it.
    pub(super) fn ended(&self, instance: &'static Instance) {
        let wakers = {
            let mut alive = self.alive.lock();
            alive.instances.retain(|life| !ptr::eq(life.instance, instance));
            mem::take(&mut alive.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until every instance has ended.
    pub(super) async fn all_ended(&self) {
        poll_fn(|context| {
            let mut alive = self.alive.lock();
            if alive.instances.is_empty() {
                return Poll::Ready(());
            }
            if !alive.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                alive.wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Ends the drain of all instances: their ends wait for no call any more.
    pub(super) fn end_drain(&self) {
        self.drain_over.store(true, Ordering::SeqCst);
        let alive: Vec<_> = self.alive.lock().instances.iter().map(|life| life.instance).collect();
        alive.into_iter().for_each(Instance::notify_drain);
    }

    /// True when the time that an unload grants to calls is over. An end that waits is woken then,
    /// as by a call that ends.
    pub(crate) fn is_drain_over(&self) -> bool {
        self.drain_over.load(Ordering::SeqCst)
    }

    /// The runtimes of the coroutines of all instances that are alive.
    pub(crate) fn runtimes(&self) -> Vec<becket_coro::Handle> {
        let alive = self.alive.lock();
        alive.instances.iter().filter_map(|life| life.instance.coroutines.runtime()).collect()
    }

    pub(crate) fn coroutines_in_streams(&self) -> u64 {
        let alive = self.alive.lock();
        alive.instances.iter().map(|life| life.instance.coroutines.in_streams()).sum()
    }

    fn swap(&self, instance: *mut Instance) -> Option<&'static Instance> {
        let old = self.current.swap(instance, Ordering::SeqCst);
        fence::heavy();
        // SAFETY: null, or put in by `put` from a `&'static`.
        unsafe { old.as_ref() }
    }

    /// The current instance, to look at. In a rollout: [`Self::stable`] is what to look at.
    fn current(&self) -> Option<&'static Instance> {
        // SAFETY: null, or put in by `put` from a `&'static`; instances are never freed.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
    }

    /// The instance that gets the calls, or all but a rollout's share of them, to look at.
    pub(crate) fn stable(&self) -> Option<&'static Instance> {
        self.serving().0
    }

    /// The same, and the one that gets the share.
    pub(super) fn serving(&self) -> (Option<&'static Instance>, Option<&'static Instance>) {
        let rollouts = self.rollouts.read();
        match &rollouts.now {
            Some(trial) => (Some(trial.stable), Some(trial.canary)),
            None => (self.current(), None),
        }
    }

    /// True once a load of it brought a Go runtime into this process.
    pub(super) fn has_been_go(&self) -> bool {
        self.is_go.load(Ordering::Relaxed)
    }

    pub(crate) fn is_unloaded(&self) -> bool {
        self.away.lock().unloaded
    }

    pub(super) fn entries(&self) -> Vec<EntryInfo> {
        self.last.read().entries.to_vec()
    }

    pub(super) fn info(&self) -> PluginInfo {
        let last = self.last.read().info.clone();
        last.unwrap_or_else(|| PluginInfo {
            name: self.name.clone(),
            reported_name: String::new(),
            version: String::new(),
            path: None,
            sha256: None,
            placement: "unknown",
            sandbox: None,
            layout: "unknown",
            generation: 0,
            flags: 0,
            entries: Vec::new(),
        })
    }

    pub(super) fn unknown_entry(&self, entry: &str) -> CallError {
        CallError::UnknownEntry(Box::new(UnknownEntry {
            plugin: self.name.clone(),
            entry: entry.to_owned(),
            known: self.last.read().entries.iter().map(|entry| entry.name.clone()).collect(),
        }))
    }
}

fn info(shared: &Shared, instance: &Instance, entries: &[EntryInfo]) -> PluginInfo {
    let about = &instance.about;
    PluginInfo {
        name: shared.name.clone(),
        reported_name: about.reported_name.clone(),
        version: about.version.clone(),
        path: about.path.clone(),
        sha256: about
            .sha256
            .map(|digest| digest.iter().map(|byte| format!("{byte:02x}")).collect()),
        placement: about.placement,
        sandbox: about.sandbox.clone(),
        layout: about.layout,
        generation: instance.generation,
        flags: about.flags,
        entries: entries.to_vec(),
    }
}

/// The plugin was unloaded.
#[derive(Debug)]
pub(crate) struct Gone;

/// What a thread enters for.
#[derive(Clone, Copy)]
pub(crate) enum EnteringFor<'a> {
    /// A call, with its metadata: a rollout deals it.
    Call(Option<&'a AnyRequest<'a>>),
    /// Anything else: it goes to the version that gets most of the calls.
    Look,
}

/// Why an instance could not be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotEntered {
    /// It hands its state over; it comes back.
    Paused,
    /// A rollout deals its calls: [`Shared::enter_dealt`].
    RollingOut,
    /// It is gone.
    Unloaded,
    /// Too many calls are nested on this thread.
    TooDeep,
}

impl From<NotEntered> for CallError {
    fn from(not_entered: NotEntered) -> Self {
        match not_entered {
            NotEntered::TooDeep => Self::TooDeep { depth_max: DEPTH_MAX },
            NotEntered::Paused | NotEntered::RollingOut | NotEntered::Unloaded => Self::Unloaded,
        }
    }
}

/// This thread is inside an instance until this is dropped.
pub(crate) struct Entered {
    record: &'static ThreadRecord,
    instance: &'static Instance,
}

impl Entered {
    /// `None` if nothing is there, or too many calls are nested on this thread.
    #[inline]
    pub(crate) fn new(
        record: &'static ThreadRecord,
        current: &AtomicPtr<Instance>,
    ) -> Option<Self> {
        let instance = record.enter(current)?;
        // SAFETY: null, or an instance, which are never freed.
        let Some(instance) = (unsafe { instance.as_ref() }) else {
            record.leave();
            return None;
        };
        Some(Self { record, instance })
    }

    /// The same for an instance that something else keeps.
    #[inline]
    pub(crate) fn kept(record: &'static ThreadRecord, instance: &'static Instance) -> Option<Self> {
        record.enter_kept(instance).then_some(Self { record, instance })
    }

    #[inline]
    pub(crate) fn instance(&self) -> &'static Instance {
        self.instance
    }

    #[inline]
    pub(crate) fn record(&self) -> &'static ThreadRecord {
        self.record
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        self.record.leave();
        self.instance.notify_drain();
    }
}
