// SPDX-License-Identifier: BSD-3-Clause
//! Snapshots of a channel without keeping it alive or counting as one of its handles.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::channel::Channel;
use crate::counters::Snapshot;
use crate::handle::{Receiver, Sender};

/// Takes snapshots of a channel for as long as it has a handle. Cheap to clone; any thread.
#[derive(Clone)]
pub struct Probe(Weak<dyn Observe + Send + Sync>);

/// A channel of any value type.
trait Observe {
    fn observe(&self) -> Snapshot;
}

impl<T: Send> Observe for Channel<T> {
    fn observe(&self) -> Snapshot {
        self.snapshot()
    }
}

impl Probe {
    /// The exact counts of the channel so far; `None` once all its handles are gone.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.0.upgrade().map(|channel| channel.observe())
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Probe").field(&self.snapshot()).finish()
    }
}

macro_rules! probe {
    ($handle:ident) => {
        impl<T: Send + 'static> $handle<T> {
            /// A probe, which takes snapshots of the channel, is no handle of it and does not keep
            /// it alive. Nothing runs between two snapshots.
            pub fn probe(&self) -> Probe {
                let channel: Arc<dyn Observe + Send + Sync> = self.channel.clone();
                Probe(Arc::downgrade(&channel))
            }
        }
    };
}

probe!(Sender);
probe!(Receiver);

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use crate::bounded;

    #[test]
    fn a_probe_sees_what_happens_and_is_no_handle() {
        let (tx, rx) = bounded(4);
        let (one, other) = (tx.probe(), rx.probe().clone());
        tx.try_send(1_u8).unwrap();
        assert_eq!((one.snapshot().unwrap().sends, other.snapshot().unwrap().len), (1, 1));
        drop(tx);
        assert!(rx.is_closed(), "the last sender was the last");
        assert!(one.snapshot().unwrap().closed);
        drop(rx);
        assert!(one.snapshot().is_none() && other.snapshot().is_none());
    }
}
