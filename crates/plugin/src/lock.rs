// SPDX-License-Identifier: BSD-3-Clause
//! The locks of the SDK: std's, without poisoning.
//!
//! `parking_lot` is the rule elsewhere. A thread that waits there leaves a thread-local with a
//! destructor behind, and the loader keeps an image mapped for as long as a thread has to run a
//! destructor in it. Most of a plugin runs on threads of the host, which outlive it: a plugin that
//! may be unloaded would stay. Std's locks wait on the word itself.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "see above")]

use std::sync::{self, PoisonError, TryLockError};

pub(crate) use std::sync::MutexGuard;

/// See [`sync::Mutex`]. What a panic left behind is taken as it is: see `boundary`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// See [`sync::Condvar`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
