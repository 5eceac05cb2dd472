// SPDX-License-Identifier: BSD-3-Clause
//! A block of the other side's.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use becket_zcopy::{Block, View};
use bytes::Bytes;
use parking_lot::Mutex;

use super::Descriptor;
use super::borrowing::Memory;
use super::counts::Tally;

/// A block that the other side of a connection has lent: its memory, mapped here to be read. Clones
/// share it. When the last is dropped, the owner hears of it and may write the block again; that
/// never waits, from whatever thread.
///
/// The owner is asked not to write it until then, and [`becket_zcopy`]'s pools do not. But nothing can
/// keep another process from it: so there is no slice of these bytes, unless the memory is sealed
/// against every write. They are copied, each byte read once, and what is to be trusted is checked in
/// the copy. The same holds after the connection has ended: reading is always safe, but the owner has
/// its blocks back.
#[derive(Clone)]
pub struct PeerBlock(Arc<Held>);

struct Held {
    view: View,
    descriptor: Descriptor,
    home: Arc<Home>,
    /// It went back itself: no release.
    gone_back: AtomicBool,
    copy: OnceLock<Bytes>,
    /// After the view: the budget's share is given back when nothing is mapped any more.
    _memory: Arc<Memory>,
}

/// Where the blocks of a connection go when they are dropped.
pub(super) struct Home {
    /// `None`: the connection is over.
    dropped: Mutex<Option<Vec<Descriptor>>>,
    waker: Waker,
    tally: Arc<Tally>,
}

impl PeerBlock {
    pub(super) fn new(
        view: View,
        descriptor: Descriptor,
        memory: Arc<Memory>,
        home: Arc<Home>,
    ) -> Self {
        home.tally.held.fetch_add(1, Ordering::Relaxed);
        let (gone_back, copy) = (AtomicBool::new(false), OnceLock::new());
        Self(Arc::new(Held { view, descriptor, home, gone_back, copy, _memory: memory }))
    }

    /// How many bytes it has. Never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.0.view.len()
    }

    /// Copies as many bytes as both have, from `skip` on, and says how many.
    pub fn copy_to(&self, skip: usize, to: &mut [u8]) -> usize {
        self.0.view.copy_to(skip, to)
    }

    /// A copy of all of it. Its length is what the peer says it is, within its region.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.view.to_vec().into()
    }

    /// Its bytes where they lie: piece by piece through a buffer, or by a promise that they do not
    /// change. The block is held only by this.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.0.view
    }

    /// The bytes, copied once if they are not sealed.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self.0.view.as_slice() {
            Some(slice) => slice,
            None => self.0.copy.get_or_init(|| self.to_bytes()),
        }
    }

    /// A copy, made once.
    pub(crate) fn copied(&self) -> Bytes {
        self.0.copy.get_or_init(|| self.to_bytes()).clone()
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.copy.get().cloned().unwrap_or_else(|| self.to_bytes())
    }

    /// The descriptor to give back in place of a release, if nobody else has the block.
    pub(crate) fn to_return(&self) -> Option<Bytes> {
        (Arc::strong_count(&self.0) == 1)
            .then(|| Bytes::copy_from_slice(&self.0.descriptor.encode()))
    }

    /// The session took the descriptor back.
    pub(crate) fn gone_back(self) {
        self.0.gone_back.store(true, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if *self.gone_back.get_mut() {
            self.home.released(1);
        } else {
            self.home.drop_one(self.descriptor);
        }
    }
}

impl Home {
    pub(super) fn new(waker: Waker, tally: Arc<Tally>) -> Arc<Self> {
        Arc::new(Self { dropped: Mutex::new(Some(Vec::new())), waker, tally })
    }

    fn drop_one(&self, descriptor: Descriptor) {
        let is_first = match &mut *self.dropped.lock() {
            Some(dropped) => {
                dropped.push(descriptor);
                dropped.len() == 1
            }
            None => {
                self.released(1);
                false
            }
        };
        if is_first {
            self.waker.wake_by_ref();
        }
    }

    /// Moves what was dropped into `into`: from now on the next one wakes again.
    pub(super) fn take_dropped(&self, into: &mut Vec<Descriptor>) {
        if let Some(dropped) = &mut *self.dropped.lock() {
            into.append(dropped);
        }
    }

    /// So many are not held any more.
    pub(super) fn released(&self, count: usize) {
        self.tally.held.fetch_sub(count as u64, Ordering::Relaxed);
    }

    /// Nothing is released any more.
    pub(super) fn end(&self) {
        let dropped = self.dropped.lock().take();
        self.released(dropped.map_or(0, |dropped| dropped.len()));
    }
}

impl fmt::Debug for PeerBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerBlock({} bytes)", self.len())
    }
}

/// The memory of an element that is a block.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum BlockRef<'a> {
    /// A block of a pool of this process.
    Own(&'a Block),
    /// A block that came from another process.
    Peers(&'a PeerBlock),
}

impl BlockRef<'_> {
    /// How many bytes it has. Never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        match self {
            Self::Own(block) => block.len(),
            Self::Peers(block) => block.len(),
        }
    }

    /// Copies as many bytes as both have, from `skip` on, and says how many.
    pub fn copy_to(&self, skip: usize, to: &mut [u8]) -> usize {
        match self {
            Self::Peers(block) => block.copy_to(skip, to),
            Self::Own(block) => {
                let from = block.get(skip..).unwrap_or_default();
                let count = from.len().min(to.len());
                if let (Some(from), Some(to)) = (from.get(..count), to.get_mut(..count)) {
                    to.copy_from_slice(from);
                }
                count
            }
        }
    }
}
