// SPDX-License-Identifier: BSD-3-Clause
//! Figures in few characters.

use std::time::Duration;

use becket_ipc::monitor::RATE_INTERVAL_MIN;

/// A figure in at most five characters: `0`, `12`, `12.3k`, `4.56M`. Figures below one have one
/// digit behind the point, figures beyond all prefixes are `>999P`.
pub(super) fn short(value: f64) -> String {
    const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let value = if value.is_finite() { value.max(0.0) } else { return "-".to_owned() };
    let mut scaled = value;
    for prefix in PREFIXES {
        // By what would be printed: 999.6 is 1.00k.
        let text = match prefix {
            "" if scaled.fract() == 0.0 && scaled < 1000.0 => format!("{scaled:.0}"),
            "" if scaled < 9.95 => format!("{scaled:.1}"),
            "" => format!("{scaled:.0}"),
            _ if scaled < 9.995 => format!("{scaled:.2}"),
            _ if scaled < 99.95 => format!("{scaled:.1}"),
            _ => format!("{scaled:.0}"),
        };
        if text.len() < 4 || text.contains('.') {
            return format!("{text}{prefix}");
        }
        scaled /= 1000.0;
    }
    ">999P".to_owned()
}

/// The same for a count.
pub(super) fn count(value: u64) -> String {
    short(value as f64)
}

/// A count of things: `1 send`, `3 sends`.
pub(super) fn many(value: u64, what: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(value))
}

/// Bytes with their unit: `1.50 kB`.
pub(super) fn bytes(value: f64) -> String {
    unit(value, "B")
}

/// Bits a second of bytes a second: `12.0 Gbit/s`.
pub(super) fn bits(bytes_per_second: f64) -> String {
    unit(bytes_per_second * 8.0, "bit/s")
}

fn unit(value: f64, unit: &str) -> String {
    let text = short(value);
    match text.char_indices().last() {
        Some((at, prefix)) if prefix.is_ascii_alphabetic() => {
            format!("{} {prefix}{unit}", text.get(..at).unwrap_or_default())
        }
        _ => format!("{text} {unit}"),
    }
}

/// A time in at most six characters: `12ms`, `3.4s`, `5m06s`, `2h15m`, `3d04h`.
pub(super) fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..10 => format!("{seconds}.{}s", ms % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Reads `30`, `1.5s`, `250ms`, `2m`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let why = || "write it as 30, 1.5s, 250ms, 2m or 1h".to_owned();
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(at).ok_or_else(why)?;
    let scale = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(why()),
    };
    let seconds = number.parse::<f64>().map_err(|_| why())? * scale;
    if !(seconds > 0.0 && seconds <= 31_536_000.0) {
        return Err("it must be above nothing and at most a year".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Reads the interval between two reports, which is long enough to carry a rate.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < RATE_INTERVAL_MIN {
        let min = RATE_INTERVAL_MIN.as_millis();
        return Err(format!("less than {min}ms is too short to carry a rate"));
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_right() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.2"),
            (7.0, "7"),
            (9.96, "10"),
            (999.0, "999"),
            (999.6, "1.00k"),
            (1234.0, "1.23k"),
            (12_345.0, "12.3k"),
            (123_456.0, "123k"),
            (999_500.0, "1.00M"),
            (4.56e6, "4.56M"),
            (1.9e19, ">999P"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(short(value), text, "{value}");
        }
        let mut value = 0.01;
        while value < 1e30 {
            assert!(short(value).len() <= 5, "{value}: {}", short(value));
            value *= 1.37;
        }
        assert_eq!((bytes(1500.0), bits(1.5e9)), ("1.50 kB".into(), "12.0 Gbit/s".into()));
        assert_eq!(bytes(12.0), "12 B");
    }

    #[test]
    fn ages_choose_their_unit() {
        for (ms, text) in [
            (999, "999ms"),
            (3_450, "3.4s"),
            (59_999, "59s"),
            (306_000, "5m06s"),
            (8_100_000, "2h15m"),
            (273_600_000, "3d04h"),
        ] {
            assert_eq!(age(ms), text);
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "-1", "0", "1d", "nan", "inf", "1e99h", "é"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
