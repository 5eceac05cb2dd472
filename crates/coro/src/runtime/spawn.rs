// SPDX-License-Identifier: BSD-3-Clause
//! Creation of a coroutine: a slot, its code, and a place where a worker finds it. The worker that
//! starts it gives it a stack: there the stack is warm, and a coroutine that never starts needs
//! none.

use std::{
    panic::Location,
    sync::{Arc, atomic::Ordering},
};

use super::{Handle, Shared};
use crate::{
    context,
    error::{JoinError, SpawnError},
    free_list,
    join::{JoinHandle, Packet},
    launch::Options,
    local, names,
    slot::{self, CoroutineKey, Run, Slot},
    stack,
    switch::Link,
    unwinding::contain,
    worker::Worker,
};

/// Spawns a coroutine on the current runtime: that of the calling coroutine, else the default one.
///
/// The coroutine runs when a worker is free for it, at the latest when the caller waits, if that is
/// the only worker. If there is no stack for it, the handle returns the error.
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let site = Location::caller();
    let packet = Arc::new(Packet::new(f));
    let spawned = context::with_worker(|worker| match worker {
        Some(worker) => put(&worker.shared, Some(worker), Details::at(site), &packet),
        None => Handle::current()
            .and_then(|handle| put(&handle.shared, None, Details::at(site), &packet)),
    });
    joined(packet, spawned)
}

#[track_caller]
pub(super) fn spawn_on<F, T>(handle: &Handle, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let packet = Arc::new(Packet::new(f));
    let site = Location::caller();
    let spawned = put_on(handle, Details::at(site), &packet);
    joined(packet, spawned)
}

fn joined<F, T>(
    packet: Arc<Packet<F, T>>,
    spawned: Result<CoroutineKey, SpawnError>,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let key = spawned.unwrap_or_else(|error| {
        packet.never(JoinError::Refused(error));
        CoroutineKey::NONE
    });
    JoinHandle::new(packet, key)
}

/// Spawns a coroutine with these options, on the current runtime if the options have none.
pub(crate) fn spawn_with<F, T>(options: Options, f: F) -> Result<JoinHandle<T>, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let Options { name, stack_size, runtime, worker, site } = options;
    let handle = match runtime {
        Some(runtime) => runtime,
        None => Handle::current()?,
    };
    let packet = Arc::new(Packet::new(f));
    let key = put_on(&handle, Details { name, stack_size, pinned_to: worker, site }, &packet)?;
    Ok(JoinHandle::new(packet, key))
}

/// As [`put`], on this runtime, from one of its workers or from another thread.
fn put_on<F, T>(
    handle: &Handle,
    details: Details,
    packet: &Arc<Packet<F, T>>,
) -> Result<CoroutineKey, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let shared = &handle.shared;
    context::with_worker(|worker| {
        let worker = worker.filter(|worker| Arc::ptr_eq(&worker.shared, shared));
        put(shared, worker, details, packet)
    })
}

/// Creates a coroutine of a task and puts it where a worker finds it.
fn put<F, T>(
    shared: &Shared,
    worker: Option<&Worker>,
    details: Details,
    packet: &Arc<Packet<F, T>>,
) -> Result<CoroutineKey, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let task: Arc<dyn Run> = Arc::<Packet<F, T>>::clone(packet);
    put_task(shared, worker, details, task)
}

/// The options of a coroutine on a runtime.
struct Details {
    name: Option<Arc<str>>,
    stack_size: Option<usize>,
    /// The index of the worker that starts it.
    pinned_to: Option<usize>,
    site: &'static Location<'static>,
}

impl Details {
    const fn at(site: &'static Location<'static>) -> Self {
        Self { name: None, stack_size: None, pinned_to: None, site }
    }
}

fn put_task(
    shared: &Shared,
    worker: Option<&Worker>,
    details: Details,
    task: Arc<dyn Run>,
) -> Result<CoroutineKey, SpawnError> {
    let Details { name, stack_size, pinned_to, site } = details;
    if shared.stop.load(Ordering::Relaxed) {
        return Err(SpawnError::ShutDown);
    }
    if let Some(worker) = pinned_to.filter(|worker| *worker >= shared.workers()) {
        return Err(SpawnError::NoWorker { worker, workers: shared.workers() });
    }
    // The stack itself comes when the coroutine starts, on the worker that starts it. An impossible
    // size is reported now.
    let stack_size = match stack_size {
        None => shared.stack_size,
        Some(size) => stack::check_size(size)?,
    };
    if shared.coroutines_max < slot::COROUTINES_MAX {
        count_one(shared)?;
    }
    let taken = match worker {
        Some(worker) => worker.slots.take(),
        None => free_list::take_slot(),
    };
    let Some(slot) = taken else {
        shared.one_ended();
        return Err(SpawnError::TooMany { coroutines_max: slot::COROUTINES_MAX });
    };
    let now = worker.map_or_else(|| shared.clock.now(), Worker::now);
    // SAFETY: just taken from the free list.
    unsafe { slot.fill(Some(task), site, shared.id, stack_size, now) };
    if let Some(name) = name {
        slot.set_named();
        names::insert(slot.index(), name);
    }
    let key = slot.key();
    match (pinned_to, worker) {
        (None, Some(worker)) => worker.push_fresh(slot),
        (pinned_to, _) => inject(shared, pinned_to, slot),
    }
    Ok(key)
}

/// Puts a fresh coroutine where a certain worker finds it, or any.
fn inject(shared: &Shared, pinned_to: Option<usize>, slot: &'static Slot) {
    shared.spawned_outside.fetch_add(1, Ordering::Release);
    let queue = pinned_to.and_then(|worker| shared.pinned(worker));
    queue.unwrap_or(&shared.injector).push(slot);
    std::sync::atomic::fence(Ordering::SeqCst);
    match pinned_to.and_then(|worker| shared.remote(worker)) {
        Some(remote) => remote.wake(),
        None => shared.call_helper(),
    }
    if shared.stop.load(Ordering::SeqCst) {
        // The runtime may have ended meanwhile, with no worker left to find the coroutine.
        shared.drop_injected();
    }
}

#[cold]
fn count_one(shared: &Shared) -> Result<(), SpawnError> {
    let max = shared.coroutines_max;
    shared
        .live
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| (live < max).then(|| live + 1))
        .map(|_| ())
        .map_err(|_| SpawnError::TooMany { coroutines_max: max })
}

/// The code on a coroutine's stack, from the first instruction to the last.
///
/// # Safety
///
/// `data` is a slot that was filled with a task and that the calling coroutine holds.
pub(crate) unsafe fn run(data: *mut (), link: Link) {
    // SAFETY: the caller's promise; slots are never unmapped.
    let slot: &'static Slot = unsafe { &*data.cast::<Slot>() };
    // SAFETY: this is the slot's coroutine, on its stack, at its start.
    unsafe {
        slot.set_link(link);
        (*slot.task()).run();
    }
    // SAFETY: the slot's coroutine still, and it was not abandoned.
    let task = unsafe { slot.take_task() };
    // If there is no join handle any more, the result is dropped here: the last user code.
    contain(|| drop(task));
    // Coroutine-local values that this drop created.
    local::clear(Some(slot));
}
