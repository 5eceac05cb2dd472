// SPDX-License-Identifier: BSD-3-Clause
//! The process itself: id, uptime, CPU time.

use std::fs;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::monitor::report::Process;

/// Nanoseconds of one tick in `/proc`: 100 a second on every architecture, by Linux's ABI.
const TICK_NS: u64 = 10_000_000;

/// An instant on the process's monotonic clock. Never zero.
pub(in crate::monitor) fn at_ns(instant: Instant) -> u64 {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    let beginning = BEGINNING.get_or_init(Instant::now);
    let ns = instant.saturating_duration_since(*beginning).as_nanos();
    u64::try_from(ns).unwrap_or(u64::MAX).saturating_add(1)
}

pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// This process. Values that `/proc` does not have are zero.
pub(super) fn read(name: &str) -> Process {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let stat = parse(&stat).unwrap_or_default();
    Process {
        pid: std::process::id(),
        name: name.to_owned(),
        instance: stat.started_ticks,
        uptime_ms: uptime_ms(&uptime)
            .map(|up| up.saturating_sub(stat.started_ticks * (TICK_NS / 1_000_000)))
            .unwrap_or_default(),
        cpu_ns: stat.cpu_ticks * TICK_NS,
    }
}

#[derive(Debug, Default, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    started_ticks: u64,
}

/// Fields 14, 15 and 22 of `/proc/PID/stat`, counted from 1. The second field is the command's name
/// in parentheses and may contain spaces and parentheses, so counting begins behind the last one.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let mut number = |skip: usize| fields.nth(skip)?.parse::<u64>().ok();
    let (user, system) = (number(11)?, number(0)?);
    let started_ticks = number(6)?;
    Some(Stat { cpu_ticks: user.checked_add(system)?, started_ticks })
}

/// The milliseconds since the machine booted: the first number of `/proc/uptime`, in seconds.
fn uptime_ms(uptime: &str) -> Option<u64> {
    let seconds: f64 = uptime.split(' ').next()?.parse().ok()?;
    Some((seconds * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_parentheses_may_contain_anything() {
        let line = "22632 (a) b) R 1 2 3 4 -1 5 101 0 0 0 17 4 0 0 20 0 1 0 3448283 3133440 388";
        assert_eq!(parse(line), Some(Stat { cpu_ticks: 21, started_ticks: 3_448_283 }));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn this_process_is_found() {
        let process = read("test");
        assert_eq!(process.pid, std::process::id());
        assert!(process.instance > 0);
        assert_eq!(uptime_ms("350.55 640.00"), Some(350_550));
    }
}
