// SPDX-License-Identifier: BSD-3-Clause
//! Actors that end together, or hear of each other's end.
//!
//! A tie is a hook at each of two actors. Whichever ends first takes the other's hook out, so that a
//! long-lived actor does not gather the ties of all it ever met. The hooks hold the other side
//! weakly: a tie keeps neither actor nor mailbox.

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
    hears: &Arc<Inner<M>>,
    other: &Arc<Core>,
    message: impl FnOnce(&Exit) -> M + Send + 'static,
) {
    if Arc::ptr_eq(&hears.core, other) {
        return;
    }
    let weak = Arc::downgrade(hears);
    let tell = Box::new(move |exit: &Exit| {
        if let Some(hears) = weak.upgrade() {
            let message = message(exit);
            deliver(hears, message);
        }
    });
    tie(other, tell, &hears.core, Box::new(|_| ()));
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

/// Gives each of two actors a hook, of which one at most is called by an end, and the other
/// forgotten.
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
    // If the first has ended, its hook was called just now and found nothing to forget.
    if one.exit().is_none() {
        other.on_done(number_other, hook(at_other, one, number_one));
    }
}

/// A message that was not delivered yet, and whom it is for.
type Parcel<M> = Mutex<Option<(Arc<Inner<M>>, M)>>;

/// Puts a message into a mailbox, from where nobody may wait.
fn deliver<M: Send + 'static>(hears: Arc<Inner<M>>, message: M) {
    let Err(TrySendError::Full(message)) = hears.tx.try_send(message) else {
        return;
    };
    // Should there be no coroutine for it, it waits here after all: better late than lost.
    let kept: Arc<Parcel<M>> = Arc::new(Mutex::new(Some((hears, message))));
    let send = |kept: &Parcel<M>| {
        let kept = kept.lock().take();
        if let Some((hears, message)) = kept {
            // Closed: it ended before it could hear.
            drop(hears.tx.send(message).wait());
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
        assert_eq!(old.core().hooks_len(), 1, "nobody is tied to itself");
    }
}
