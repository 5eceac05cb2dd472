// SPDX-License-Identifier: BSD-3-Clause
//! Operations of one client that wait, each in a slot with a waker of its own.
//!
//! A slot's waker says the slot's number to the client; it stays when the slot is used again, so a
//! wake that comes late polls another operation once for nothing.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use becket_wire::v1::{Command, ReqId};

use super::operation::{Done, Operation};
use crate::channels::Channel;
use crate::connection::waking::{StreamWaker, Wakeable};

/// What waits.
#[derive(Debug)]
pub(super) enum Whose {
    /// A request, which is answered when it is done.
    Request(Asked),
    /// The select of this number.
    Select(u32),
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) command: Command,
    pub(super) req_id: Option<ReqId>,
    pub(super) channel: Arc<Channel>,
    pub(super) since: Instant,
}

pub(super) struct Waits {
    slots: Vec<Slot>,
    free: Vec<u32>,
    waiting: usize,
    waits_max: usize,
    /// Counts operations, to tell the older from the newer.
    begun: u64,
    client: Weak<dyn Wakeable>,
}

struct Slot {
    waker: Waker,
    wait: Option<Wait>,
}

struct Wait {
    whose: Whose,
    operation: Operation,
    begun: u64,
}

impl Waits {
    pub(super) fn new(waits_max: usize, client: Weak<dyn Wakeable>) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), waiting: 0, waits_max, begun: 0, client }
    }

    /// Whether there may be no more.
    pub(super) fn is_full(&self) -> bool {
        self.waiting >= self.waits_max
    }

    /// Polls an operation for the first time. What does not wait has no slot afterwards; what does
    /// is in the one whose number is given.
    pub(super) fn begin(
        &mut self,
        whose: Whose,
        mut operation: Operation,
    ) -> Result<u32, (Whose, Done)> {
        let number = self.free.pop().unwrap_or_else(|| self.add());
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return Ok(number);
        };
        if let Poll::Ready(done) = operation.as_mut().poll(&mut Context::from_waker(&slot.waker)) {
            self.free.push(number);
            return Err((whose, done));
        }
        self.begun += 1;
        slot.wait = Some(Wait { whose, operation, begun: self.begun });
        self.waiting += 1;
        Ok(number)
    }

    /// Polls what is in a slot, if anything is; when it is done the slot is free.
    pub(super) fn poll(&mut self, number: u32) -> Option<(Whose, Done)> {
        let slot = self.slots.get_mut(number as usize)?;
        let wait = slot.wait.as_mut()?;
        let mut context = Context::from_waker(&slot.waker);
        let Poll::Ready(done) = wait.operation.as_mut().poll(&mut context) else {
            return None;
        };
        let wait = slot.wait.take()?;
        self.free.push(number);
        self.waiting -= 1;
        Some((wait.whose, done))
    }

    /// Drops everything, the newest first, so that values that were handed to receives stand in
    /// their old order when they are back.
    pub(super) fn clear(&mut self) {
        let mut waits: Vec<_> = self.slots.drain(..).filter_map(|slot| slot.wait).collect();
        waits.sort_by_key(|wait| std::cmp::Reverse(wait.begun));
        self.free.clear();
        self.waiting = 0;
        for wait in waits {
            drop(wait);
        }
    }

    fn add(&mut self) -> u32 {
        let number = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let waker = StreamWaker::make(self.client.clone(), number);
        self.slots.push(Slot { waker, wait: None });
        number
    }
}
