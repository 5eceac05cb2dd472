// SPDX-License-Identifier: BSD-3-Clause
//! Alerts: conditions that a person should look at.
//!
//! | what | when |
//! |---|---|
//! | a channel is full | in every report for at least half a second |
//! | channels are full that are not on the page | in this report and the one before |
//! | operations fail | more timed out or found the channel closed than in the report before |
//! | values are dropped | more than in the report before |
//! | a worker is held | a coroutine has run on it for 100 ms without a pause |
//! | a plugin fails, a session is refused | more than in the report before |
//! | a new version of a plugin is taken back | since the report before |
//!
//! An alert stays for [`STAYS_NS`] after it was seen last.

use std::collections::HashMap;

use becket_ipc::monitor::{ChannelReport, Report};

use super::super::units;

/// How long an alert stays to be read.
const STAYS_NS: u64 = 10_000_000_000;

/// A channel that was full for a shorter time causes no alert.
const FULL_NS: u64 = 500_000_000;

/// Alerts kept; the oldest go first.
const ALERTS_MAX: usize = 64;

/// Severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// A possible problem.
    Warn,
    /// Data is lost, or progress has stopped.
    Bad,
}

/// An alert: one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) grade: Grade,
    pub(crate) text: String,
    key: String,
    at_ns: u64,
}

/// All alerts, and the previous figures that they are found by.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    list: Vec<Alert>,
    /// For each channel that was full in the previous report: the first report in which it was.
    full_since_ns: HashMap<u64, u64>,
    /// Channels that were full and not on the page.
    full_elsewhere: u64,
    /// The counts of the previous report, by the key of the alert that a rise causes.
    counted: HashMap<String, u64>,
}

impl Alerts {
    /// The most severe first, then the latest.
    pub(crate) fn list(&self) -> impl ExactSizeIterator<Item = &Alert> {
        self.list.iter()
    }

    pub(super) fn take(&mut self, report: &Report) {
        let now = report.at_ns;
        let before = std::mem::take(&mut self.counted);
        let full_before = std::mem::take(&mut self.full_since_ns);
        let channels = &report.channels;
        for channel in channels.rows.iter().chain(&channels.pinned) {
            let (id, name) = (channel.id, &channel.name);
            if channel.is_full() {
                let since = full_before.get(&id).copied().unwrap_or(now);
                self.full_since_ns.insert(id, since);
                self.full(channel, since, now);
            }
            let grave = (format!("grave {id}"), channel.failed.grave());
            self.rises(&before, Grade::Bad, grave, now, |more| {
                format!("{name}: {more} more timed out or found it closed")
            });
            let dropped = (format!("dropped {id}"), channel.dropped);
            self.rises(&before, Grade::Bad, dropped, now, |more| {
                format!("{name}: {more} more values dropped")
            });
        }
        self.elsewhere(report);
        for held in &report.coroutines.held {
            let text = format!(
                "worker {} is held for {} by {}",
                held.worker,
                units::age(held.held_ms),
                held.what
            );
            self.raise(Grade::Bad, format!("held {}", held.worker), text, now);
        }
        for plugin in report.plugins.rows.iter().chain(&report.plugins.pinned) {
            let of = format!("plugin {}", plugin.name);
            self.rises(&before, Grade::Bad, (of.clone(), plugin.errors()), now, |more| {
                format!("{of}: {more} more failed")
            });
            let taken_back = (format!("taken back {of}"), plugin.taken_back);
            self.rises(&before, Grade::Warn, taken_back, now, |_| match &plugin.last_rollout {
                Some(last) => format!("{of}: {} was taken back, {}", last.version, last.cause),
                None => format!("{of}: a new version was taken back"),
            });
        }
        for session in report.sessions.rows.iter().chain(&report.sessions.pinned) {
            let of = format!("session {}", session.id);
            self.rises(&before, Grade::Warn, (of.clone(), session.refused()), now, |more| {
                format!("{of}: {more} more refused")
            });
        }
        self.list.retain(|alert| now.saturating_sub(alert.at_ns) <= STAYS_NS);
        self.list.sort_by(|a, b| b.grade.cmp(&a.grade).then(b.at_ns.cmp(&a.at_ns)));
        self.list.truncate(ALERTS_MAX);
    }

    /// Finds full channels that are not on the page: of ten thousand channels a page has only few.
    fn elsewhere(&mut self, report: &Report) {
        let page = &report.channels;
        let shown = page.rows.iter().filter(|row| row.is_full()).count() as u64;
        let pinned = page
            .pinned
            .iter()
            .filter(|pinned| pinned.is_full() && page.rows.iter().all(|row| row.id != pinned.id));
        let now = report.totals.full.saturating_sub(shown + pinned.count() as u64);
        let before = std::mem::replace(&mut self.full_elsewhere, now);
        if now > 0 && before > 0 {
            let are = if now == 1 { "is" } else { "are" };
            let text = format!("{} {are} full and not shown: s sorts", units::many(now, "channel"));
            self.raise(Grade::Warn, "full elsewhere".to_owned(), text, report.at_ns);
        }
    }

    /// Adds an alert if a channel has been full since `since`, at least [`FULL_NS`].
    fn full(&mut self, channel: &ChannelReport, since: u64, now: u64) {
        if now.saturating_sub(since) < FULL_NS {
            return;
        }
        let text = format!(
            "{} is full ({}) for {}, {} wait{}",
            channel.name,
            units::count(channel.len),
            units::age((now - since) / 1_000_000),
            units::many(channel.senders_waiting, "send"),
            if channel.senders_waiting == 1 { "s" } else { "" },
        );
        self.raise(Grade::Warn, format!("full {}", channel.id), text, now);
    }

    /// Keeps a count, and adds an alert if it is above `before`. A first count adds none.
    fn rises(
        &mut self,
        before: &HashMap<String, u64>,
        grade: Grade,
        (key, count): (String, u64),
        now: u64,
        text: impl FnOnce(String) -> String,
    ) {
        let last = before.get(&key).copied().unwrap_or(count);
        if let Some(more @ 1..) = count.checked_sub(last) {
            self.raise(grade, key.clone(), text(units::count(more)), now);
        }
        self.counted.insert(key, count);
    }

    /// Adds an alert, or renews an older one with the same key.
    fn raise(&mut self, grade: Grade, key: String, text: String, at_ns: u64) {
        match self.list.iter_mut().find(|alert| alert.key == key) {
            Some(alert) => *alert = Alert { grade, text, key, at_ns },
            None => self.list.push(Alert { grade, text, key, at_ns }),
        }
    }
}

#[cfg(test)]
mod tests {
    use becket_ipc::monitor::{Held, Page, PluginReport, RolloutReport};

    use super::*;

    fn full(name: &str) -> ChannelReport {
        ChannelReport {
            id: 1,
            name: name.to_owned(),
            kind: "bounded".into(),
            capacity: Some(8),
            len: 8,
            senders_waiting: 2,
            ..ChannelReport::default()
        }
    }

    fn report(second: u64, rows: Vec<ChannelReport>) -> Report {
        Report {
            at_ns: second * 1_000_000_000,
            channels: Page { rows, ..Page::default() },
            ..Report::default()
        }
    }

    fn texts(alerts: &Alerts) -> Vec<String> {
        alerts.list().map(|alert| alert.text.clone()).collect()
    }

    #[test]
    fn a_channel_that_stays_full_is_told_of_and_one_that_was_full_for_a_moment_is_not() {
        let mut alerts = Alerts::default();
        alerts.take(&report(1, vec![full("orders")]));
        assert_eq!(texts(&alerts), [""; 0]);
        alerts.take(&report(2, vec![full("orders")]));
        alerts.take(&report(4, vec![full("orders")]));
        assert_eq!(texts(&alerts), ["orders is full (8) for 3.0s, 2 sends wait"]);
        let room = ChannelReport { len: 3, ..full("orders") };
        alerts.take(&report(5, vec![room]));
        assert_eq!(alerts.list().len(), 1, "it stays to be read");
        alerts.take(&report(15, vec![full("orders")]));
        assert_eq!(alerts.list().len(), 0, "and goes; what is full anew was not full before");
    }

    #[test]
    fn what_is_full_and_not_on_the_page_is_told_of() {
        let mut alerts = Alerts::default();
        let elsewhere = |second, full| {
            let mut report = report(second, vec![ChannelReport::default()]);
            report.totals.full = full;
            report
        };
        alerts.take(&elsewhere(1, 3));
        assert_eq!(texts(&alerts), [""; 0], "it may be so for a moment");
        alerts.take(&elsewhere(2, 2));
        assert_eq!(texts(&alerts), ["2 channels are full and not shown: s sorts"]);
        alerts.take(&elsewhere(3, 1));
        assert_eq!(texts(&alerts), ["1 channel is full and not shown: s sorts"]);
        alerts.take(&elsewhere(14, 0));
        assert_eq!(texts(&alerts), [""; 0]);
        let mut shown = report(15, vec![full("orders")]);
        shown.totals.full = 1;
        alerts.take(&shown);
        alerts.take(&shown);
        assert_eq!(texts(&alerts), [""; 0], "a channel on the page has an alert with its name");
    }

    #[test]
    fn failures_are_told_of_while_they_rise() {
        let mut alerts = Alerts::default();
        let mut channel = ChannelReport { name: "orders".into(), ..ChannelReport::default() };
        channel.failed.receive.timed_out = 5;
        alerts.take(&report(1, vec![channel.clone()]));
        channel.failed.receive.would_block = 100;
        alerts.take(&report(2, vec![channel.clone()]));
        assert_eq!(texts(&alerts), [""; 0], "neither old failures nor failed tries");
        channel.failed.receive.timed_out = 8;
        channel.dropped = 1;
        alerts.take(&report(3, vec![channel]));
        assert_eq!(
            texts(&alerts),
            ["orders: 3 more timed out or found it closed", "orders: 1 more values dropped"]
        );
    }

    #[test]
    fn a_version_that_is_taken_back_is_named_with_the_cause() {
        let mut alerts = Alerts::default();
        let mut seen = report(1, Vec::new());
        let last = RolloutReport {
            version: "2.1.0".into(),
            cause: "timeout".into(),
            ..RolloutReport::default()
        };
        seen.plugins.rows =
            vec![PluginReport { name: "a".into(), taken_back: 3, ..PluginReport::default() }];
        alerts.take(&seen);
        assert!(texts(&alerts).is_empty(), "it was so before");
        seen.plugins.rows[0].taken_back = 4;
        seen.plugins.rows[0].last_rollout = Some(last);
        alerts.take(&seen);
        assert_eq!(texts(&alerts), ["plugin a: 2.1.0 was taken back, timeout"]);
    }

    #[test]
    fn what_stands_still_comes_before_what_is_full() {
        let mut alerts = Alerts::default();
        alerts.take(&report(1, vec![full("orders")]));
        let mut held = report(2, vec![full("orders")]);
        let busy = Held { id: 1, what: "busy".into(), worker: 3, held_ms: 1200 };
        held.coroutines.held = vec![busy];
        alerts.take(&held);
        assert_eq!(texts(&alerts).first().unwrap(), "worker 3 is held for 1.2s by busy");
    }

    #[test]
    fn alerts_are_bounded() {
        let mut alerts = Alerts::default();
        for second in 0..3 {
            let rows = (0..500).map(|id| ChannelReport { id, ..full("x") }).collect();
            alerts.take(&report(second, rows));
        }
        assert_eq!(alerts.list().len(), ALERTS_MAX);
    }
}
