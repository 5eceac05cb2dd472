// SPDX-License-Identifier: BSD-3-Clause
//! The rules of channels, judged by what the processes of a run saw.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::network::KILLED;
use super::scenario::{Outcome, Run, Sent, Setup};
use super::world::Ended;
use crate::channel::SLOW_RETRY;
use crate::options::Kind;

/// Longer than a message and its answer, and a look at the gate, take without a fault.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(16);

/// The violations of a run.
pub(super) fn violations(setup: Setup, run: &Run) -> Vec<String> {
    let mut found = run.seen.violations.clone();
    if run.ended != Ended::Done {
        found.push(format!("liveness: the run ended as {:?}", run.ended));
        return found;
    }
    once(setup, run, &mut found);
    order(setup, run, &mut found);
    closing(setup, run, &mut found);
    limits(setup, run, &mut found);
    counters(run, &mut found);
    found
}

/// Each accepted value is received once, each refused one never.
fn once(setup: Setup, run: &Run, found: &mut Vec<String>) {
    let mut times: BTreeMap<u32, usize> = BTreeMap::new();
    for received in &run.seen.received {
        *times.entry(received.value).or_default() += 1;
    }
    for (value, times) in &times {
        // A server that starts again has not kept the ids of what was received already.
        let is_forgotten = run.seen.sent.iter().any(|sent| {
            let killed = |(at, what): &(Duration, &str)| {
                *what == KILLED && (sent.begun..=sent.ended).contains(at)
            };
            sent.value == *value && run.faults.iter().any(killed)
        });
        if *times > 1 && !is_forgotten {
            found.push(format!("exactly once: {value:#x} was received {times} times"));
        }
        if run.seen.sent.iter().all(|sent| sent.value != *value) && run.ended == Ended::Done {
            found.push(format!("integrity: {value:#x} was never sent"));
        }
    }
    let last = run.accepted.last().map(|(_, value)| *value);
    for sent in &run.seen.sent {
        let value = sent.value;
        let is_received = times.contains_key(&value);
        let is_doubtful = run.seen.doubtful.contains(&value);
        match sent.outcome {
            // Of a conflated channel the last one is.
            Outcome::Accepted
                if !is_received
                    && !is_doubtful
                    && (setup.kind != Kind::Conflated || last == Some(value)) =>
            {
                found.push(format!("exactly once: {value:#x} was accepted, not received"));
            }
            Outcome::Refused(why) if is_received => {
                found.push(format!("exactly once: {value:#x} was refused ({why}), and received"));
            }
            _ => {}
        }
        let received = run.seen.received.iter().find(|received| received.value == value);
        if setup.kind == Kind::Rendezvous
            && sent.outcome == Outcome::Accepted
            && let Some(received) = received
            && received.at > sent.ended
        {
            found.push(format!("rendezvous: the send of {value:#x} ended before its receive"));
        }
    }
    if !run.stored.is_empty() {
        found.push(format!("drained: {:x?} are stored at the end", run.stored));
    }
}

/// What one process sends is stored in that order, and received so at the first attempt. A value whose send ended while
/// its attempt was in flight may still be on its way when the next one is stored.
fn order(setup: Setup, run: &Run, found: &mut Vec<String>) {
    let was_left = |value: u32| {
        run.seen.sent.iter().any(|sent| {
            sent.value == value && matches!(sent.outcome, Outcome::Unknown | Outcome::Dropped)
        })
    };
    let mut lasts: BTreeMap<u32, u32> = BTreeMap::new();
    // What is handed back is stored twice.
    let mut stored = BTreeSet::new();
    let first = run.accepted.iter().filter(|(_, value)| stored.insert(*value));
    for (_, value) in first.filter(|(_, value)| !was_left(*value)) {
        if lasts.insert(value >> 8, *value).is_some_and(|last| last > *value) {
            found.push(format!("order: {value:#x} was stored behind a later value of its sender"));
        }
    }
    let numbers: BTreeMap<u32, u64> =
        run.accepted.iter().map(|(number, value)| (*value, *number)).collect();
    let mut lasts: BTreeMap<usize, u64> = BTreeMap::new();
    for received in &run.seen.received {
        let first = match received.delivery {
            Some((number, 1)) => Some(number),
            None if setup.is_plain && !setup.is_faulty => numbers.get(&received.value).copied(),
            _ => None,
        };
        let Some(number) = first.filter(|number| *number > 0) else { continue };
        if lasts.insert(received.receiver, number).is_some_and(|last| last > number) {
            found.push(format!("order: {:#x} was received behind a later value", received.value));
        }
    }
}

/// No value that is sent after the close is accepted. A receiver of a rendezvous that the note of the close has not
/// reached takes one; but no sender finds the channel closed and then open.
fn closing(setup: Setup, run: &Run, found: &mut Vec<String>) {
    let is_rendezvous = setup.kind == Kind::Rendezvous;
    for sent in run.seen.sent.iter().filter(|sent| is_accepted(run, sent)) {
        let value = sent.value;
        if !is_rendezvous && run.seen.closed.is_some_and(|closed| sent.begun > closed) {
            found.push(format!("close: {value:#x} was sent after the close, and accepted"));
        }
        let before = run.seen.sent.iter().find(|other| {
            other.outcome == Outcome::Refused("closed")
                && other.ended < sent.begun
                && (!is_rendezvous || other.value >> 8 == value >> 8)
        });
        if let Some(before) = before {
            let before = before.value;
            found.push(format!("close: {before:#x} found it closed, and {value:#x} open"));
        }
    }
}

fn is_accepted(run: &Run, sent: &Sent) -> bool {
    sent.outcome == Outcome::Accepted
        || run.seen.received.iter().any(|received| received.value == sent.value)
}

/// Would-block after one round trip, and for no other reason than no room. No lost wake.
fn limits(setup: Setup, run: &Run, found: &mut Vec<String>) {
    if setup.is_faulty {
        return;
    }
    for sent in run.seen.sent.iter().filter(|sent| sent.what == "try_send") {
        // A receive that gets an offer may be dropped before it answers.
        let is_rendezvous = setup.kind == Kind::Rendezvous;
        if sent.ended - sent.begun > ROUND_TRIP_MAX && !is_rendezvous {
            let took = sent.ended - sent.begun;
            found.push(format!("would-block: a try_send took {took:?}"));
        }
        let is_full = run.refusals > 0 || is_rendezvous;
        if sent.outcome == Outcome::Refused("would block") && !is_full {
            found.push("would-block: a try_send found no room, and there was".into());
        }
    }
    for sent in run.seen.sent.iter().filter(|sent| sent.outcome == Outcome::Unknown) {
        found.push(format!("unknown: {} of {:#x}, without a fault", sent.what, sent.value));
    }
    let sent = run.seen.sent.iter().map(|sent| sent.ended).max().unwrap_or_default();
    let closed = run.seen.closed.unwrap_or_default();
    // A full stream takes no record of the close: that waits by itself.
    if setup.is_plain && (sent > SLOW_RETRY || run.seen.done > closed + SLOW_RETRY) {
        found.push(format!("lost wake: sends took {sent:?}, all {:?}", run.seen.done));
    }
}

fn counters(run: &Run, found: &mut Vec<String>) {
    for (accepted, counters) in &run.seen.senders {
        let (sends, bytes) = (counters.sends, counters.bytes_sent);
        if sends != *accepted as u64 || bytes != 4 * sends {
            found.push(format!("counters: {sends} sends of {bytes} bytes, expected {accepted}"));
        }
    }
    for (received, counters) in &run.seen.receivers {
        let (receives, bytes) = (counters.receives, counters.bytes_received);
        if receives != *received as u64 || bytes != 4 * receives {
            found.push(format!(
                "counters: {receives} receives of {bytes} bytes, expected {received}"
            ));
        }
    }
}
