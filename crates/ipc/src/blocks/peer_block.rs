// SPDX-License-Identifier: BSD-3-Clause
//! A block of the peer.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use becket_zcopy::{Block, View};
use bytes::Bytes;
use parking_lot::Mutex;

use super::Descriptor;
use super::borrowing::Memory;
use super::counts::BlockCounters;

/// A block that the peer has lent: its memory, mapped here read-only. Clones share it. When the
/// last is dropped, the owner is notified and may write the block again; dropping never waits, on
/// any thread.
///
/// The owner should not write it until then, and [`becket_zcopy`]'s pools do not. But nothing can
/// prevent another process from writing it: so there is no slice of these bytes, unless the memory
/// is sealed against every write. They are copied, each byte read once, and checks have to be made
/// on the copy. A block that is held is not reused after its connection was closed either, except by
/// an owner of an earlier version; reading is always safe.
#[derive(Clone)]
pub struct PeerBlock(Arc<HeldBlock>);

struct HeldBlock {
    view: View,
    descriptor: Descriptor,
    release_queue: Arc<ReleaseQueue>,
    /// It was returned itself: no release.
    returned: AtomicBool,
    copy: OnceLock<Bytes>,
    /// After the view: the budget is freed when nothing is mapped any more.
    _memory: Arc<Memory>,
}

/// Where a connection's dropped blocks are queued.
pub(super) struct ReleaseQueue {
    /// `None`: the connection has ended.
    dropped: Mutex<Option<Vec<Descriptor>>>,
    waker: Mutex<Waker>,
    counters: Arc<BlockCounters>,
}

impl PeerBlock {
    pub(super) fn new(
        view: View,
        descriptor: Descriptor,
        memory: Arc<Memory>,
        release_queue: Arc<ReleaseQueue>,
    ) -> Self {
        release_queue.counters.held.fetch_add(1, Ordering::Relaxed);
        let (returned, copy) = (AtomicBool::new(false), OnceLock::new());
        Self(Arc::new(HeldBlock {
            view,
            descriptor,
            release_queue,
            returned,
            copy,
            _memory: memory,
        }))
    }

    /// The length in bytes. Never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.0.view.len()
    }

    /// Copies bytes from `skip` on, as many as both sides have, and returns their number.
    pub fn copy_to(&self, skip: usize, to: &mut [u8]) -> usize {
        self.0.view.copy_to(skip, to)
    }

    /// A copy of all bytes. The peer determines the length, within its region.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.view.to_vec().into()
    }

    /// The bytes in place: piece by piece through a buffer, or by an unsafe call that promises that
    /// they do not change. Only this handle keeps the block.
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

    /// The descriptor to return instead of a release, if there is no other clone.
    pub(crate) fn to_return(&self) -> Option<Bytes> {
        (Arc::strong_count(&self.0) == 1)
            .then(|| Bytes::copy_from_slice(&self.0.descriptor.encode()))
    }

    /// The session accepted the returned descriptor.
    pub(crate) fn returned(self) {
        self.0.returned.store(true, Ordering::Relaxed);
    }
}

impl Drop for HeldBlock {
    fn drop(&mut self) {
        if *self.returned.get_mut() {
            self.release_queue.released(1);
        } else {
            self.release_queue.drop_one(self.descriptor);
        }
    }
}

impl ReleaseQueue {
    pub(super) fn new(waker: Waker, counters: Arc<BlockCounters>) -> Arc<Self> {
        Arc::new(Self { dropped: Mutex::new(Some(Vec::new())), waker: Mutex::new(waker), counters })
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
            let waker = self.waker.lock().clone();
            waker.wake();
        }
    }

    /// Wakes another owner from now on, which first looks at what was dropped before.
    pub(super) fn wake_by(&self, waker: Waker) {
        *self.waker.lock() = waker;
    }

    /// Moves dropped blocks into `into`. The next one that is dropped wakes again.
    pub(super) fn take_dropped(&self, into: &mut Vec<Descriptor>) {
        if let Some(dropped) = &mut *self.dropped.lock() {
            into.append(dropped);
        }
    }

    /// Subtracts blocks that are no longer held.
    pub(super) fn released(&self, count: usize) {
        self.counters.held.fetch_sub(count as u64, Ordering::Relaxed);
    }

    /// Ends releasing.
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
    /// A block that another process has lent.
    Peers(&'a PeerBlock),
}

impl BlockRef<'_> {
    /// The length in bytes. Never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        match self {
            Self::Own(block) => block.len(),
            Self::Peers(block) => block.len(),
        }
    }

    /// Copies bytes from `skip` on, as many as both sides have, and returns their number.
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
