// SPDX-License-Identifier: BSD-3-Clause
//! Becket beside its peers: the same work, in the same process, in turns, every result checked.
//!
//! `cargo xtask bench [GROUP…]` runs this and rewrites the groups' tables in `bench/RESULTS.md`. The group `cluster` is a
//! program of its own, in `bench/cluster`.
//!
//! | module | what lives there |
//! |---|---|
//! | [`c_api`] | group `c_api`: the C library, beside the Rust crates under it |
//! | [`calls`] | group `calls`: plugin calls, beside nylon-ring-host |
//! | [`channels`] | groups `channels`, `channels_scaling`: beside ten channel crates |
//! | [`coroutines`] | groups `coroutines`, `coroutines_scaling`: beside goroutines and others |
//! | [`gateway`] | group `gateway`: HTTP in front of a plugin, beside hyper by itself |
//! | [`ipc`] | groups `ipc`, `ipc_scaling`: two processes, beside iceoryx2 and others |
//! | [`lab`] | group `lab`: runs per second, beside turmoil, shuttle and proptest |
//! | [`process`] | group `process`: plugin calls to another process, beside gRPC and others |
//! | [`monitor`] | group `monitor`: the cost of monitoring |
//! | [`zcopy`] | group `zcopy`: descriptors in place of bytes |
//! | [`harness`] | taking turns, medians |
//! | [`crew`] | threads that are kept from block to block |
//! | [`report`] | tables, `RESULTS.md`, `--check` |
//! | [`machine`] | the description above a table; pinning threads |
//! | [`spin`] | an executor that stays awake |
//! | [`versions`] | the peers' versions |
//! | [`error`] | the errors of a benchmark |

mod c_api;
mod calls;
mod channels;
mod coroutines;
mod crew;
mod error;
mod gateway;
mod harness;
mod ipc;
mod lab;
mod machine;
mod monitor;
mod process;
mod report;
mod spin;
mod versions;
mod zcopy;

use std::process::ExitCode;

use crate::coroutines::child;
use crate::error::BenchError;
use crate::harness::Plan;
use crate::machine::Machine;
use crate::report::{Group, TOLERANCE_PERCENT};

/// The folder of `RESULTS.md`.
const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

type Run = fn(Plan<'_>) -> Result<Group, BenchError>;

/// Every group: a module of its own.
const GROUPS: [(&str, Run); 13] = [
    ("c_api", c_api::run),
    ("calls", calls::run),
    ("channels", channels::run),
    ("channels_scaling", channels::run_scaling),
    ("coroutines", coroutines::run),
    ("coroutines_scaling", coroutines::run_scaling),
    ("gateway", gateway::run),
    ("ipc", ipc::run),
    ("ipc_scaling", ipc::run_scaling),
    ("lab", lab::run),
    ("monitor", monitor::run),
    ("process", process::run),
    ("zcopy", zcopy::run),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), BenchError> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let [serve, name, workers] = words.as_slice()
        && serve == child::SERVE
    {
        return child::serve(name, workers.parse().unwrap_or(1));
    }
    if let Some((serve, rest)) = words.split_first()
        && serve == ipc::child::SERVE
    {
        return ipc::columns::serve(rest);
    }
    if let [serve, cpu] = words.as_slice()
        && serve == process::SERVE
    {
        return process::serve(cpu);
    }
    if let [serve, path] = words.as_slice()
        && serve == process::grpc::SERVE
    {
        return process::grpc::serve(path);
    }
    let arguments = Arguments::read(&words)?;
    let machine = Machine::read();
    let mut behind = 0;
    for (_, run) in &arguments.groups {
        let group = run(arguments.plan)?;
        println!("## {}\n\n{machine}\n{}\n{}", group.title, group.table(), group.notes);
        match arguments.mode {
            Mode::Write => println!("written to {}\n", group.write(&machine)?.display()),
            Mode::Check => behind += group.check()?,
            Mode::Look => {}
        }
    }
    if behind > 0 {
        return Err(BenchError::Regression { count: behind, percent: TOLERANCE_PERCENT });
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Rewrite the tables.
    Write,
    /// Compare with the tables.
    Check,
    /// Print only.
    Look,
}

struct Arguments<'a> {
    groups: Vec<(&'static str, Run)>,
    plan: Plan<'a>,
    mode: Mode,
}

impl<'a> Arguments<'a> {
    fn read(words: &'a [String]) -> Result<Self, BenchError> {
        let mut read = Self { groups: Vec::new(), plan: Plan::FULL, mode: Mode::Write };
        let unknown = |word: &str| BenchError::Usage { argument: word.to_owned(), usage: usage() };
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "--check" => read.mode = Mode::Check,
                "--quick" => {
                    read.plan = Plan { only: read.plan.only, ..Plan::QUICK };
                    read.mode = Mode::Look;
                }
                // A table with some of its rows only is not for keeping.
                "--only" => {
                    read.plan.only = Some(words.next().ok_or_else(|| unknown(word))?);
                    if read.mode == Mode::Write {
                        read.mode = Mode::Look;
                    }
                }
                name => match GROUPS.iter().find(|(known, _)| *known == name) {
                    Some(group) => read.groups.push(*group),
                    None => return Err(unknown(name)),
                },
            }
        }
        if read.groups.is_empty() {
            read.groups.extend(GROUPS);
        }
        Ok(read)
    }
}

fn usage() -> String {
    let groups = GROUPS.map(|(name, _)| name).join("|");
    format!("cargo xtask bench [{groups}]… [--check | --quick] [--only PART_OF_A_ROW]")
}
