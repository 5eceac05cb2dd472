// SPDX-License-Identifier: BSD-3-Clause
//! Loom's atomics and lock, in place of `crates/zcopy/src/sync.rs`, and an asymmetric fence.

use std::sync::PoisonError;

use loom::sync::MutexGuard;

pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

/// The largest number of threads of a model, including the first.
const THREADS_MAX: usize = 4;

loom::lazy_static! {
    static ref FENCES: Fences = Fences::default();
}

loom::thread_local! {
    static THREAD: usize = FENCES.threads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

/// A word for each thread. A light fence touches the word of its thread, a heavy one all: so of a
/// light and a heavy fence one comes first, and accesses before it are visible after the other. Two
/// light fences order nothing, which a model with ordinary fences would not show.
#[derive(Default)]
struct Fences {
    words: [loom::sync::atomic::AtomicUsize; THREADS_MAX],
    threads: std::sync::atomic::AtomicUsize,
}

pub(crate) fn light() {
    if let Some(word) = THREAD.with(|thread| FENCES.words.get(*thread)) {
        word.fetch_add(1, Ordering::AcqRel);
    }
}

pub(crate) fn heavy() {
    for word in &FENCES.words {
        word.fetch_add(1, Ordering::AcqRel);
    }
}

/// The kernel refuses no fence here.
pub(crate) fn is_sound() -> bool {
    true
}

/// With the interface of `parking_lot`.
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
