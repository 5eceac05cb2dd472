// SPDX-License-Identifier: BSD-3-Clause
//! The load: `wrk`, two threads, 64 connections, keep-alive.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::error::BenchError;

const PROGRAM: &str = "wrk";

/// Requests per second. Any answer that is not a success, and any broken connection, is an error.
pub(super) fn requests_per_second(
    addr: SocketAddr,
    path: &str,
    duration: Duration,
) -> Result<f64, BenchError> {
    let output = Command::new(PROGRAM)
        .args(["-t2", "-c64", &format!("-d{}s", duration.as_secs().max(1))])
        .arg(format!("http://{addr}{path}"))
        .output()
        .map_err(|source| BenchError::System { what: "run wrk (Debian's package wrk)", source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    rate(&text).ok_or(BenchError::Program { program: PROGRAM, output: text })
}

/// The rate in what wrk printed, if every request was answered well.
fn rate(text: &str) -> Option<f64> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?;
    line.trim().parse().ok()
}

/// One answer as it comes over the wire, without its date.
pub(super) fn answer(addr: SocketAddr, path: &str) -> Result<String, BenchError> {
    let exchange = || {
        let mut socket = TcpStream::connect(addr)?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
        socket.write_all(head.as_bytes())?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        Ok(text)
    };
    let text: String = exchange()
        .map_err(|source| BenchError::System { what: "ask a server on the loopback", source })?;
    let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with("date:")).collect();
    // The order of headers is not guaranteed.
    lines.sort_unstable();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_counts_only_if_every_request_was_answered_well() {
        assert_eq!(rate("x\nRequests/sec:  1234.50\n"), Some(1234.5));
        assert_eq!(rate("Non-2xx or 3xx responses: 1\nRequests/sec: 9\n"), None);
        assert_eq!(rate("Socket errors: connect 1\nRequests/sec: 9\n"), None);
        assert_eq!(rate("nothing"), None);
    }
}
