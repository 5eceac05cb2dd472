// SPDX-License-Identifier: BSD-3-Clause
//! Loom's atomics, replacing `crates/ipc/src/sync.rs`, and a lock with the orderings of
//! `parking_lot`.
//!
//! Loom treats a sequentially consistent access as acquire and release, but implements sequentially
//! consistent fences. So here a thread whose last store was sequentially consistent fences before
//! its next such load: without the fence, two threads could miss each other (store-buffer
//! reordering), and if one of the two accesses is made weaker they do. This is slightly stronger
//! than the real ordering, as other accesses around the fence are ordered too, and slightly weaker,
//! as a store of another kind between the two removes the fence.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

pub(crate) use loom::sync::atomic::Ordering;

/// Loom's, which has no `const` initialization: a value per thread of a model.
macro_rules! each_thread {
    (
        $(#[$attribute:meta])*
        static $name:ident: $type:ty = const { $value:expr };
    ) => {
        loom::thread_local! {
            $(#[$attribute])*
            static $name: $type = $value;
        }
    };
}
pub(crate) use each_thread as thread_local;

pub(crate) type AtomicBool = Atomic<bool>;
pub(crate) type AtomicU32 = Atomic<u32>;
pub(crate) type AtomicU64 = Atomic<u64>;

/// A value in an atomic.
pub(crate) trait Word: Copy {
    fn from_u64(word: u64) -> Self;
    fn into_u64(self) -> u64;
}

impl Word for bool {
    fn from_u64(word: u64) -> Self {
        word != 0
    }

    fn into_u64(self) -> u64 {
        self.into()
    }
}

impl Word for u32 {
    fn from_u64(word: u64) -> Self {
        word as Self
    }

    fn into_u64(self) -> u64 {
        self.into()
    }
}

impl Word for u64 {
    fn from_u64(word: u64) -> Self {
        word
    }

    fn into_u64(self) -> u64 {
        self
    }
}

pub(crate) struct Atomic<T>(loom::sync::atomic::AtomicU64, PhantomData<T>);

impl<T: Word> Atomic<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value.into_u64()), PhantomData)
    }

    pub(crate) fn load(&self, order: Ordering) -> T {
        before_load(order);
        T::from_u64(self.0.load(order))
    }

    /// A swap: loom does not model that a swap is atomic with respect to other stores, and would
    /// let a store vanish behind a swap that saw it. So a store here continues the release sequence
    /// of the value that it overwrites, which a real store does not.
    pub(crate) fn store(&self, value: T, order: Ordering) {
        self.0.swap(value.into_u64(), order);
        behind_store(order);
    }

    pub(crate) fn swap(&self, value: T, order: Ordering) -> T {
        before_load(order);
        let old = self.0.swap(value.into_u64(), order);
        behind_store(order);
        T::from_u64(old)
    }

    pub(crate) fn fetch_add(&self, value: T, order: Ordering) -> T {
        before_load(order);
        let old = self.0.fetch_add(value.into_u64(), order);
        behind_store(order);
        T::from_u64(old)
    }

    pub(crate) fn compare_exchange(
        &self,
        old: T,
        new: T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<T, T> {
        before_load(success);
        let result = self.0.compare_exchange(old.into_u64(), new.into_u64(), success, failure);
        if result.is_ok() {
            behind_store(success);
        }
        result.map(T::from_u64).map_err(T::from_u64)
    }
}

impl<T: Word + Default> Default for Atomic<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Atomic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Atomic")
    }
}

loom::thread_local! {
    /// This thread's last store was sequentially consistent, and it has not fenced since.
    static HAS_STORED: Cell<bool> = Cell::new(false);
    static NUMBER: u64 = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

loom::lazy_static! {
    static ref NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
}

fn before_load(order: Ordering) {
    if order == Ordering::SeqCst && HAS_STORED.with(Cell::get) {
        fence(Ordering::SeqCst);
    }
}

fn behind_store(order: Ordering) {
    HAS_STORED.with(|has_stored| has_stored.set(order == Ordering::SeqCst));
}

pub(crate) fn fence(order: Ordering) {
    if order == Ordering::SeqCst {
        HAS_STORED.with(|has_stored| has_stored.set(false));
    }
    loom::sync::atomic::fence(order);
}

pub(crate) unsafe fn make_guard<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.locked()
}

pub(crate) unsafe fn force_unlock<T>(lock: &Mutex<T>) {
    lock.lock.unlock();
}

/// Both sides of the asymmetric fence are ordinary ones here.
pub(crate) fn light_fence() {
    fence(Ordering::SeqCst);
}

pub(crate) fn heavy_fence() {
    fence(Ordering::SeqCst);
}

pub(crate) fn fence_behind_update() {
    fence(Ordering::SeqCst);
}

pub(crate) fn thread_number() -> u64 {
    NUMBER.with(|number| *number)
}

/// As `parking_lot`'s: the lock is taken by an exchange that acquires, after a relaxed load in
/// `try_lock`, and released by a subtraction that releases. Nothing more is guaranteed, so that
/// `try_lock` may find a lock held that was released.
#[derive(Default)]
pub(crate) struct Mutex<T> {
    lock: Lock,
    content: std::sync::Mutex<T>,
}

const LOCKED: usize = 1;

#[derive(Default)]
struct Lock {
    state: loom::sync::atomic::AtomicUsize,
    /// Waiting threads. A std atomic, which orders nothing in the model.
    waiting: std::sync::atomic::AtomicUsize,
    queue: loom::sync::Mutex<()>,
    unlocked: loom::sync::Condvar,
}

impl Lock {
    fn try_change(&self) -> bool {
        self.state.compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn try_lock(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 0 && self.try_change()
    }

    fn lock(&self) {
        if self.try_change() {
            return;
        }
        let mut queue = self.queue.lock().unwrap();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        while !self.try_change() {
            queue = self.unlocked.wait(queue).unwrap();
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    fn unlock(&self) {
        self.state.fetch_sub(LOCKED, Ordering::Release);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            drop(self.queue.lock().unwrap());
            self.unlocked.notify_one();
        }
    }
}

impl<T> Mutex<T> {
    pub(crate) fn new(content: T) -> Self {
        Self { lock: Lock::default(), content: std::sync::Mutex::new(content) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.lock.lock();
        self.locked()
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.lock.try_lock().then(|| self.locked())
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.content.get_mut().unwrap()
    }

    fn locked(&self) -> MutexGuard<'_, T> {
        // Held by one thread at a time, or this fails.
        MutexGuard { lock: &self.lock, content: Some(self.content.try_lock().unwrap()) }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

pub(crate) struct MutexGuard<'a, T> {
    lock: &'a Lock,
    content: Option<std::sync::MutexGuard<'a, T>>,
}

impl<T> MutexGuard<'_, T> {
    /// It stays locked.
    pub(crate) fn leak(mut guard: Self) {
        guard.content = None;
        std::mem::forget(guard);
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.content.as_ref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.content.as_mut().unwrap()
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.content = None;
        self.lock.unlock();
    }
}
