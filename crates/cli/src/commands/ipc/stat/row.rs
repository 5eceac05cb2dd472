// SPDX-License-Identifier: BSD-3-Clause
//! A channel's figures, each with its name: the same in JSON and in conditions.

use becket_ipc::monitor::{ChannelReport, Reading, rate};
use serde::Serialize;
use serde_json::{Map, Number, Value};

/// A name, and the function that reads its count.
type Counted = (&'static str, fn(&ChannelReport) -> u64);

/// The figures that are counts, in the order in which they are written.
const COUNTS: [Counted; 14] = [
    ("len", |channel| channel.len),
    ("high_water", |channel| channel.high_water),
    ("senders_waiting", |channel| channel.senders_waiting),
    ("receivers_waiting", |channel| channel.receivers_waiting),
    ("closed", |channel| channel.closed.into()),
    ("sends", |channel| channel.sends),
    ("receives", |channel| channel.receives),
    ("bytes_in", |channel| channel.bytes_in),
    ("bytes_out", |channel| channel.bytes_out),
    ("failed", |channel| channel.failed.total()),
    ("timed_out", |channel| channel.failed.send.timed_out + channel.failed.receive.timed_out),
    ("dropped", |channel| channel.dropped),
    ("conflated", |channel| channel.conflated),
    ("undelivered", |channel| channel.undelivered),
];

/// The figures that are rates, with the count that they are of.
const RATES: [Counted; 4] = [
    ("sends_per_second", |channel| channel.sends),
    ("receives_per_second", |channel| channel.receives),
    ("bytes_in_per_second", |channel| channel.bytes_in),
    ("bytes_out_per_second", |channel| channel.bytes_out),
];

/// A channel between two readings, or at one.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) channel: ChannelReport,
    /// In the order of [`RATES`]; none with one reading only, or if the channel is too young.
    rates: [Option<f64>; RATES.len()],
}

/// Which figure of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Count(usize),
    Rate(usize),
}

impl Row {
    pub(super) fn new(channel: ChannelReport, before: Option<&ChannelReport>) -> Self {
        let rates = RATES.map(|(_, count)| {
            let reading = |of: &ChannelReport| Reading { at_ns: of.at_ns, count: count(of) };
            before.and_then(|before| rate(reading(before), reading(&channel)))
        });
        Self { channel, rates }
    }

    /// A figure, if the row has it.
    pub(super) fn get(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::Count(at) => COUNTS.get(at).map(|(_, count)| count(&self.channel) as f64),
            Figure::Rate(at) => *self.rates.get(at)?,
        }
    }

    /// A rate by its name.
    pub(super) fn rate(&self, name: &str) -> Option<f64> {
        self.get(Figure::named(name)?)
    }
}

impl Figure {
    /// The figure of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let count = COUNTS.iter().position(|(other, _)| *other == name).map(Self::Count);
        count.or_else(|| RATES.iter().position(|(other, _)| *other == name).map(Self::Rate))
    }

    /// All names.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        COUNTS.iter().chain(&RATES).map(|(name, _)| *name)
    }
}

impl Serialize for Row {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Map::new();
        let channel = &self.channel;
        object.insert("channel".into(), channel.name.as_str().into());
        object.insert("kind".into(), channel.kind.as_str().into());
        object.insert("capacity".into(), channel.capacity.into());
        for (name, count) in COUNTS {
            let value = match name {
                "closed" => channel.closed.into(),
                _ => count(channel).into(),
            };
            object.insert(name.into(), value);
        }
        for ((name, _), rate) in RATES.iter().zip(self.rates) {
            if let Some(rate) = rate {
                let number = Number::from_f64(rate).map_or(Value::Null, Value::Number);
                object.insert((*name).into(), number);
            }
        }
        object.serialize(serializer)
    }
}
