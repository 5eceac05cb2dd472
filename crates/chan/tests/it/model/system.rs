// SPDX-License-Identifier: BSD-3-Clause
//! A channel, its reference beside it, and the comparison of both.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use becket_chan::{
    Failures, Kind, Overflow, Receiver, RecvError, SendError, SendManyError, Sender, Snapshot,
    Token, TryRecvError, TrySendError, select,
};
use parking_lot::Mutex;

use crate::common::{Counted, Tally, Wakes, builder};
use crate::model::Step;
use crate::model::reference::{Out, Reference, Side, What, Why};

pub(crate) struct System {
    reference: Reference,
    kind: Kind,
    timing: bool,
    weighed: bool,
    senders: Vec<Sender<Counted>>,
    receivers: Vec<Receiver<Counted>>,
    pending: Vec<Pending>,
    tokens: [Token; 2],
    tally: Tally,
    lost: Arc<Mutex<Vec<u64>>>,
    /// Values received without waiting, which may be put back.
    hands: Vec<Counted>,
    next_value: u64,
    next_row: usize,
    /// The last snapshot, for use when no handle is left.
    seen: Option<Snapshot>,
}

struct Pending {
    row: usize,
    future: Pin<Box<dyn Future<Output = Out>>>,
    wakes: [Arc<Wakes>; 2],
}

fn weight(id: u64) -> u64 {
    id % 7 + 1
}

impl System {
    pub(crate) fn new(
        kind: Kind,
        capacity: usize,
        overflow: Overflow,
        timing: bool,
        weighed: bool,
    ) -> Self {
        let lost = Arc::new(Mutex::new(Vec::new()));
        let log = lost.clone();
        let mut making = builder((kind, capacity))
            .overflow(overflow)
            .timing(timing)
            .on_undelivered(move |value: Counted| log.lock().push(value.id));
        if weighed {
            making = making.weigh(|value| weight(value.id));
        }
        let (tx, rx) = making.build();
        let root = Token::new();
        let child = root.child();
        Self {
            reference: Reference::new(kind, capacity, overflow),
            kind,
            timing,
            weighed,
            senders: vec![tx],
            receivers: vec![rx],
            pending: Vec::new(),
            tokens: [root, child],
            tally: Tally::default(),
            lost,
            hands: Vec::new(),
            next_value: 0,
            next_row: 0,
            seen: None,
        }
    }

    fn value(&mut self) -> (u64, Counted) {
        let id = self.next_value;
        self.next_value += 1;
        (id, self.tally.item(id))
    }

    fn values(&mut self, n: usize) -> (VecDeque<u64>, VecDeque<Counted>) {
        (0..n).map(|_| self.value()).unzip()
    }

    pub(crate) fn step(&mut self, step: &Step) {
        let past = Instant::now();
        let (tx, rx) = (self.senders.last().cloned(), self.receivers.last().cloned());
        // The clones above are handles, too, for the duration of a step; they are not the last
        // ones, so they have no effect.
        match (step, tx, rx) {
            (Step::TrySend, Some(tx), _) => {
                let (id, value) = self.value();
                let got = tx.try_send(value).map_err(|error| match error {
                    TrySendError::Full(value) => (Why::WouldBlock, value.id),
                    TrySendError::Closed(value) => (Why::Closed, value.id),
                    other => panic!("{other:?}"),
                });
                assert_eq!(got, self.reference.try_send(id).map_err(|why| (why, id)));
            }
            (Step::TryRecv, _, Some(rx)) => {
                let got = rx.try_recv().map(|value| self.hold([value])[0]).map_err(why_try_recv);
                assert_eq!(got, self.reference.try_recv());
            }
            (Step::TrySendMany(n), Some(tx), _) => {
                let (mut ids, mut values) = self.values(*n);
                let got = tx.try_send_many(&mut values).map_err(why_send_many);
                assert_eq!(got, self.reference.try_send_many(&mut ids));
                assert_eq!(values.iter().map(|value| value.id).collect::<VecDeque<_>>(), ids);
            }
            (Step::TryRecvMany(max), _, Some(rx)) => {
                let mut values = Vec::new();
                let got = rx.try_recv_many(&mut values, *max).map_err(why_try_recv);
                let ids = self.hold(values);
                assert_eq!(got.map(|n| (n == ids.len()).then_some(ids)), {
                    self.reference.try_recv_many(*max).map(Some)
                });
            }
            (Step::Send(token, late), Some(tx), _) => {
                let (id, value) = self.value();
                let limit = self.tokens.get(token.wrapping_sub(1)).cloned();
                let late = *late;
                let sending = async move {
                    let sent = match (limit, late) {
                        (None, false) => tx.send(value).await,
                        (None, true) => tx.send(value).deadline(past).await,
                        (Some(token), false) => tx.send(value).cancel_on(&token).await,
                        (Some(token), true) => {
                            tx.send(value).cancel_on(&token).deadline(past).await
                        }
                    };
                    Out::Sent(sent.map_err(why_send))
                };
                self.begin(What::Send(id), *token, late, sending);
            }
            (Step::Recv(token, late), _, Some(rx)) => {
                let limit = self.tokens.get(token.wrapping_sub(1)).cloned();
                let late = *late;
                let receiving = async move {
                    let received = match (limit, late) {
                        (None, false) => rx.recv().await,
                        (None, true) => rx.recv().deadline(past).await,
                        (Some(token), false) => rx.recv().cancel_on(&token).await,
                        (Some(token), true) => rx.recv().cancel_on(&token).deadline(past).await,
                    };
                    Out::Received(received.map(|value| value.id).map_err(why_recv))
                };
                self.begin(What::Recv, *token, late, receiving);
            }
            (Step::SendMany(n), Some(tx), _) => {
                let (ids, mut values) = self.values(*n);
                let sending = async move {
                    let sent = tx.send_many(&mut values).await.map_err(why_send_many);
                    Out::SentMany(sent, values.iter().map(|value| value.id).collect())
                };
                self.begin(What::SendMany(None, ids), 0, false, sending);
            }
            (Step::RecvMany(max), _, Some(rx)) => {
                let max = *max;
                let receiving = async move {
                    let mut values = Vec::new();
                    let received = rx.recv_many(&mut values, max).await.map_err(why_recv);
                    Out::ReceivedMany(received, values.iter().map(|value| value.id).collect())
                };
                self.begin(What::RecvMany(max), 0, false, receiving);
            }
            (Step::Select, Some(tx), Some(rx)) => {
                let (id, value) = self.value();
                let selecting = async move {
                    select! {
                        biased;
                        received = rx.recv() => {
                            Out::Received(received.map(|value| value.id).map_err(why_recv))
                        }
                        sent = tx.send(value) => Out::Sent(sent.map_err(why_send)),
                    }
                };
                self.begin(What::Select(id), 0, false, selecting);
            }
            (Step::PutBack(max), _, Some(rx)) => {
                let values = self.hands.split_off(self.hands.len().saturating_sub(*max));
                let ids: Vec<_> = values.iter().map(|value| value.id).collect();
                match <[_; 1]>::try_from(values) {
                    Ok([value]) => rx.put_back(value),
                    Err(values) => rx.put_back_many(values),
                }
                self.reference.put_back(&ids);
            }
            (Step::SplitOff(keep), _, Some(rx)) => {
                let ids = self.hold(rx.split_off(*keep));
                assert_eq!(ids, self.reference.split_off(*keep));
            }
            (Step::SetOverflow(overflow), Some(tx), _) => {
                tx.set_overflow(*overflow);
                self.reference.set_overflow(*overflow);
                assert_eq!(tx.overflow(), self.reference.overflow());
            }
            (Step::Poll(which, waker), tx, rx) if !self.pending.is_empty() => {
                drop((tx, rx));
                let at = which % self.pending.len();
                self.poll(at, *waker);
            }
            (Step::GiveUp(which), tx, rx) if !self.pending.is_empty() => {
                drop((tx, rx));
                let gone = self.pending.remove(which % self.pending.len());
                self.check_wakes(&gone);
                self.reference.give_up(gone.row);
                drop(gone);
            }
            (Step::Cancel(token), ..) => {
                self.tokens[token - 1].cancel();
                self.reference.cancel(*token);
            }
            (Step::Close(Side::Sending), Some(tx), _) => {
                assert_eq!(tx.close(), self.reference.close());
            }
            (Step::Close(Side::Receiving), _, Some(rx)) => {
                assert_eq!(rx.close(), self.reference.close());
            }
            (Step::Clone(Side::Sending), Some(tx), _) => {
                self.reference.add_handle(Side::Sending);
                self.senders.push(tx);
            }
            (Step::Clone(Side::Receiving), _, Some(rx)) => {
                self.reference.add_handle(Side::Receiving);
                self.receivers.push(rx);
            }
            (Step::Drop(Side::Sending), Some(tx), rx) => {
                drop((tx, rx));
                self.senders.pop();
                self.reference.drop_handle(Side::Sending);
            }
            (Step::Drop(Side::Receiving), tx, Some(rx)) => {
                drop((tx, rx));
                self.receivers.pop();
                self.reference.drop_handle(Side::Receiving);
            }
            // It has no operations.
            _ => {}
        }
    }

    fn hold(&mut self, values: impl IntoIterator<Item = Counted>) -> Vec<u64> {
        let begin = self.hands.len();
        self.hands.extend(values);
        self.hands[begin..].iter().map(|value| value.id).collect()
    }

    fn begin(
        &mut self,
        what: What,
        token: usize,
        late: bool,
        future: impl Future<Output = Out> + 'static,
    ) {
        let row = self.next_row;
        self.next_row += 1;
        let wakes = [Wakes::new(), Wakes::new()];
        let mut pending = Pending { row, future: Box::pin(future), wakes };
        let got = poll(&mut pending, 0);
        let expected = self.reference.start(row, what, token, late);
        assert_eq!(got, expected);
        if got.is_none() {
            self.pending.push(pending);
        }
    }

    fn poll(&mut self, at: usize, waker: usize) {
        self.check_wakes(&self.pending[at]);
        let got = poll(&mut self.pending[at], waker);
        assert_eq!(got, self.reference.poll(self.pending[at].row, waker));
        if got.is_some() {
            self.pending.remove(at);
        }
    }

    fn check_wakes(&self, pending: &Pending) {
        let woken = [pending.wakes[0].count(), pending.wakes[1].count()];
        assert_eq!(woken, self.reference.wakes(pending.row), "wakes of each waker");
    }

    /// Compares both after each step.
    pub(crate) fn check(&mut self) {
        let mut expected = std::mem::take(&mut self.reference.lost);
        let mut lost = std::mem::take(&mut *self.lost.lock());
        // The order of the values that one step discards is unspecified.
        expected.sort_unstable();
        lost.sort_unstable();
        assert_eq!(lost, expected, "values for the undelivered hook");
        self.pending.iter().for_each(|pending| self.check_wakes(pending));
        let (tx, rx) = (self.senders.last(), self.receivers.last());
        let Some(seen) = tx.map(Sender::snapshot).or_else(|| rx.map(Receiver::snapshot)) else {
            return;
        };
        let (len, closed) = (self.reference.len(), self.reference.is_closed());
        assert_eq!((seen.len, seen.closed), (len, closed), "length and closed");
        if let Some(tx) = tx {
            let full = tx.capacity().is_some_and(|capacity| len >= capacity);
            assert_eq!((tx.len(), tx.is_empty(), tx.is_full()), (len, len == 0, full));
            assert_eq!(tx.is_closed(), closed);
        }
        for (side, waiting) in
            [(Side::Sending, seen.senders_waiting), (Side::Receiving, seen.receivers_waiting)]
        {
            let (least, most) = self.reference.waiting(side);
            assert!(least <= waiting && waiting <= most, "{side:?}: {waiting} wait");
        }
        let expected = &self.reference.counts;
        assert_eq!(
            (seen.sends, seen.receives, seen.matches, seen.conflated, seen.dropped),
            (
                expected.sends,
                expected.receives,
                expected.matches,
                expected.conflated,
                expected.dropped
            ),
            "sends, receives, matches, conflated, dropped"
        );
        assert_eq!(seen.undelivered, expected.undelivered, "undelivered");
        assert_eq!(seen.sends, seen.receives + len as u64 + seen.undelivered, "the balance");
        assert_eq!(causes(seen.send_failures), expected.failures[0], "failed sends");
        assert_eq!(causes(seen.receive_failures), expected.failures[1], "failed receives");
        if self.timing {
            assert_eq!(seen.high_water, expected.high_water, "the high-water mark");
            assert_eq!(seen.first_operation.is_some(), seen.last_operation.is_some());
        } else {
            assert!(seen.high_water <= expected.high_water && seen.high_water >= len);
            assert_eq!(seen.first_operation, None);
        }
        self.seen = Some(seen);
    }

    /// All handles are dropped, in an order of their own; no value is left.
    pub(crate) fn finish(mut self) {
        for gone in std::mem::take(&mut self.pending) {
            self.check_wakes(&gone);
            self.reference.give_up(gone.row);
            drop(gone);
            self.check();
        }
        if self.weighed
            && let Some(seen) = &self.seen
            && (!self.senders.is_empty() || !self.receivers.is_empty())
        {
            let total = |ids: &[u64]| ids.iter().map(|id| weight(*id)).sum::<u64>();
            assert_eq!(seen.bytes_sent, total(&self.reference.accepted), "bytes in");
            assert_eq!(seen.bytes_received, total(&self.reference.received), "bytes out");
        }
        while self.senders.pop().is_some() {
            self.reference.drop_handle(Side::Sending);
            self.check();
        }
        while self.receivers.pop().is_some() {
            self.reference.drop_handle(Side::Receiving);
            self.check();
        }
        self.hands.clear();
        assert_eq!(self.tally.alive(), 0, "{:?}: values alive at the end", self.kind);
        assert_eq!(self.tally.made(), self.next_value);
    }
}

fn poll(pending: &mut Pending, waker: usize) -> Option<Out> {
    let waker = Waker::from(pending.wakes[waker].clone());
    match pending.future.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(out) => Some(out),
        Poll::Pending => None,
    }
}

fn causes(failures: Failures) -> [u64; 4] {
    [failures.would_block, failures.timed_out, failures.closed, failures.cancelled]
}

fn why_send(error: SendError<Counted>) -> (Why, u64) {
    match error {
        SendError::Closed(value) => (Why::Closed, value.id),
        SendError::TimedOut(value) => (Why::TimedOut, value.id),
        SendError::Cancelled(value) => (Why::Cancelled, value.id),
        other => panic!("{other:?}"),
    }
}

fn why_recv(error: RecvError) -> Why {
    match error {
        RecvError::Closed => Why::Closed,
        RecvError::TimedOut => Why::TimedOut,
        RecvError::Cancelled => Why::Cancelled,
        other => panic!("{other:?}"),
    }
}

fn why_try_recv(error: TryRecvError) -> Why {
    match error {
        TryRecvError::Empty => Why::WouldBlock,
        TryRecvError::Closed => Why::Closed,
        other => panic!("{other:?}"),
    }
}

fn why_send_many(error: SendManyError) -> Why {
    match error {
        SendManyError::Full => Why::WouldBlock,
        SendManyError::Closed => Why::Closed,
        SendManyError::TimedOut => Why::TimedOut,
        SendManyError::Cancelled => Why::Cancelled,
        other => panic!("{other:?}"),
    }
}
