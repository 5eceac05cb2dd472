// SPDX-License-Identifier: BSD-3-Clause
//! Figures derived from the rows of a report: sums, quantiles, whether a channel is full.

use std::time::Instant;

use becket_chan::{Failures, Kind, Snapshot};
use becket_wire::Counters;
use becket_wire::v1::ABI_MAJOR;

use super::report::{
    Causes, ChannelReport, CoroutineRow, Failed, Histogram, PluginReport, SessionReport, WorkerEnd,
};
use super::source::at_ns;
use crate::connection::Status;
use crate::handshake::MAJOR;
use crate::streams::service::kind_name;
use crate::v1;

impl ChannelReport {
    /// The report of a channel.
    #[must_use]
    pub fn new(id: u64, name: &str, at_ns: u64, snapshot: &Snapshot) -> Self {
        Self {
            id,
            name: name.to_owned(),
            kind: kind_name(snapshot.kind).to_owned(),
            at_ns,
            capacity: snapshot.capacity.map(|capacity| capacity as u64),
            len: snapshot.len as u64,
            high_water: snapshot.high_water as u64,
            senders_waiting: snapshot.senders_waiting as u64,
            receivers_waiting: snapshot.receivers_waiting as u64,
            closed: snapshot.closed,
            sends: snapshot.sends,
            receives: snapshot.receives,
            bytes_in: snapshot.bytes_sent,
            bytes_out: snapshot.bytes_received,
            failed: Failed {
                send: snapshot.send_failures.into(),
                receive: snapshot.receive_failures.into(),
            },
            dropped: snapshot.dropped,
            conflated: snapshot.conflated,
            undelivered: snapshot.undelivered,
        }
    }

    /// Whether it is at its capacity. A rendezvous channel holds nothing, and is never full here.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| capacity > 0 && self.len >= capacity)
            && self.kind == kind_name(Kind::Bounded)
    }

    /// Waiting sends and receives.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.senders_waiting.saturating_add(self.receivers_waiting)
    }
}

impl CoroutineRow {
    /// The rank of a state by interest: running, runnable, waiting.
    #[must_use]
    pub fn state_rank(&self) -> usize {
        let order = ["running", "ready", "fresh", "sleeping", "parked"];
        order.iter().position(|state| *state == self.state).unwrap_or(order.len())
    }
}

impl Failed {
    /// The sum of all causes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.send.total().saturating_add(self.receive.total())
    }

    /// Failed waits: deadlines and closed channels. Without failed attempts that do not wait, and
    /// without cancellations.
    #[must_use]
    pub fn grave(&self) -> u64 {
        let grave = |causes: &Causes| causes.timed_out.saturating_add(causes.closed);
        grave(&self.send).saturating_add(grave(&self.receive))
    }
}

impl Causes {
    /// Each cause with its name.
    #[must_use]
    pub fn each(&self) -> [(&'static str, u64); 4] {
        [
            ("would_block", self.would_block),
            ("timed_out", self.timed_out),
            ("closed", self.closed),
            ("cancelled", self.cancelled),
        ]
    }

    /// The sum of both sides.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.each().iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

impl From<Failures> for Causes {
    fn from(failures: Failures) -> Self {
        Self {
            would_block: failures.would_block,
            timed_out: failures.timed_out,
            closed: failures.closed,
            cancelled: failures.cancelled,
        }
    }
}

impl PluginReport {
    /// Failed calls of every cause.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Workers that take calls.
    #[must_use]
    pub fn workers_running(&self) -> u64 {
        self.workers.iter().filter(|worker| worker.state == "running").count() as u64
    }

    /// Resident memory of all workers.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.workers.iter().fold(0, |sum, worker| sum.saturating_add(worker.resident_bytes))
    }

    /// The last end of any of its workers.
    #[must_use]
    pub fn last_end(&self) -> Option<&WorkerEnd> {
        self.workers
            .iter()
            .filter_map(|worker| worker.last_end.as_ref())
            .min_by_key(|end| end.age_ms)
    }
}

impl SessionReport {
    /// The report of a connection.
    #[must_use]
    pub fn new(status: &Status) -> Self {
        let Counters { received, sent, refused, .. } = &status.session;
        let refused = [
            ("no_credit", refused.no_credit),
            ("full", refused.full),
            ("too_long", refused.too_long),
            ("too_many", refused.too_many),
            ("draining", refused.draining),
            ("gone", refused.gone),
        ];
        Self {
            id: status.id,
            peer_pid: status.peer.pid,
            peer_uid: status.peer.uid,
            transport: status.transport.to_owned(),
            protocol: MAJOR,
            at_ns: at_ns(status.at),
            age_ms: age_ms(status.since, status.at),
            streams: status.streams as u64,
            frames_in: received.frames,
            frames_out: sent.frames,
            bytes_in: received.bytes,
            bytes_out: sent.bytes,
            queued_bytes: status.queued_bytes,
            credit_bytes: status.credit_bytes,
            refused: causes(refused),
            ..Self::default()
        }
    }

    /// The report of a connection of protocol 1.0. It has no streams and no credit; its requests
    /// are those that wait for a channel.
    #[must_use]
    pub fn of_v1(status: &v1::Status) -> Self {
        let refused = [("malformed", status.malformed), ("limit", status.refused)];
        Self {
            id: status.id,
            peer_pid: status.peer.pid,
            peer_uid: status.peer.uid,
            transport: status.transport.to_owned(),
            protocol: ABI_MAJOR,
            at_ns: at_ns(status.at),
            age_ms: age_ms(status.since, status.at),
            requests: status.waiting,
            frames_in: status.frames_in,
            frames_out: status.frames_out,
            bytes_in: status.bytes_in,
            bytes_out: status.bytes_out,
            queued_bytes: status.queued_bytes,
            refused: causes(refused),
            ..Self::default()
        }
    }

    /// Whether it has streams and credit: protocol 1.0 has neither.
    #[must_use]
    pub const fn has_streams(&self) -> bool {
        self.protocol != ABI_MAJOR
    }

    /// The protocol's display name.
    #[must_use]
    pub fn protocol_name(&self) -> String {
        match self.protocol {
            ABI_MAJOR => "1.0".to_owned(),
            major => major.to_string(),
        }
    }

    /// Refusals of every cause.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

impl Histogram {
    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The bound that `share` (0 to 1) of the durations do not exceed; `None` if there are none, or
    /// if it lies above the last bound.
    #[must_use]
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        let rank = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0_u64;
        for (upper, count) in self.upper_ns.iter().zip(&self.counts) {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return Some(*upper);
            }
        }
        None
    }
}

fn age_ms(since: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}

/// The causes with a count above zero.
fn causes<const N: usize>(causes: [(&str, u64); N]) -> Vec<(String, u64)> {
    let causes = causes.into_iter().filter(|(_, count)| *count > 0);
    causes.map(|(cause, count)| (cause.to_owned(), count)).collect()
}
