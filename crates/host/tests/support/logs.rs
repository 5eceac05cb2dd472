// SPDX-License-Identifier: BSD-3-Clause
//! A tiny subscriber: keeps what is logged under `becket`, and lets tests wait for a line.

use std::{
    fmt::{Debug, Write},
    sync::OnceLock,
    time::Instant,
};

use parking_lot::{Condvar, Mutex};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use super::wait::LIMIT;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static CHANGED: Condvar = Condvar::new();

/// Installs the subscriber for the whole test binary. Call it before anything is logged.
pub fn capture() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        tracing::subscriber::set_global_default(Lines).expect("the only subscriber");
    });
}

/// How many lines contain all of `parts`.
pub fn count(parts: &[&str]) -> usize {
    matching(&LINES.lock(), parts)
}

/// Blocks until `wanted` lines contain all of `parts`.
pub fn reach(wanted: usize, parts: &[&str]) {
    let mut lines = LINES.lock();
    let limit = Instant::now() + LIMIT;
    while matching(&lines, parts) < wanted {
        let timed_out = CHANGED.wait_until(&mut lines, limit).timed_out();
        let found = matching(&lines, parts);
        assert!(!timed_out, "{found} of {wanted} lines with {parts:?} in {lines:#?}");
    }
}

fn matching(lines: &[String], parts: &[&str]) -> usize {
    lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.is_span()
            && ["becket::plugin", "becket::watchdog", "becket::host"].contains(&metadata.target())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut line);
        LINES.lock().push(line.0);
        CHANGED.notify_all();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// `LEVEL target name=value …`, ending in a blank so that a value can be matched whole.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?} ");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value} ");
    }
}
