// SPDX-License-Identifier: BSD-3-Clause
//! What all handles of one plugin share, and the way into its current instance.
//!
//! `current` is the one word that a call reads. A reload replaces it; while state is handed over
//! it is null and callers wait; after an unload it is null for good.
//!
//! # Invariants
//!
//! 1. Every instance that was put in is listed as alive until it was shut down, wherever it is: an
//!    unload reaches those that a reload replaced or paused.
//! 2. An instance is ended once: by the thread that moves it to `ending`.
//! 3. No waker runs while a lock is held.

use std::{
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
use becket_chan::fence;

use crate::{
    counters::Counters,
    error::{CallError, UnknownEntry},
    executor::Executor,
    instance::Instance,
    jobs,
    load::EntryInfo,
    metrics::Metrics,
    notify::Kept,
    observer::Observer,
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
    current: AtomicPtr<Instance>,
    /// Why `current` is null, and the tasks that wait for it.
    away: Mutex<PausedState>,
    back: Condvar,
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
            counters: Counters::new(),
            metrics: Metrics::new(spec.limits.metrics_max, spec.observer.clone()),
            observer: spec.observer.clone(),
            name: spec.name.clone(),
            spec: RwLock::new(Arc::new(spec)),
            search_path,
            coroutine_workers,
            executor,
            current: AtomicPtr::new(ptr::null_mut()),
            away: Mutex::default(),
            back: Condvar::new(),
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
        if self.away.lock().unloaded { NotEntered::Unloaded } else { NotEntered::Paused }
    }

    /// Enters the current instance; blocks while the plugin hands its state over, at most as long
    /// as a call may take.
    #[inline]
    pub(crate) fn enter_blocking(&self) -> Result<Entered, CallError> {
        match self.enter() {
            Ok(entered) => Ok(entered),
            Err(not_entered) => self.enter_when_back(not_entered),
        }
    }

    #[cold]
    fn enter_when_back(&self, mut why: NotEntered) -> Result<Entered, CallError> {
        let spec = self.spec();
        let limits = &spec.limits;
        let patience = if limits.deadline_ms > 0 { limits.deadline_ms } else { limits.drain_ms };
        let until = timer::after(Duration::from_millis(patience));
        while why == NotEntered::Paused {
            if !self.wait_until_back(until) {
                return Err(CallError::DeadlineExceeded);
            }
            match self.enter() {
                Ok(entered) => return Ok(entered),
                Err(not_entered) => why = not_entered,
            }
        }
        Err(why.into())
    }

    /// Blocks this thread while the plugin hands its state over; false if it still does then.
    fn wait_until_back(&self, until: Instant) -> bool {
        let mut away = self.away.lock();
        while !away.unloaded && self.current.load(Ordering::SeqCst).is_null() {
            if self.back.wait_until(&mut away, until).timed_out() {
                return away.unloaded || !self.current.load(Ordering::SeqCst).is_null();
            }
        }
        true
    }

    /// Wakes `waker` when the plugin is back, or gone for good. True if it is so already.
    pub(crate) fn wake_when_back(&self, waker: &Waker) -> bool {
        let mut away = self.away.lock();
        if away.unloaded || !self.current.load(Ordering::SeqCst).is_null() {
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
        *self.spec.write() = spec;
        {
            let mut last = self.last.write();
            last.info = Some(info(self, instance, &entries));
            last.entries = entries;
        }
        self.list(instance);
        let old = self.swap(ptr::from_ref(instance).cast_mut());
        self.wake_all(away);
        Ok(old)
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
        self.swap(ptr::null_mut());
        self.wake_all(away);
        self.alive.lock().instances.iter().map(|life| life.instance).collect()
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

    /// The current instance, to look at.
    pub(crate) fn current(&self) -> Option<&'static Instance> {
        // SAFETY: null, or put in by `put` from a `&'static`; instances are never freed.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
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

/// Why an instance could not be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotEntered {
    /// It hands its state over; it comes back.
    Paused,
    /// It is gone.
    Unloaded,
    /// Too many calls are nested on this thread.
    TooDeep,
}

impl From<NotEntered> for CallError {
    fn from(not_entered: NotEntered) -> Self {
        match not_entered {
            NotEntered::TooDeep => Self::TooDeep { depth_max: DEPTH_MAX },
            NotEntered::Paused | NotEntered::Unloaded => Self::Unloaded,
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
