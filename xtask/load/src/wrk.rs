// SPDX-License-Identifier: BSD-3-Clause
//! Load by wrk: two threads, 64 connections.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::error::Error;

/// What wrk counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Counted {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    /// Answers that are neither 2xx nor 3xx.
    pub(crate) refused: u64,
    /// Connections refused, reads and writes that failed, answers that took more than two seconds.
    pub(crate) broken: u64,
}

impl Counted {
    pub(crate) const fn failed(self) -> u64 {
        self.refused + self.broken
    }
}

/// A running wrk.
#[derive(Debug)]
pub(crate) struct Wrk(Child);

impl Wrk {
    /// Starts wrk on `url`.
    pub(crate) fn start(url: &str, duration: Duration) -> Result<Self, Error> {
        Command::new("wrk")
            .args(["-t2", "-c64"])
            .arg(format!("-d{}s", duration.as_secs()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map(Self)
            .map_err(|source| Error::Program { program: PathBuf::from("wrk"), source })
    }

    /// Waits for its end and reads what it counted.
    pub(crate) async fn finish(self) -> Result<Counted, Error> {
        let output = self.0.wait_with_output().await;
        let output =
            output.map_err(|source| Error::Program { program: PathBuf::from("wrk"), source })?;
        read(&String::from_utf8_lossy(&output.stdout))
    }
}

fn read(text: &str) -> Result<Counted, Error> {
    let line = |has: &str| text.lines().map(str::trim).find(|line| line.contains(has));
    let requests = line("requests in")
        .and_then(|line| line.split(' ').next())
        .and_then(|number| number.parse().ok())
        .ok_or(Error::Wrk("number of requests"))?;
    let per_second = line("Requests/sec:")
        .and_then(|line| line.split_whitespace().last())
        .and_then(|number| number.parse().ok())
        .ok_or(Error::Wrk("rate"))?;
    let numbers = |line: Option<&str>| -> u64 {
        let words = line.unwrap_or_default().split([' ', ',']);
        words.filter_map(|word| word.parse::<u64>().ok()).sum()
    };
    // wrk prints neither line if its counts are zero. The first begins with "Non-2xx or 3xx".
    let refused = line("Non-2xx").and_then(|line| line.split_once(':')).map(|(_, rest)| rest);
    Ok(Counted {
        requests,
        per_second,
        refused: numbers(refused),
        broken: numbers(line("Socket errors:")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
Running 30s test @ http://127.0.0.1:8080/rust/unary
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   512.00us  100.00us   5.00ms   90.00%
    Req/Sec    60.00k     1.00k   62.00k    75.00%
  3600000 requests in 30.00s, 500.00MB read
Requests/sec: 120000.50
Transfer/sec:     16.67MB
";

    #[test]
    fn a_clean_run_has_no_failures() {
        let counted = read(GOOD).unwrap();
        assert_eq!(
            counted,
            Counted { requests: 3_600_000, per_second: 120_000.5, refused: 0, broken: 0 }
        );
    }

    #[test]
    fn every_kind_of_failure_is_counted() {
        let bad = format!(
            "{GOOD}  Socket errors: connect 1, read 20, write 300, timeout 4000\n  \
             Non-2xx or 3xx responses: 7\n"
        );
        let counted = read(&bad).unwrap();
        assert_eq!((counted.refused, counted.broken, counted.failed()), (7, 4321, 4328));
    }

    #[test]
    fn something_else_is_refused() {
        assert!(matches!(read("unable to connect"), Err(Error::Wrk(_))));
    }
}
