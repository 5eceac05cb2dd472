// SPDX-License-Identifier: BSD-3-Clause
//! The program that makes the calls.

use std::ffi::OsString;
use std::io::{BufRead, Write, stdin, stdout};
use std::sync::Arc;

use becket_host::{Entry, Host, NrStatus, PluginSpec};
use becket_process::sandbox::Profile;
use becket_process::{Confinement, Process};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::process::{Signal, getpid, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::error::Error;
use crate::{Placement, Subject};

/// Sent to itself where the calls that count begin, between each two [batches](BATCH) of them, and where they end.
pub(crate) const MARK: Signal = Signal::USR1;
/// What it writes when it waits for a line before it goes on.
pub(crate) const READY: &str = "ready";
/// Answers between two marks.
pub(crate) const BATCH: u64 = 50;
/// Calls before those that count.
const WARM_UP: u64 = 20_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Calls {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Calls that count, unless the time is over before.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) calls: u64,
    /// Calls that are under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) depth: u64,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 64)]
    pub(crate) bytes: usize,
}

pub(crate) fn run(calls: &Calls) -> Result<(), Error> {
    // The worker, which inherits it, has the second one as soon as it runs.
    keep_to(1)?;
    let host = Host::new();
    let plugin = host.load(spec(&calls.subject)?).map_err(Box::new)?;
    let echo = plugin.entry("echo")?;
    keep_to(0)?;
    make(&echo, calls, WARM_UP, || Ok(()))?;
    let mut out = stdout();
    writeln!(out, "{READY}").map_err(Error::system("write"))?;
    let mut line = String::new();
    stdin().lock().read_line(&mut line).map_err(Error::system("read"))?;
    let mark = || kill_process(getpid(), MARK).map_err(|e| Error::system("mark")(e.into()));
    make(&echo, calls, calls.calls, mark)
}

fn spec(subject: &Subject) -> Result<PluginSpec, Error> {
    let path = subject.plugin.clone();
    Ok(match subject.placement {
        Placement::Inline => PluginSpec::path("counted", path),
        Placement::Process => {
            let itself = std::env::current_exe().map_err(Error::system("find this program"))?;
            let worker: Vec<OsString> = vec![itself.into(), "serve".into()];
            let mut confinement = Confinement::default();
            confinement.sandbox.profile = Profile::None;
            let process = Process::native(worker, path).confined(confinement);
            PluginSpec::remote("counted", Arc::new(process))
        }
    })
}

pub(crate) fn keep_to(cpu: usize) -> Result<(), Error> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).map_err(|e| Error::system("keep to a processor")(e.into()))
}

/// One call and then as many as counted, of which `depth` are under way at once. Marked at the first answer, as all of them
/// begin before that, after each [`BATCH`] of answers, and at the last one: between two marks as many calls begin as are
/// answered.
fn make(
    echo: &Entry,
    calls: &Calls,
    count: u64,
    mark: impl Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let payload: Vec<u8> = (0..calls.bytes).map(|at| (at * 7 + 1) as u8).collect();
    becket_coro::block_on(async {
        let mut under_way = FuturesUnordered::new();
        for _ in 0..calls.depth {
            under_way.push(echo.call_raw(&payload));
        }
        for answered in 0..=count {
            let Some(answer) = under_way.next().await else { break };
            let answer = answer?;
            if answer.status != NrStatus::Ok || *answer.body != *payload {
                let got = format!("{:?} and {} bytes", answer.status, answer.body.len());
                return Err(Error::Unexpected { expected: "the payload", got });
            }
            under_way.push(echo.call_raw(&payload));
            if answered % BATCH == 0 || answered == count {
                mark()?;
            }
        }
        Ok(())
    })
}
