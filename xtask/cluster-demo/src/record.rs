// SPDX-License-Identifier: BSD-3-Clause
//! What became of each call and of each value.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::gateways::GATEWAYS;

/// A call to a gateway.
pub(crate) struct Call {
    pub(crate) gateway: usize,
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    pub(crate) outcome: Called,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Answered,
    /// A gateway's own error: 502, 503 or 504.
    Failed(u16),
    /// No connection, or it broke: the gateway is away.
    Away(String),
    /// Anything else: another body, another status, no answer in time.
    Wrong(String),
}

/// A value that was sent on the channel.
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    pub(crate) outcome: Sending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    Acknowledged,
    /// Transmitted, without an answer: it may have been accepted.
    Unknown,
    /// Not accepted.
    Refused,
}

#[derive(Default)]
pub(crate) struct Records {
    pub(crate) calls: Vec<Call>,
    pub(crate) sent: Vec<Sent>,
    /// When each value was first received, and how often.
    pub(crate) received: HashMap<u64, (Instant, u32)>,
    /// What was received or returned, and should not have been.
    pub(crate) wrong: Vec<String>,
}

/// The records of a load, and its latest successes.
#[derive(Default)]
pub(crate) struct Record {
    records: Mutex<Records>,
    /// When the latest call began that was answered.
    answered: [Mutex<Option<Instant>>; GATEWAYS],
    /// When the latest send began that was acknowledged.
    acknowledged: Mutex<Option<Instant>>,
}

impl Record {
    pub(crate) fn call(&self, call: Call) {
        if call.outcome == Called::Answered
            && let Some(latest) = self.answered.get(call.gateway)
        {
            advance(latest, call.begin);
        }
        self.records.lock().calls.push(call);
    }

    pub(crate) fn sent(&self, sent: Sent) {
        if sent.outcome == Sending::Acknowledged {
            advance(&self.acknowledged, sent.begin);
        }
        self.records.lock().sent.push(sent);
    }

    pub(crate) fn received(&self, number: u64) {
        let received = &mut self.records.lock().received;
        received.entry(number).or_insert_with(|| (Instant::now(), 0)).1 += 1;
    }

    pub(crate) fn wrong(&self, what: String) {
        self.records.lock().wrong.push(what);
    }

    /// Whether each gateway has answered a call that began after `begin`.
    pub(crate) fn are_all_answered_since(&self, begin: Instant) -> bool {
        self.answered.iter().all(|latest| *latest.lock() > Some(begin))
    }

    /// Whether a value was acknowledged whose send began after `begin`.
    pub(crate) fn is_acknowledged_since(&self, begin: Instant) -> bool {
        *self.acknowledged.lock() > Some(begin)
    }

    /// All there is.
    pub(crate) fn take(&self) -> Records {
        std::mem::take(&mut self.records.lock())
    }
}

fn advance(latest: &Mutex<Option<Instant>>, begin: Instant) {
    let mut latest = latest.lock();
    *latest = (*latest).max(Some(begin));
}
