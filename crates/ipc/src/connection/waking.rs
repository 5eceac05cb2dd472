// SPDX-License-Identifier: BSD-3-Clause
//! Who wakes a connection, and whom it wakes.
//!
//! A connection polls operations on local channels for its peer. Each stream has one waker, for as
//! long as it lives: it puts the stream into the connection's list and gives the connection a turn,
//! on the thread that woke it. While a thread is in a turn, further turns of that thread wait in a
//! list of its own, so that connections that wake each other do not stack up.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, thread_local};

/// Something that can be given a turn.
pub(crate) trait Turn: Send + Sync {
    /// Does what there is to do, unless another thread is about to.
    fn turn(self: Arc<Self>);
}

thread_local! {
    /// Turns that wait until the one that runs on this thread is over; `None`: none runs.
    static WAITING: RefCell<Option<VecDeque<Arc<dyn Turn>>>> = const { RefCell::new(None) };
}

/// Gives `turn` its turn: now, or after the one that runs on this thread.
pub(crate) fn take_turn(turn: Arc<dyn Turn>) {
    let now = WAITING.try_with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        match &mut *waiting {
            Some(waiting) => {
                waiting.push_back(turn.clone());
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
        Ok(true) => turn.turn(),
        // The thread is being torn down: nothing is kept for it.
        Err(_) => return turn.turn(),
    }
    loop {
        let next = WAITING.try_with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            let next = waiting.as_mut().and_then(VecDeque::pop_front);
            if next.is_none() {
                *waiting = None;
            }
            next
        });
        match next {
            Ok(Some(next)) => next.turn(),
            _ => return,
        }
    }
}

/// Streams that were woken since the connection looked.
pub(crate) struct Woken {
    /// One of them, which needs no list; [`NOBODY`].
    one: AtomicU64,
    others: Mutex<Vec<Arc<StreamWaker>>>,
    /// There are others: written under the lock.
    any: AtomicBool,
}

const NOBODY: u64 = u64::MAX;

impl Default for Woken {
    fn default() -> Self {
        Self { one: AtomicU64::new(NOBODY), others: Mutex::default(), any: AtomicBool::new(false) }
    }
}

impl Woken {
    /// Moves them into `into`, and from now on they can be woken again.
    #[inline]
    pub(crate) fn take(&self, into: &mut Vec<u32>) {
        if self.one.load(Ordering::Relaxed) != NOBODY {
            // A stream's number: it came from a `u32`.
            into.push(self.one.swap(NOBODY, Ordering::AcqRel) as u32);
        }
        if self.any.load(Ordering::Relaxed) {
            self.take_others(into);
        }
    }

    /// Whether there is one, as far as can be seen.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.one.load(Ordering::Relaxed) != NOBODY || self.any.load(Ordering::Relaxed)
    }

    /// False: it is among them already, and is taken with what was done before this.
    fn push(&self, waker: Arc<StreamWaker>) -> bool {
        let stream = u64::from(waker.stream);
        let mut found = NOBODY;
        // One that is there already is written again: whoever takes it sees both wakes.
        while found == NOBODY || found == stream {
            match self.one.compare_exchange(found, stream, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(before) => return before == NOBODY,
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
            // Sees what was done before each wake that left it to the first.
            waker.queued.swap(false, Ordering::AcqRel);
            into.push(waker.stream);
        }
    }
}

/// What a waker needs of its connection.
pub(crate) trait Wakeable: Turn {
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
            take_turn(connection);
        }
    }
}

/// Those whom a turn woke, told after it has let go of the connection.
#[derive(Default)]
pub(crate) struct Wakes {
    /// Most often there is one: it needs no list.
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakes {
    #[inline]
    pub(crate) fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.others.push(waker);
        }
    }

    pub(crate) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        wakers.into_iter().for_each(|waker| self.push(waker));
    }

    #[inline]
    pub(crate) fn fire(self) {
        if let Some(first) = self.first {
            first.wake();
            self.others.into_iter().for_each(Waker::wake);
        }
    }
}
