// SPDX-License-Identifier: BSD-3-Clause
//! The job of the running coroutine, or of the thread, for code that was not passed a token.

use std::{cell::RefCell, marker::PhantomData};

use super::Job;

crate::coroutine_local! {
    static CURRENT: RefCell<Option<Job>> = RefCell::new(None);
}

/// The job to which the calling coroutine (or thread) belongs: the innermost scope whose body it
/// runs, or the job that it was spawned for; `None` without one.
#[must_use]
pub fn current() -> Option<Job> {
    CURRENT.with(|current| current.borrow().clone())
}

/// Makes `job` the current one until the guard is dropped.
pub(crate) fn enter(job: &Job) -> Entered {
    let before = CURRENT.with(|current| current.replace(Some(job.clone())));
    Entered { before, _here: PhantomData }
}

pub(crate) struct Entered {
    before: Option<Job>,
    /// Bound to its coroutine.
    _here: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        drop(CURRENT.with(|current| current.replace(before)));
    }
}
