// SPDX-License-Identifier: BSD-3-Clause
//! A request of the host's own: a thread waits for its reply.

use std::sync::Arc;
use std::time::{Duration, Instant};

use becket_host::NrStatus;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::protocol::{decode_answer, reply};

/// Ids of such requests are not below this: no call has one.
pub(crate) const CONTROL: u64 = u64::MAX << 16;

/// What a request was answered.
pub(crate) type Answer = Result<(NrStatus, Bytes), NrStatus>;

/// One that waits.
#[derive(Default)]
pub(crate) struct Waiter {
    answer: Mutex<Option<Answer>>,
    changed: Condvar,
}

impl Waiter {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets the answer by the status of its reply.
    pub(crate) fn replied(&self, status: u16, body: &[u8]) {
        self.set(match (status, decode_answer(body)) {
            (reply::DONE, Ok((status, body))) => Ok((status, Bytes::copy_from_slice(body))),
            (reply::REFUSED, Ok((status, _))) => Err(status),
            (reply::UNKNOWN_OPERATION, _) => Err(NrStatus::Unsupported),
            _ => Err(NrStatus::Err),
        });
    }

    pub(crate) fn set(&self, answer: Answer) {
        *self.answer.lock() = Some(answer);
        self.changed.notify_all();
    }

    /// Waits for the answer, for so long; 0 ms: until the worker has ended.
    pub(crate) fn wait(&self, timeout_ms: u64) -> Answer {
        let timeout = Some(Duration::from_millis(timeout_ms)).filter(|timeout| !timeout.is_zero());
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut answer = self.answer.lock();
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            match until {
                Some(until) if self.changed.wait_until(&mut answer, until).timed_out() => {
                    return answer.take().unwrap_or(Err(NrStatus::Timeout));
                }
                Some(_) => {}
                None => self.changed.wait(&mut answer),
            }
        }
    }
}
