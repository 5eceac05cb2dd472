// SPDX-License-Identifier: BSD-3-Clause
//! Waiting operations of one client, each in a slot with a waker of its own.
//!
//! A slot's waker adds the slot's number to the client's list; it stays when the slot is reused, so
//! a late wake polls another operation once, spuriously.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use becket_wire::v1::{Command, ReqId};

use super::operation::{Done, Operation};
use crate::channels::Channel;
use crate::connection::waking::{StreamWaker, Wakeable};

/// The owner of a waiting operation.
#[derive(Debug)]
pub(super) enum WaitOwner {
    /// A request, which is answered when the operation completes.
    Request(PendingRequest),
    /// The select of this number.
    Select(u32),
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) command: Command,
    pub(super) req_id: Option<ReqId>,
    pub(super) channel: Arc<Channel>,
    pub(super) since: Instant,
}

pub(super) struct Waits {
    slots: Vec<WaitSlot>,
    free: Vec<u32>,
    waiting: usize,
    waits_max: usize,
    /// Counts operations, to order them by age.
    begun: u64,
    client: Weak<dyn Wakeable>,
}

struct WaitSlot {
    waker: Waker,
    wait: Option<Wait>,
}

struct Wait {
    whose: WaitOwner,
    operation: Operation,
    begun: u64,
}

impl Waits {
    pub(super) fn new(waits_max: usize, client: Weak<dyn Wakeable>) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), waiting: 0, waits_max, begun: 0, client }
    }

    /// Whether the maximum is reached.
    pub(super) fn is_full(&self) -> bool {
        self.waiting >= self.waits_max
    }

    /// The number of waiting operations.
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    /// Polls an operation for the first time. If it completes it needs no slot; otherwise the
    /// slot's number is returned.
    #[expect(clippy::result_large_err, reason = "not an error: the element that it completed with")]
    pub(super) fn begin(
        &mut self,
        whose: WaitOwner,
        mut operation: Operation,
    ) -> Result<u32, (WaitOwner, Done)> {
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

    /// Polls the operation in a slot, if there is one; when it completes the slot is free.
    pub(super) fn poll(&mut self, number: u32) -> Option<(WaitOwner, Done)> {
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

    /// Drops everything, the newest first, so that values that were passed to receives are requeued
    /// in their original order.
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
        self.slots.push(WaitSlot { waker, wait: None });
        number
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use becket_wire::v1::Errno;

    use super::*;
    use crate::connection::waking::{Dispatch, Woken};

    struct NoClient;

    impl Dispatch for NoClient {
        fn run(self: Arc<Self>) {}
    }

    impl Wakeable for NoClient {
        fn woken(&self) -> &Woken {
            panic!("no client is woken")
        }
    }

    /// Waits for its token only.
    fn waiting(token: &becket_chan::Token) -> Operation {
        let (tx, rx) = becket_chan::rendezvous::<()>();
        let token = token.clone();
        Box::pin(async move {
            let _open = tx;
            let received = rx.recv().cancel_on(&token).await;
            assert_eq!(received, Err(becket_chan::RecvError::Cancelled));
            Done::Sent(Err(Errno::CANCELED))
        })
    }

    #[test]
    fn a_slot_is_used_again_and_never_more_than_wait_at_once() {
        let client: Weak<NoClient> = Weak::new();
        let mut waits = Waits::new(2, client);
        for _ in 0..100 {
            let tokens = [becket_chan::Token::new(), becket_chan::Token::new()];
            let slots = tokens.each_ref().map(|token| {
                assert!(!waits.is_full());
                waits.begin(WaitOwner::Select(7), waiting(token)).unwrap()
            });
            assert!(waits.is_full());
            for (token, slot) in tokens.iter().zip(slots) {
                assert!(waits.poll(slot).is_none());
                token.cancel();
                let (whose, done) = waits.poll(slot).unwrap();
                assert!(matches!(whose, WaitOwner::Select(7)));
                assert!(matches!(done, Done::Sent(Err(Errno::CANCELED))));
                assert!(waits.poll(slot).is_none());
            }
            assert_eq!(waits.slots.len(), 2);
        }
    }
}
