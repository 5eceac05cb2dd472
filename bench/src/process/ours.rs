// SPDX-License-Identifier: BSD-3-Clause
//! The benchmark's plugin at both placements, and the ways in which its callers wait.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use becket_abi::NrStatus;
use becket_host::{CallError, Entry, Host, Plugin, PluginSpec, Response};
use becket_process::sandbox::Profile;
use becket_process::{Confinement, Process};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::process::getpid;
use rustix::thread::gettid;

use super::SERVE;
use super::workers::Workers;
use crate::error::{BenchError, check};
use crate::harness::Contestant;
use crate::ipc::asleep::Threads;
use crate::ipc::work::now_ns;
use crate::machine::SECOND_CPU;

const PLUGIN: &str = env!("BENCH_PLUGIN");
/// Bytes of a small payload.
const SMALL: usize = 64;
/// Bytes of a large one.
const LARGE: usize = 1 << 20;
/// Calls that are under way at once.
const DEPTH: u64 = 64;

/// Where the plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    Process,
    Inline,
}

impl Placement {
    /// Its column.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Process => "Becket, `process`",
            Self::Inline => "Becket, `inline`",
        }
    }
}

/// A plugin that is a program of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Language {
    Python,
    Node,
}

impl Language {
    /// The program of the sample plugin.
    fn command(self) -> Vec<OsString> {
        const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/plugins");
        let (interpreter, file) = match self {
            Self::Python => ("python3", "python/plugin.py"),
            Self::Node => ("node", "node/plugin.js"),
        };
        vec![interpreter.into(), format!("{SAMPLES}/{file}").into()]
    }
}

/// A host with the plugin.
pub(super) struct Ours {
    column: &'static str,
    echo: Entry,
    worker: Option<u32>,
    plugin: Plugin,
    _host: Host,
}

impl Ours {
    /// Loads it. A worker keeps to the second CPU.
    pub(super) fn load(placement: Placement) -> Result<Self, BenchError> {
        let spec = match placement {
            Placement::Inline => PluginSpec::path("bench", PLUGIN),
            Placement::Process => remote(Process::native(worker()?, PLUGIN)),
        };
        Self::of(placement.column(), spec)
    }

    fn of(column: &'static str, spec: PluginSpec) -> Result<Self, BenchError> {
        let failed = |error| BenchError::host(column, error);
        let host = Host::new();
        let before = Workers::now()?;
        let plugin = host.load(spec).map_err(failed)?;
        Ok(Self {
            column,
            echo: plugin.entry("echo").map_err(|error| BenchError::host(column, error))?,
            worker: Workers::now()?.since(&before),
            plugin,
            _host: host,
        })
    }

    /// One call after the other of a thread, which waits for each.
    pub(super) fn by_thread(placement: Placement, bytes: usize) -> Result<Contestant, BenchError> {
        Self::load(placement)?.awaited_by_thread(bytes)
    }

    /// The same of a plugin in another language.
    pub(super) fn in_language(language: Language, bytes: usize) -> Result<Contestant, BenchError> {
        let process = Process::program(worker()?, language.command());
        Self::of(Placement::Process.column(), remote(process))?.awaited_by_thread(bytes)
    }

    fn awaited_by_thread(self, bytes: usize) -> Result<Contestant, BenchError> {
        let (ours, payload) = (self, payload(bytes));
        Ok(Contestant::timed(ours.column, move |n| {
            for _ in 0..n {
                let answer = becket_coro::block_on(ours.echo.call_raw(&payload));
                ours.checked(answer, &payload)?;
            }
            Ok(())
        }))
    }

    /// The same of a task of tokio's.
    pub(super) fn by_task(placement: Placement) -> Result<Contestant, BenchError> {
        let (ours, payload) = (Self::load(placement)?, payload(SMALL));
        let runtime = super::runtime()?;
        Ok(Contestant::timed(ours.column, move |n| {
            runtime.block_on(async {
                for _ in 0..n {
                    let answer = ours.echo.call_raw(&payload).await;
                    ours.checked(answer, &payload)?;
                }
                Ok(())
            })
        }))
    }

    /// Many calls at once of one thread.
    pub(super) fn pipelined(placement: Placement) -> Result<Contestant, BenchError> {
        let (ours, payload) = (Self::load(placement)?, payload(SMALL));
        Ok(Contestant::timed(ours.column, move |n| {
            becket_coro::block_on(async {
                let mut under_way = FuturesUnordered::new();
                let (mut begun, mut answered) = (0, 0);
                while answered < n {
                    while begun < n && begun - answered < DEPTH {
                        under_way.push(ours.echo.call_raw(&payload));
                        begun += 1;
                    }
                    let Some(answer) = under_way.next().await else {
                        return Err(BenchError::Worker);
                    };
                    ours.checked(answer, &payload)?;
                    answered += 1;
                }
                Ok(())
            })
        }))
    }

    /// One call after the other, each between two that sleep.
    pub(super) fn asleep(placement: Placement) -> Result<Contestant, BenchError> {
        let ours = Self::load(placement)?;
        let parked = ours.plugin.entry("parked");
        let parked = parked.map_err(|error| BenchError::host(ours.column, error))?;
        let worker = ours.worker.ok_or(BenchError::Worker)?;
        let mut payload = payload(SMALL);
        let process = getpid().as_raw_nonzero().get();
        Ok(Contestant {
            column: ours.column,
            side: Box::new(move |n| {
                let thread = gettid().as_raw_nonzero().get();
                let threads = Threads::of(worker)?;
                let ids = process.to_le_bytes().into_iter().chain(thread.to_le_bytes());
                payload.iter_mut().zip(ids).for_each(|(place, byte)| *place = byte);
                let mut taken = 0;
                for _ in 0..n {
                    threads.wait_until_asleep()?;
                    let begin_ns = now_ns();
                    let answer = becket_coro::block_on(parked.call_raw(&payload));
                    let end_ns = now_ns();
                    let answer = answer.map_err(|error| BenchError::host(ours.column, error))?;
                    let got = (answer.status, answer.body.len());
                    check(ours.column, "an answer", (NrStatus::Ok, SMALL), got)?;
                    let time = |at: usize| {
                        let bytes = answer.body.get(at..)?.first_chunk()?;
                        Some(u64::from_le_bytes(*bytes))
                    };
                    let (Some(there_ns), Some(left_ns)) = (time(0), time(8)) else {
                        return Err(BenchError::Worker);
                    };
                    taken += there_ns.saturating_sub(begin_ns) + end_ns.saturating_sub(left_ns);
                }
                Ok(Duration::from_nanos(taken))
            }),
        })
    }

    fn checked(
        &self,
        answer: Result<Response, CallError>,
        payload: &[u8],
    ) -> Result<(), BenchError> {
        let answer = answer.map_err(|error| BenchError::host(self.column, error))?;
        check(self.column, "the status of an answer", NrStatus::Ok, answer.status)?;
        match *answer.body == *payload {
            true => Ok(()),
            false => check(self.column, "an answer", payload, &answer.body),
        }
    }
}

/// This program as a worker, on the second CPU.
fn worker() -> Result<Vec<OsString>, BenchError> {
    let itself = std::env::current_exe()
        .map_err(|source| BenchError::System { what: "find this program", source })?;
    Ok(vec![itself.into(), SERVE.into(), SECOND_CPU.to_string().into()])
}

/// Without a sandbox: `parked` reads in the folder of its host in `/proc`.
fn remote(process: Process) -> PluginSpec {
    let mut confinement = Confinement::default();
    confinement.sandbox.profile = Profile::None;
    PluginSpec::remote("bench", Arc::new(process.confined(confinement)))
}

/// Bytes that are not all the same.
pub(super) fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + 1) as u8).collect()
}

/// Bytes of the payloads of the rows.
pub(super) const BYTES: [usize; 2] = [SMALL, LARGE];
