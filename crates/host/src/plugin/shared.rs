// SPDX-License-Identifier: BSD-3-Clause
//! What all handles of one plugin share, and the way into its current instance.
//!
//! `current` is the one word that a call reads. A reload replaces it; while state is handed over
//! it is null and callers wait; after an unload it is null for good.

use std::{
    path::PathBuf,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, AtomicU64, Ordering},
    },
    task::Waker,
};

use parking_lot::{Condvar, Mutex, RwLock};

use super::PluginInfo;
use crate::{
    barrier,
    counters::Counters,
    distance::Distance,
    error::{CallError, UnknownEntry},
    instance::Instance,
    load::EntryInfo,
    metrics::Metrics,
    spec::PluginSpec,
    thread::{self, DEPTH_MAX, ThreadRecord},
};

/// See the module's documentation.
pub(crate) struct Shared {
    pub(crate) spec: PluginSpec,
    pub(crate) search_path: Arc<[PathBuf]>,
    pub(crate) counters: Counters,
    pub(crate) metrics: Metrics,
    current: AtomicPtr<Instance>,
    /// Why `current` is null, and who waits for it.
    away: Mutex<Away>,
    back: Condvar,
    last: RwLock<Last>,
    generations: AtomicU64,
    pub(super) reloading: Mutex<()>,
}

#[derive(Default)]
struct Away {
    unloaded: bool,
    wakers: Vec<Waker>,
}

/// What is known of the plugin when it is not there.
struct Last {
    info: Option<PluginInfo>,
    entries: Arc<[EntryInfo]>,
}

impl Shared {
    pub(crate) fn new(spec: PluginSpec, search_path: Arc<[PathBuf]>) -> Arc<Self> {
        Arc::new(Self {
            counters: Counters::new(),
            metrics: Metrics::new(spec.limits.metrics_max),
            spec,
            search_path,
            current: AtomicPtr::new(ptr::null_mut()),
            away: Mutex::default(),
            back: Condvar::new(),
            last: RwLock::new(Last { info: None, entries: [].into() }),
            generations: AtomicU64::new(0),
            reloading: Mutex::new(()),
        })
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

    /// Wakes `waker` when the plugin is back, or gone for good. True if it is so already.
    pub(crate) fn wake_when_back(&self, waker: &Waker) -> bool {
        let mut away = self.away.lock();
        if away.unloaded || !self.current.load(Ordering::SeqCst).is_null() {
            return true;
        }
        away.wakers.push(waker.clone());
        false
    }

    /// Blocks this thread while the plugin hands its state over.
    pub(crate) fn wait_until_back(&self) {
        let mut away = self.away.lock();
        while !away.unloaded && self.current.load(Ordering::SeqCst).is_null() {
            self.back.wait(&mut away);
        }
    }

    /// Puts `instance` in, and wakes who waited. Returns the one before, or `Err` if the plugin was
    /// unloaded meanwhile.
    pub(crate) fn put(
        &self,
        instance: &'static Instance,
    ) -> Result<Option<&'static Instance>, Gone> {
        let entries: Arc<[EntryInfo]> = instance.distance.entries().into();
        let mut away = self.away.lock();
        if away.unloaded {
            return Err(Gone);
        }
        {
            let mut last = self.last.write();
            last.info = Some(info(self, instance, &entries));
            last.entries = entries;
        }
        let old = self.swap(ptr::from_ref(instance).cast_mut());
        self.wake_all(&mut away);
        Ok(old)
    }

    /// Takes the instance out: callers wait until one is put in.
    pub(super) fn pause(&self) -> Option<&'static Instance> {
        self.swap(ptr::null_mut())
    }

    /// Takes the instance out for good.
    pub(super) fn take(&self) -> Option<&'static Instance> {
        let mut away = self.away.lock();
        away.unloaded = true;
        let old = self.swap(ptr::null_mut());
        self.wake_all(&mut away);
        old
    }

    fn wake_all(&self, away: &mut Away) {
        self.back.notify_all();
        away.wakers.drain(..).for_each(Waker::wake);
    }

    fn swap(&self, instance: *mut Instance) -> Option<&'static Instance> {
        let old = self.current.swap(instance, Ordering::SeqCst);
        barrier::heavy();
        // SAFETY: null, or put in by `put` from a `&'static`.
        unsafe { old.as_ref() }
    }

    /// The current instance, to look at.
    pub(crate) fn current(&self) -> Option<&'static Instance> {
        // SAFETY: null, or put in by `put` from a `&'static`; instances are never freed.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
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
            name: self.spec.name.clone(),
            reported_name: String::new(),
            version: String::new(),
            path: None,
            sha256: None,
            layout: "unknown",
            generation: 0,
            flags: 0,
            entries: Vec::new(),
        })
    }

    pub(super) fn unknown_entry(&self, entry: &str) -> CallError {
        CallError::UnknownEntry(Box::new(UnknownEntry {
            plugin: self.spec.name.clone(),
            entry: entry.to_owned(),
            known: self.last.read().entries.iter().map(|entry| entry.name.clone()).collect(),
        }))
    }
}

fn info(shared: &Shared, instance: &Instance, entries: &[EntryInfo]) -> PluginInfo {
    let about = &instance.about;
    PluginInfo {
        name: shared.spec.name.clone(),
        reported_name: about.reported_name.clone(),
        version: about.version.clone(),
        path: about.path.clone(),
        sha256: about
            .sha256
            .map(|digest| digest.iter().map(|byte| format!("{byte:02x}")).collect()),
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
        self.instance.moved();
    }
}
