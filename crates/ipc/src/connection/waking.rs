// SPDX-License-Identifier: BSD-3-Clause
//! The wakers of a connection's streams.
//!
//! A connection polls operations on local channels for its peer. Each stream has one waker for its
//! whole life: the waker puts the stream into the connection's list and dispatches the connection
//! on the thread that called it. During a dispatch further dispatches of the same thread are queued
//! in a thread-local list, so that connections that wake each other do not recurse.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, thread_local};

/// Something that can be dispatched.
pub(crate) trait Dispatch: Send + Sync {
    /// Does the pending work, unless another thread is about to.
    fn run(self: Arc<Self>);
}

thread_local! {
    /// Dispatches that wait for the running one of this thread; `None`: none is running.
    static QUEUE: RefCell<Option<VecDeque<Arc<dyn Dispatch>>>> = const { RefCell::new(None) };
}

/// Runs `dispatch` now, or after the running dispatch of this thread.
pub(crate) fn run_or_enqueue(dispatch: Arc<dyn Dispatch>) {
    let now = QUEUE.try_with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        match &mut *waiting {
            Some(waiting) => {
                waiting.push_back(dispatch.clone());
                false
            }
            None => {
                *waiting = Some(VecDeque::new());
                true
            }
        }
    });
    match now {
        Ok(false) => return,
        Ok(true) => dispatch.run(),
        // The thread's locals are destroyed: there is no queue.
        Err(_) => return dispatch.run(),
    }
    loop {
        let next = QUEUE.try_with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            let next = waiting.as_mut().and_then(VecDeque::pop_front);
            if next.is_none() {
                *waiting = None;
            }
            next
        });
        match next {
            Ok(Some(next)) => next.run(),
            _ => return,
        }
    }
}

/// Streams that were woken since the last dispatch.
pub(crate) struct Woken {
    /// The first one, which needs no list; [`NO_STREAM`] if there is none.
    one: AtomicU64,
    others: Mutex<Vec<Arc<StreamWaker>>>,
    /// The list is not empty: written under its lock.
    any: AtomicBool,
}

const NO_STREAM: u64 = u64::MAX;

impl Default for Woken {
    fn default() -> Self {
        Self {
            one: AtomicU64::new(NO_STREAM),
            others: Mutex::default(),
            any: AtomicBool::new(false),
        }
    }
}

impl Woken {
    /// Moves the woken streams into `into`. From then on they can be woken again.
    #[inline]
    pub(crate) fn take(&self, into: &mut Vec<u32>) {
        if self.one.load(Ordering::Relaxed) != NO_STREAM {
            // A stream's number: it came from a `u32`.
            into.push(self.one.swap(NO_STREAM, Ordering::AcqRel) as u32);
        }
        if self.any.load(Ordering::Relaxed) {
            self.take_others(into);
        }
    }

    /// Whether a stream was woken, by a relaxed load.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.one.load(Ordering::Relaxed) != NO_STREAM || self.any.load(Ordering::Relaxed)
    }

    /// False: the stream is in the list already, and its wake covers this one.
    fn push(&self, waker: Arc<StreamWaker>) -> bool {
        let stream = u64::from(waker.stream);
        let mut found = NO_STREAM;
        // A stream that is there already is written again: taking it acquires both wakes.
        while found == NO_STREAM || found == stream {
            match self.one.compare_exchange(found, stream, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(before) => return before == NO_STREAM,
                Err(other) => found = other,
            }
        }
        self.push_other(waker)
    }

    fn push_other(&self, waker: Arc<StreamWaker>) -> bool {
        if waker.queued.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut others = self.others.lock();
        others.push(waker);
        self.any.store(true, Ordering::Relaxed);
        true
    }

    fn take_others(&self, into: &mut Vec<u32>) {
        let mut others = self.others.lock();
        self.any.store(false, Ordering::Relaxed);
        for waker in others.drain(..) {
            // Acquires what was written before each wake that found the flag set.
            waker.queued.swap(false, Ordering::AcqRel);
            into.push(waker.stream);
        }
    }
}

/// What a waker needs of its connection.
pub(crate) trait Wakeable: Dispatch {
    fn woken(&self) -> &Woken;
}

/// The waker of one stream.
pub(crate) struct StreamWaker {
    connection: Weak<dyn Wakeable>,
    stream: u32,
    /// It is in the list.
    queued: AtomicBool,
}

impl StreamWaker {
    pub(crate) fn make(connection: Weak<dyn Wakeable>, stream: u32) -> Waker {
        Arc::new(Self { connection, stream, queued: AtomicBool::new(false) }).into()
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        if let Some(connection) = self.connection.upgrade()
            && connection.woken().push(self)
        {
            run_or_enqueue(connection);
        }
    }
}
