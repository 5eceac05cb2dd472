// SPDX-License-Identifier: BSD-3-Clause
//! The result of a load.

use std::time::Duration;

use becket_ipc::monitor::{RATE_INTERVAL_MIN, Rates, Reading, rate};
use serde_json::{Value, json};

use super::super::store::{Of, Store, Unit};
use super::super::units;
use super::load::Counted;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{BAD, DIM, GOOD, HEAD, paint, text};

/// The counts of a load, and its duration.
#[derive(Debug)]
pub(crate) struct Summary {
    took: Duration,
    sent: Counted,
    received: Counted,
}

impl Summary {
    pub(super) fn new(took: Duration, sent: Counted, received: Counted) -> Self {
        Self { took, sent, received }
    }

    /// Whether every message sent was received unchanged.
    pub(crate) fn is_complete(&self) -> bool {
        self.sent == self.received
    }

    #[cfg(test)]
    pub(super) fn received(&self) -> Counted {
        self.received
    }

    /// The rate per second from the first message to the last; `None` if the time was too short.
    fn average(&self, count: u64) -> Option<f64> {
        let took_ns = u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX);
        rate(Reading { at_ns: 0, count: 0 }, Reading { at_ns: took_ns, count })
    }

    /// As text. Peak and smoothed rates are those of the reports.
    pub(crate) fn describe(&self, store: &Store) -> String {
        let seen = |unit| store.track(&Of::Total).and_then(|track| track.rates(unit));
        let mut lines = format!(
            "{} {} in {}, {}\n",
            paint(HEAD, "moved"),
            text::plural(self.received.messages, "message"),
            text::duration(self.took),
            units::bytes(self.received.bytes as f64),
        );
        match self.average(self.received.messages).zip(self.average(self.received.bytes)) {
            Some((messages, bytes)) => {
                let line = |name: &str, messages: f64, bytes: f64| {
                    format!(
                        "{name:<9}{:>7} msg/s  {:>13}\n",
                        units::short(messages),
                        units::bits(bytes)
                    )
                };
                lines.push_str(&line("average", messages, bytes));
                let (messages, bytes) = (seen(Unit::Messages), seen(Unit::Bytes));
                if let (Some(messages), Some(bytes)) = (messages, bytes) {
                    lines.push_str(&line("peak", messages.peak, bytes.peak));
                    lines.push_str(&line("smoothed", messages.smoothed, bytes.smoothed));
                }
            }
            None => {
                let min = RATE_INTERVAL_MIN.as_millis();
                let why = format!("no rates: less than {min} ms carries none; take a larger -N");
                lines.push_str(&format!("{}\n", paint(DIM, &why)));
            }
        }
        if self.is_complete() {
            lines.push_str(&format!("{} all that was sent was received\n", paint(GOOD, "ok")));
        } else {
            lines.push_str(&format!(
                "{} sent {} messages, received {}\n",
                paint(BAD, "lost"),
                text::count(self.sent.messages),
                text::count(self.received.messages),
            ));
        }
        lines
    }

    /// Fails if a message sent was not received.
    pub(crate) fn check(&self, exit: Exit) -> Result<Exit, Failure> {
        if self.is_complete() {
            return Ok(exit);
        }
        let (sent, received) = (self.sent.messages, self.received.messages);
        Err(Failure::new(
            Exit::Check,
            format!("of {} sent, {} were received", text::count(sent), text::count(received)),
        )
        .cause("a message was lost, came twice, or was changed on its way"))
    }

    /// As fields of the last line of `--headless`.
    pub(crate) fn to_json(&self, store: &Store) -> Value {
        let track = store.track(&Of::Total);
        let seen = |unit, of: fn(&Rates) -> f64| {
            track.and_then(|track| track.rates(unit)).as_ref().map(of)
        };
        json!({
            "elapsed_ms": self.took.as_secs_f64() * 1e3,
            "messages_sent": self.sent.messages,
            "messages_received": self.received.messages,
            "bytes_received": self.received.bytes,
            "complete": self.is_complete(),
            "pps_average": self.average(self.received.messages),
            "pps_peak": seen(Unit::Messages, |rates| rates.peak),
            "pps_smoothed": seen(Unit::Messages, |rates| rates.smoothed),
            "gbps_average": self.average(self.received.bytes).map(gbps),
            "gbps_peak": seen(Unit::Bytes, |rates| rates.peak).map(gbps),
            "gbps_smoothed": seen(Unit::Bytes, |rates| rates.smoothed).map(gbps),
        })
    }
}

/// Gigabits of bytes.
fn gbps(bytes_per_second: f64) -> f64 {
    bytes_per_second * 8.0 / 1e9
}
