// SPDX-License-Identifier: BSD-3-Clause
//! Peers in separate processes: those in another language, those with process-wide settings, and,
//! for the rows of memory, all of them.
//!
//! ```text
//!   harness                             child
//!     "spawn-join 0 4096\n"  ─────▶      does the block
//!     "381234 8386560\n"     ◀─────      ns, sum
//!     "parked 1000000 1\n"   ─────▶      parks so many, waits, wakes them, ends
//!     seven numbers          ◀─────      see `parked`
//! ```
//!
//! A child ends when its input does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::parked::Parked;
use super::peer::answered;
use super::peers::{becket, executor, go, may, tokio};
use super::work::{Answer, LIMIT, Work};
use crate::error::BenchError;
use crate::harness::Contestant;
use crate::machine::switches_of;

/// The argument that makes this program a child.
pub(crate) const SERVE: &str = "--serve";

/// A process that measures.
pub(crate) struct Child {
    name: &'static str,
    process: Process,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Child {
    /// Starts this peer's, with so many workers.
    pub(crate) fn start(name: &'static str, workers: usize) -> Result<Self, BenchError> {
        let mut command = match name {
            go::NAME => go::command(workers)?,
            _ => {
                let itself = std::env::current_exe()
                    .map_err(|source| BenchError::System { what: "find this program", source })?;
                let mut command = Command::new(itself);
                command.args([SERVE, name, &workers.to_string()]);
                command
            }
        };
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| BenchError::System { what: "start a process", source })?;
        let requests = process.stdin.take();
        let (lines, answers) = channel();
        if let Some(output) = process.stdout.take() {
            // A thread, so that a child that hangs can be detected by a timeout.
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if lines.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { name, process, requests, answers })
    }

    /// Asks, and returns the line that it answers.
    fn ask(&mut self, request: &str) -> Result<String, BenchError> {
        let sent = self
            .requests
            .as_mut()
            .map(|requests| writeln!(requests, "{request}").and_then(|()| requests.flush()));
        let unusable = |output: String| BenchError::Program { program: self.name, output };
        match sent {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(unusable(error.to_string())),
            None => return Err(BenchError::Worker),
        }
        self.answers
            .recv_timeout(LIMIT)
            .map_err(|error| unusable(format!("no answer to `{request}`: {error}")))
    }

    /// Has it do a block.
    pub(crate) fn block(&mut self, work: Work, n: u64) -> Result<Answer, BenchError> {
        let before = self.switches();
        let line = self.ask(&format!("{} {} {n}", work.name(), work.count()))?;
        match numbers(&line).as_deref() {
            Some(&[ns, sum]) => {
                let (taken, disturbed) = (Duration::from_nanos(ns), self.switches() != before);
                Ok(Answer { taken, disturbed, sum })
            }
            _ => Err(BenchError::Program { program: self.name, output: line }),
        }
    }

    /// How often the kernel has given the CPU of one of its threads to another process.
    fn switches(&self) -> Option<u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()?;
        let each = threads.flatten().filter_map(|thread| switches_of(&thread.path()));
        Some(each.sum())
    }

    /// Has it park so many, for its last time.
    pub(crate) fn parked(mut self, count: u64) -> Result<Parked, BenchError> {
        let line = self.ask(&format!("{} {count} 1", Parked::REQUEST))?;
        numbers(&line)
            .and_then(|numbers| Parked::of(&numbers))
            .ok_or(BenchError::Program { program: self.name, output: line })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // All its answers were read: nothing is lost with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn numbers<N: FromStr>(line: &str) -> Option<Vec<N>> {
    line.split_whitespace().map(|word| word.parse().ok()).collect()
}

/// In a child that lives as long as the row.
pub(crate) fn side(
    name: &'static str,
    work: Work,
    workers: usize,
) -> Result<Contestant, BenchError> {
    let mut child = Child::start(name, workers)?;
    Ok(answered(name, work, move |n| child.block(work, n)))
}

/// What a child does: answers, until its input ends.
pub(crate) fn serve(name: &str, workers: usize) -> Result<(), BenchError> {
    let mut servant = Servant::of(name, workers)?;
    for line in std::io::stdin().lines() {
        let line = line.map_err(|source| BenchError::System { what: "read a request", source })?;
        println!("{}", servant.answer(&line).unwrap_or_else(|| format!("cannot `{line}`")));
    }
    Ok(())
}

/// Starts what is asked for, and leaves the sender of the answer with it.
pub(crate) type Begin = Box<dyn FnMut(Request, Sender<Option<String>>)>;

/// What a child is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request {
    /// A block.
    Block(Work, u64),
    /// So many, parked.
    Parked(u64),
}

struct Servant(Begin);

impl Servant {
    fn of(name: &str, workers: usize) -> Result<Self, BenchError> {
        Ok(Self(match name {
            "Becket" => becket::servant(workers)?,
            "may" => may::servant(workers),
            "tokio" => tokio::servant(workers)?,
            executor::NAME => executor::servant(workers)?,
            _ => {
                let usage = format!("{SERVE} Becket|may|tokio|{} WORKERS", executor::NAME);
                return Err(BenchError::Usage { argument: name.to_owned(), usage });
            }
        }))
    }

    fn answer(&mut self, line: &str) -> Option<String> {
        let mut words = line.split_whitespace();
        let (name, count, n) = (words.next()?, words.next()?, words.next()?);
        let (count, n) = (count.parse().ok()?, n.parse().ok()?);
        let request = match name {
            Parked::REQUEST => Request::Parked(count),
            _ => Request::Block(Work::named(name, count)?, n),
        };
        let (answers, answer) = channel();
        (self.0)(request, answers);
        answer.recv().ok()?
    }
}

impl Answer {
    /// As a line.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.taken.as_nanos(), self.sum)
    }
}
