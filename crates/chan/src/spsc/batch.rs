// SPDX-License-Identifier: BSD-3-Clause
//! Many values under one publication.
//!
//! A batch moves a run of values, as many as its side may without another look, and publishes them
//! with one store.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;

use super::channel::{Channel, Side, Stand};
use super::handle::{SpscReceiver, SpscSender};
use super::op::{SpscOperation, sealed};
use crate::channel::Cause;
use crate::error::{RecvError, SendManyError};
use crate::limit::Free;

/// Sends a queue of values. See [`SpscSender::send_many`].
pub type SpscSendMany<'a, T, L = Free> = SpscOperation<SendAll<'a, T>, L>;
/// Receives up to a number of values. See [`SpscReceiver::recv_many`].
pub type SpscRecvMany<'a, T, L = Free> = SpscOperation<RecvAny<'a, T>, L>;

/// Sends what is in a queue.
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

    fn parts(&mut self) -> (&Channel<T>, &mut Stand) {
        (&self.sender.channel, &mut self.sender.stand)
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn attempt(&mut self, linger: bool) -> Option<Self::Output> {
        send(&self.sender.channel, &mut self.sender.stand, self.values, linger);
        if self.values.is_empty() {
            return Some(Ok(()));
        }
        self.sender.channel.is_closed().then(|| self.fail(Cause::Closed))
    }

    fn fail(&mut self, cause: Cause) -> Self::Output {
        self.sender.channel.count_send_failure(cause);
        Err(match cause {
            Cause::WouldBlock => SendManyError::Full,
            Cause::TimedOut => SendManyError::TimedOut,
            Cause::Closed => SendManyError::Closed,
            Cause::Cancelled => SendManyError::Cancelled,
        })
    }

    fn lose(&mut self) {}
}

#[allow(private_interfaces, reason = "sealed")]
impl<T> sealed::Job for RecvAny<'_, T> {
    type Value = T;
    type Output = Result<usize, RecvError>;
    const SIDE: Side = Side::Receiver;

    fn parts(&mut self) -> (&Channel<T>, &mut Stand) {
        (&self.receiver.channel, &mut self.receiver.stand)
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn attempt(&mut self, _: bool) -> Option<Self::Output> {
        let (channel, stand) = (&self.receiver.channel, &mut self.receiver.stand);
        match recv(channel, stand, self.values, self.max) {
            0 if self.max > 0 => self.receiver.is_drained().then(|| self.fail(Cause::Closed)),
            received => Some(Ok(received)),
        }
    }

    fn fail(&mut self, cause: Cause) -> Self::Output {
        self.receiver.channel.count_receive_failure(cause);
        Err(match cause {
            Cause::TimedOut | Cause::WouldBlock => RecvError::TimedOut,
            Cause::Closed => RecvError::Closed,
            Cause::Cancelled => RecvError::Cancelled,
        })
    }

    fn lose(&mut self) {}
}

/// Sends from the front of `values` what needs no waiting, and says how many that were.
pub(super) fn send<T>(
    channel: &Channel<T>,
    stand: &mut Stand,
    values: &mut VecDeque<T>,
    linger: bool,
) -> usize {
    let mut sent = 0;
    while !values.is_empty() && channel.has_room(stand, linger) {
        // Weighing is code of the user's: one by one.
        let max = if channel.is_weighed() { 1 } else { values.len() };
        let Some(run) = send_run(channel, stand, values, max) else {
            break;
        };
        sent += run;
    }
    sent
}

/// Sends a run of up to `max` values, for which there is room and which are there. `None`: the
/// channel was closed first.
fn send_run<T>(
    channel: &Channel<T>,
    stand: &mut Stand,
    values: &mut VecDeque<T>,
    max: usize,
) -> Option<usize> {
    let run = stand.cursor.run().min(max as u64);
    let weight = values.front().and_then(|value| channel.weight(value));
    for _ in 0..run {
        let Some(value) = values.pop_front() else { break };
        let value = ManuallyDrop::new(value);
        // SAFETY: the cursor is below its limit, and the value is not used again.
        unsafe { channel.ring.write(&mut stand.cursor, &raw const *value) };
    }
    if !channel.publish_sent(stand, run) {
        // SAFETY: the run was published last, and after the channel was closed.
        unsafe { channel.take_back(stand, run, values) };
        return None;
    }
    channel.count_sent(weight);
    Some(run as usize)
}

/// Appends up to `max` values that need no waiting, and says how many that were.
pub(super) fn recv<T>(
    channel: &Channel<T>,
    stand: &mut Stand,
    values: &mut Vec<T>,
    max: usize,
) -> usize {
    let begin = values.len();
    let mut left = max;
    while left > 0 && channel.has_value(stand) {
        let run = usize::try_from(stand.cursor.run()).unwrap_or(usize::MAX).min(left);
        values.reserve(run);
        for _ in 0..run {
            let len = values.len();
            // SAFETY: there is a value, the vector has room for it, and it is put there.
            unsafe {
                values.as_mut_ptr().add(len).write(channel.ring.read(&mut stand.cursor));
                values.set_len(len + 1);
            }
        }
        channel.publish_received(stand);
        left -= run;
    }
    values.iter().skip(begin).for_each(|value| channel.count_received(value));
    values.len() - begin
}
