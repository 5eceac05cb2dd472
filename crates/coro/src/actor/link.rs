// SPDX-License-Identifier: BSD-3-Clause
//! Actors that end together, or are notified of each other's end.
//!
//! A link is a hook at each of two actors. The actor that ends first removes the other actor's
//! hook, so that a long-lived actor does not accumulate the links of all actors it ever met. The
//! hooks hold the other side weakly: a link keeps neither actor nor mailbox alive.

use std::sync::Arc;

use becket_chan::TrySendError;
use parking_lot::Mutex;

use super::{
    address::Inner,
    exit::{Core, Exit, Hook},
};
use crate::Spawn;

pub(super) fn link(one: &Arc<Core>, other: &Arc<Core>) {
    if Arc::ptr_eq(one, other) {
        return;
    }
    tie(one, cancels(other), other, cancels(one));
}

pub(super) fn monitor<M: Send + 'static>(
    monitor: &Arc<Inner<M>>,
    other: &Arc<Core>,
    message: impl FnOnce(&Exit) -> M + Send + 'static,
) {
    if Arc::ptr_eq(&monitor.core, other) {
        return;
    }
    let weak = Arc::downgrade(monitor);
    let tell = Box::new(move |exit: &Exit| {
        if let Some(monitor) = weak.upgrade() {
            let message = message(exit);
            deliver(monitor, message);
        }
    });
    tie(other, tell, &monitor.core, Box::new(|_| ()));
}

/// A hook that cancels `other` if the exit is not a normal one.
fn cancels(other: &Arc<Core>) -> Hook {
    let other = Arc::downgrade(other);
    Box::new(move |exit| {
        if !exit.is_normal()
            && let Some(other) = other.upgrade()
        {
            other.job.cancel(format!("a linked actor ended: {exit}"));
        }
    })
}

/// Sets a hook at each of two actors; the end of one calls its hook and removes the other actor's
/// hook.
fn tie(one: &Arc<Core>, at_one: Hook, other: &Arc<Core>, at_other: Hook) {
    let (number_one, number_other) = (one.reserve(), other.reserve());
    let hook = |own: Hook, far: &Arc<Core>, number| -> Hook {
        let far = Arc::downgrade(far);
        Box::new(move |exit| {
            if let Some(far) = far.upgrade() {
                far.forget(number);
            }
            own(exit);
        })
    };
    one.on_done(number_one, hook(at_one, other, number_other));
    // If the first has ended, its hook was called just now and found nothing to remove.
    if one.exit().is_none() {
        other.on_done(number_other, hook(at_other, one, number_one));
    }
}

/// A message that was not delivered yet, and the actor that it is for.
type Parcel<M> = Mutex<Option<(Arc<Inner<M>>, M)>>;

/// Puts a message into a mailbox, from code that must not wait.
fn deliver<M: Send + 'static>(monitor: Arc<Inner<M>>, message: M) {
    let Err(TrySendError::Full(message)) = monitor.tx.try_send(message) else {
        return;
    };
    // If no coroutine can be spawned, this code waits after all: late is better than lost.
    let kept: Arc<Parcel<M>> = Arc::new(Mutex::new(Some((monitor, message))));
    let send = |kept: &Parcel<M>| {
        let kept = kept.lock().take();
        if let Some((monitor, message)) = kept {
            // Closed: it ended before the notification.
            drop(monitor.tx.send(message).wait());
        }
    };
    let spawned = {
        let kept = Arc::clone(&kept);
        Spawn::new().name("monitor").spawn(move || send(&kept))
    };
    if spawned.is_err() {
        send(&kept);
    }
}

#[cfg(test)]
mod tests {
    use crate::actor::{Address, Stop, spawn_fn};

    fn idle() -> Address<()> {
        spawn_fn(|(), _| ()).unwrap()
    }

    #[test]
    fn one_that_lives_long_does_not_gather_the_ties_of_all_it_met() {
        let old = idle();
        let one = idle();
        old.link(&one);
        for _ in 0..100 {
            let (linked, monitored, monitors) = (idle(), idle(), idle());
            old.link(&linked);
            old.monitor(&monitored, |_| ());
            monitors.monitor(&old, |_| ());
            assert_eq!(old.core().hooks_len(), 4);
            for other in [linked, monitored, monitors] {
                other.stop(Stop::Drain);
                other.join();
            }
            assert_eq!(old.core().hooks_len(), 1);
        }
        old.link(&old);
        old.monitor(&old, |_| ());
        assert_eq!(old.core().hooks_len(), 1, "an actor is not linked to itself");
    }
}
