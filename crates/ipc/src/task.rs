// SPDX-License-Identifier: BSD-3-Clause
//! A future that is polled by its wakes: a server's handshake on a socket that is not a connection
//! yet.
//!
//! A task is polled on the thread that wakes it, as a [`Dispatch`] of that thread (see
//! [`waking`](crate::connection::waking)). It lives as long as a waker exists: a future that waits
//! for a descriptor therefore has a deadline too.

use std::future::Future;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

use crate::connection::pending_lock::PendingLock;
use crate::connection::waking::{Dispatch, run_or_enqueue};
use crate::reactor::{self, Account, Ready, Watched};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    future: PendingLock<Option<Boxed>>,
    /// Of the turn in which it is polled first.
    account: Account,
}

/// Starts a task: it is polled before this returns, or after the dispatch in which this is called.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    run_or_enqueue(Task::new(Account::OWN, future));
}

/// Starts a task that the I/O thread polls when its account has a turn.
///
/// # Errors
///
/// As for [`reactor::again`].
pub(crate) fn spawn_in_turn(
    account: Account,
    future: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    reactor::again(&Task::new(account, future))
}

impl Task {
    fn new(account: Account, future: impl Future<Output = ()> + Send + 'static) -> Arc<Self> {
        let future = PendingLock::new(Some(Box::pin(future) as Boxed));
        Arc::new(Self { future, account })
    }
}

impl Ready for Task {
    fn ready(self: Arc<Self>) {
        run_or_enqueue(self);
    }

    fn account(&self) -> Account {
        self.account
    }
}

impl Dispatch for Task {
    fn run(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        loop {
            // The holder of the lock checks the pending flag when it unlocks.
            let Some(mut future) = self.future.enter() else { return };
            if let Some(running) = &mut *future
                && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
            {
                *future = None;
            }
            drop(future);
            if !self.future.is_pending() {
                return;
            }
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        run_or_enqueue(self);
    }
}

/// Reports changes of a descriptor's readiness.
pub(crate) struct Readiness {
    signal: Arc<Signal>,
    _watched: Watched,
}

struct Signal {
    account: Account,
    state: Mutex<(bool, Option<Waker>)>,
}

impl Readiness {
    pub(crate) fn of(account: Account, descriptor: &impl AsFd) -> std::io::Result<Self> {
        let signal = Arc::new(Signal { account, state: Mutex::default() });
        let owner: Arc<dyn Ready> = signal.clone();
        let watched = reactor::watch(descriptor.as_fd(), Arc::downgrade(&owner))?;
        Ok(Self { signal, _watched: watched })
    }

    /// Waits for the next change. A change that came before completes the wait, once.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + Send + '_ {
        std::future::poll_fn(|context| {
            let (changed, waker) = &mut *self.signal.state.lock();
            if std::mem::take(changed) {
                return Poll::Ready(());
            }
            *waker = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Ready for Signal {
    fn ready(self: Arc<Self>) {
        let waker = {
            let (changed, waker) = &mut *self.state.lock();
            *changed = true;
            waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn account(&self) -> Account {
        self.account
    }
}
