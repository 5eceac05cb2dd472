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

use crate::sync::{AtomicBool, Mutex, Ordering, thread_local};

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
#[derive(Default)]
pub(crate) struct Woken {
    streams: Mutex<Vec<Arc<StreamWaker>>>,
    /// There are some: written under the lock.
    any: AtomicBool,
}

impl Woken {
    /// Moves them into `into`, and from now on they can be woken again.
    #[inline]
    pub(crate) fn take(&self, into: &mut Vec<u32>) {
        if self.any.load(Ordering::SeqCst) {
            self.take_all(into);
        }
    }

    fn push(&self, waker: Arc<StreamWaker>) {
        let mut streams = self.streams.lock();
        streams.push(waker);
        self.any.store(true, Ordering::SeqCst);
    }

    fn take_all(&self, into: &mut Vec<u32>) {
        let mut streams = self.streams.lock();
        self.any.store(false, Ordering::SeqCst);
        for waker in streams.drain(..) {
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
    queued: AtomicBool,
}

impl StreamWaker {
    pub(crate) fn make(connection: Weak<dyn Wakeable>, stream: u32) -> Waker {
        Arc::new(Self { connection, stream, queued: AtomicBool::new(false) }).into()
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(connection) = self.connection.upgrade() {
            connection.woken().push(self);
            take_turn(connection);
        }
    }
}

/// Those whom a turn woke, told after it has let go of the connection.
#[derive(Default)]
pub(crate) struct Wakes(Vec<Waker>);

impl Wakes {
    pub(crate) fn push(&mut self, waker: Waker) {
        self.0.push(waker);
    }

    pub(crate) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.0.extend(wakers);
    }

    pub(crate) fn fire(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}
