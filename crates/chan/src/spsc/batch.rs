// SPDX-License-Identifier: BSD-3-Clause
//! Many values per publication.
//!
//! A batch moves a run of values, as many as its side may without reading the other side's
//! position, and publishes them with one store. The run is copied as a whole, or in two or three
//! parts where a queue or a block wraps around: that is also how rtrb moves the values of its
//! chunks.

use std::collections::VecDeque;
use std::mem;

use super::channel::{Channel, Cursor, Side};
use super::handle::{SpscReceiver, SpscSender};
use super::job::{SpscOperation, sealed};
use crate::channel::FailureCause;
use crate::error::{RecvError, SendManyError};
use crate::limit::NoLimits;

/// Sends a queue of values. See [`SpscSender::send_many`].
pub type SpscSendMany<'a, T, L = NoLimits> = SpscOperation<SendAll<'a, T>, L>;
/// Receives up to a number of values. See [`SpscReceiver::recv_many`].
pub type SpscRecvMany<'a, T, L = NoLimits> = SpscOperation<RecvAny<'a, T>, L>;

/// Sends the values of a queue.
pub struct SendAll<'a, T> {
    sender: &'a mut SpscSender<T>,
    values: &'a mut VecDeque<T>,
}

/// Receives at least one value, and up to a number of them.
pub struct RecvAny<'a, T> {
    receiver: &'a mut SpscReceiver<T>,
    values: &'a mut Vec<T>,
    max: usize,
}

impl<'a, T> SendAll<'a, T> {
    pub(super) fn new(sender: &'a mut SpscSender<T>, values: &'a mut VecDeque<T>) -> Self {
        Self { sender, values }
    }
}

impl<'a, T> RecvAny<'a, T> {
    pub(super) fn new(
        receiver: &'a mut SpscReceiver<T>,
        values: &'a mut Vec<T>,
        max: usize,
    ) -> Self {
        Self { receiver, values, max }
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl<T> sealed::Job for SendAll<'_, T> {
    type Value = T;
    type Output = Result<(), SendManyError>;
    const SIDE: Side = Side::Sender;

    fn parts(&mut self) -> (&Channel<T>, &mut Cursor) {
        (&self.sender.channel, &mut self.sender.cursor)
    }

    fn attempt(&mut self, backoff: bool) -> Option<Self::Output> {
        send(&self.sender.channel, &mut self.sender.cursor, self.values, backoff);
        if self.values.is_empty() {
            return Some(Ok(()));
        }
        self.sender.channel.is_closed().then(|| self.fail(FailureCause::Closed))
    }

    fn fail(&mut self, cause: FailureCause) -> Self::Output {
        self.sender.channel.count_send_failure(cause);
        Err(SendManyError::failed(cause))
    }

    fn discard(&mut self) {}
}

#[allow(private_interfaces, reason = "sealed")]
impl<T> sealed::Job for RecvAny<'_, T> {
    type Value = T;
    type Output = Result<usize, RecvError>;
    const SIDE: Side = Side::Receiver;

    fn parts(&mut self) -> (&Channel<T>, &mut Cursor) {
        (&self.receiver.channel, &mut self.receiver.cursor)
    }

    fn attempt(&mut self, _: bool) -> Option<Self::Output> {
        let (channel, cursor) = (&self.receiver.channel, &mut self.receiver.cursor);
        match recv(channel, cursor, self.values, self.max) {
            0 if self.max > 0 => {
                self.receiver.is_drained().then(|| self.fail(FailureCause::Closed))
            }
            received => Some(Ok(received)),
        }
    }

    fn fail(&mut self, cause: FailureCause) -> Self::Output {
        self.receiver.channel.count_receive_failure(cause);
        Err(RecvError::failed(cause))
    }

    fn discard(&mut self) {}
}

/// Sends from the front of `values` without waiting, and returns how many were sent.
pub(super) fn send<T>(
    channel: &Channel<T>,
    cursor: &mut Cursor,
    values: &mut VecDeque<T>,
    backoff: bool,
) -> usize {
    let mut sent = 0;
    while !values.is_empty() && channel.has_room(cursor, backoff) {
        // Weighing is user code: one value at a time.
        let max = if channel.is_weighed() { 1 } else { values.len() };
        let Some(run) = send_run(channel, cursor, values, max) else {
            break;
        };
        sent += run;
    }
    sent
}

/// Sends a run of up to `max` values, as many as there is room for. `None`: the channel was closed
/// first.
fn send_run<T>(
    channel: &Channel<T>,
    cursor: &mut Cursor,
    values: &mut VecDeque<T>,
    max: usize,
) -> Option<usize> {
    let run = cursor.ring.run().min(max as u64);
    let weight = values.front().and_then(|value| channel.weight(value));
    let (front, back) = values.as_slices();
    let first = front.len().min(run as usize);
    // SAFETY: the run is up to the cursor's limit, and of values of the queue, which are not used
    // again: they are taken out of the queue without a drop.
    unsafe {
        channel.ring.write_run(&mut cursor.ring, front.as_ptr(), first);
        channel.ring.write_run(&mut cursor.ring, back.as_ptr(), run as usize - first);
    }
    values.drain(..run as usize).for_each(mem::forget);
    if !channel.publish_sent(cursor, run) {
        // SAFETY: the run was published last, and after the channel was closed.
        unsafe { channel.take_back(cursor, run, values) };
        return None;
    }
    channel.count_sent(weight);
    Some(run as usize)
}

/// Appends up to `max` values without waiting, and returns how many.
pub(super) fn recv<T>(
    channel: &Channel<T>,
    cursor: &mut Cursor,
    values: &mut Vec<T>,
    max: usize,
) -> usize {
    let begin = values.len();
    let mut left = max;
    while left > 0 && channel.has_value(cursor) {
        let run = usize::try_from(cursor.ring.run()).unwrap_or(usize::MAX).min(left);
        values.reserve(run);
        let len = values.len();
        // SAFETY: the run is up to the cursor's limit, and the vector has room for it.
        unsafe {
            channel.ring.read_run(&mut cursor.ring, values.as_mut_ptr().add(len), run);
            values.set_len(len + run);
        }
        channel.publish_received(cursor);
        left -= run;
    }
    if channel.is_weighed() {
        values.iter().skip(begin).for_each(|value| channel.count_received(value));
    }
    values.len() - begin
}
