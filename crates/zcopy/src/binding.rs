// SPDX-License-Identifier: BSD-3-Clause
//! The backends of a channel: every attached one, and the one that is bound.
//!
//! # Invariants
//!
//! 1. A backend is attached to a channel at most once, before its first operation, under the list's
//!    lock. Attaching it again binds the existing link.
//! 2. The backend bound last moves the descriptors; earlier ones keep the descriptors that they
//!    hold.
//! 3. A link is detached once: after the channel was closed, or while nothing is in flight in any
//!    of its links. Detaching closes the link. A detached backend cannot be attached again.
//! 4. A link lives as long as its binding, so that an operation that already uses it can finish.
//!
//! # Safety
//!
//! `bound` is null or points into one of `attached`, which only grows until the binding is dropped
//! (4).

use std::any::Any;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use parking_lot::Mutex;

use crate::backend::{Carrier, Link};
use crate::counters::CountedBy;
use crate::failure::Failure;
use crate::registry::BackendId;

/// The backends of one channel.
#[derive(Default)]
pub struct Binding {
    bound: AtomicPtr<Attached>,
    attached: Mutex<Vec<Arc<Attached>>>,
}

struct Attached {
    id: BackendId,
    link: Box<dyn Link>,
    counts: bool,
    detached: AtomicBool,
}

/// The link that moves a channel's descriptors.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Bound<'a> {
    /// The link.
    pub link: &'a dyn Link,
    /// Whether it counts its operations itself.
    pub counts: bool,
}

impl Bound<'_> {
    /// What counts the operations of the link.
    #[inline]
    pub(crate) fn counted_by(self) -> CountedBy {
        if self.counts { CountedBy::Link } else { CountedBy::Channel }
    }
}

/// A channel cannot be detached: it is not closed, and descriptors are in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{in_flight} descriptors are in flight, and the channel is not closed")]
#[non_exhaustive]
pub struct DetachError {
    /// The number of descriptors in flight.
    pub in_flight: usize,
}

impl Binding {
    /// Attaches a backend, unless it is attached already, and binds it. `None`: no such backend.
    ///
    /// # Errors
    ///
    /// The backend's error; [`Failure::Closed`]: the backend was detached from this channel.
    pub fn bind(
        &self,
        id: BackendId,
        carrier: &Arc<dyn Carrier>,
        options: &dyn Any,
    ) -> Option<Result<(), Failure>> {
        let registered = id.registered()?;
        // Held while the backend attaches: it attaches once, and before its first operation.
        let mut attached = self.attached.lock();
        let known = attached.iter().find(|attached| attached.id == id).cloned();
        let entry = match known {
            Some(entry) if entry.detached.load(Ordering::Acquire) => {
                return Some(Err(Failure::Closed));
            }
            Some(entry) => entry,
            None => match registered.backend().attach(carrier, options) {
                Err(failure) => return Some(Err(failure)),
                Ok(link) => {
                    let (counts, detached) = (link.counts(), AtomicBool::new(false));
                    let entry = Arc::new(Attached { id, link, counts, detached });
                    attached.push(entry.clone());
                    entry
                }
            },
        };
        self.bound.store(Arc::as_ptr(&entry).cast_mut(), Ordering::Release);
        Some(Ok(()))
    }

    /// The bound link.
    #[inline]
    pub fn bound(&self) -> Option<Bound<'_>> {
        // SAFETY: null, or an element of the list, which lives as long as `self`.
        let attached = unsafe { self.bound.load(Ordering::Acquire).as_ref() }?;
        Some(Bound { link: &*attached.link, counts: attached.counts })
    }

    /// Closes every link: the channel was closed.
    pub fn close(&self) {
        for attached in self.all() {
            attached.link.close();
        }
    }

    /// The number of descriptors that were accepted and have not been received, in all links.
    pub fn in_flight(&self) -> usize {
        self.all().iter().map(|attached| attached.link.in_flight()).sum()
    }

    /// Detaches every backend.
    ///
    /// # Errors
    ///
    /// [`DetachError`]: the channel is not `closed`, and descriptors are in flight.
    pub fn detach(&self, closed: bool) -> Result<(), DetachError> {
        let all = self.all();
        if !closed {
            let in_flight = all.iter().map(|attached| attached.link.in_flight()).sum();
            if in_flight > 0 {
                return Err(DetachError { in_flight });
            }
        }
        self.bound.store(ptr::null_mut(), Ordering::Release);
        for attached in all {
            if !attached.detached.swap(true, Ordering::AcqRel) {
                attached.link.close();
                attached.link.detach();
            }
        }
        Ok(())
    }

    fn all(&self) -> Vec<Arc<Attached>> {
        self.attached.lock().clone()
    }
}
