// SPDX-License-Identifier: BSD-3-Clause
//! A look at a channel that neither keeps it alive nor counts as one of its handles.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::channel::Channel;
use crate::counters::Snapshot;
use crate::handle::{Receiver, Sender};

/// Takes snapshots of a channel for as long as it has a handle. Cheap to clone; any thread.
#[derive(Clone)]
pub struct Probe(Weak<dyn Look + Send + Sync>);

/// A channel of any type.
trait Look {
    fn look(&self) -> Snapshot;
}

impl<T: Send> Look for Channel<T> {
    fn look(&self) -> Snapshot {
        self.snapshot()
    }
}

impl Probe {
    /// What the channel has done so far; `None` once all its handles are gone.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.0.upgrade().map(|channel| channel.look())
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
            /// Something that takes snapshots of the channel, is no handle of it and keeps nothing
            /// alive. Nothing runs between two snapshots.
            pub fn probe(&self) -> Probe {
                let channel: Arc<dyn Look + Send + Sync> = self.channel.clone();
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
