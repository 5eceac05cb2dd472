// SPDX-License-Identifier: BSD-3-Clause
//! Replaces `crates/ipc/src/shm/segment.rs` and `memory.rs`: the words of a segment that the
//! doorbell uses, accessed with the same orderings.

use std::sync::Arc;

use super::validate::{BELL, Violation, WAIT};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct OwnSegment {
    pub(super) memory: Own,
}

#[derive(Debug)]
pub(crate) struct PeerSegment {
    pub(super) memory: Foreign,
}

#[derive(Debug, Default)]
struct Words {
    wait: AtomicU64,
    bell: AtomicU32,
}

#[derive(Debug)]
pub(super) struct Own(Arc<Words>);

#[derive(Debug)]
pub(super) struct Foreign(Arc<Words>);

/// A segment, as seen by its creator and by the peer.
pub(super) fn segment() -> (Arc<OwnSegment>, Arc<PeerSegment>) {
    let words = Arc::new(Words::default());
    let own = OwnSegment { memory: Own(words.clone()) };
    (Arc::new(own), Arc::new(PeerSegment { memory: Foreign(words) }))
}

impl Own {
    pub(super) fn publish(&self, offset: usize, value: u64) -> Result<(), Violation> {
        self.0.word(offset)?.store(value, Ordering::Release);
        Ok(())
    }

    pub(super) fn futex(&self, offset: usize) -> Result<&AtomicU32, Violation> {
        self.0.half(offset)
    }
}

impl Foreign {
    pub(super) fn load(&self, offset: usize) -> Result<u64, Violation> {
        Ok(self.0.word(offset)?.load(Ordering::Relaxed))
    }

    pub(super) fn futex(&self, offset: usize) -> Result<&AtomicU32, Violation> {
        self.0.half(offset)
    }
}

impl Words {
    fn word(&self, offset: usize) -> Result<&AtomicU64, Violation> {
        if offset == WAIT { Ok(&self.wait) } else { Err(Violation) }
    }

    fn half(&self, offset: usize) -> Result<&AtomicU32, Violation> {
        if offset == BELL { Ok(&self.bell) } else { Err(Violation) }
    }
}
