// SPDX-License-Identifier: BSD-3-Clause
//! Becket beside its peers: the same work, in the same process, in turns, every result checked.
//!
//! `cargo xtask bench [GROUP…]` runs this and rewrites the groups' tables in `bench/RESULTS.md`.
//!
//! | module | what lives there |
//! |---|---|
//! | [`calls`] | group `calls`: plugin calls, beside nylon-ring-host |
//! | [`gateway`] | group `gateway`: HTTP in front of a plugin, beside hyper by itself |
//! | [`harness`] | taking turns, medians |
//! | [`report`] | tables, `RESULTS.md`, `--check` |
//! | [`machine`] | what stands above a table; keeping a thread on a CPU |
//! | [`spin`] | an executor that stays awake |
//! | [`error`] | what can go wrong |

mod calls;
mod error;
mod gateway;
mod harness;
mod machine;
mod report;
mod spin;

use std::process::ExitCode;

use crate::error::BenchError;
use crate::harness::Plan;
use crate::machine::Machine;
use crate::report::{Group, TOLERANCE_PERCENT};

type Run = fn(Plan) -> Result<Group, BenchError>;

/// Every group: a module of its own.
const GROUPS: [(&str, Run); 2] = [("calls", calls::run), ("gateway", gateway::run)];

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
    let arguments = Arguments::read(std::env::args().skip(1))?;
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

struct Arguments {
    groups: Vec<(&'static str, Run)>,
    plan: Plan,
    mode: Mode,
}

impl Arguments {
    fn read(arguments: impl Iterator<Item = String>) -> Result<Self, BenchError> {
        let mut read = Self { groups: Vec::new(), plan: Plan::FULL, mode: Mode::Write };
        for argument in arguments {
            match argument.as_str() {
                "--check" => read.mode = Mode::Check,
                "--quick" => (read.plan, read.mode) = (Plan::QUICK, Mode::Look),
                name => match GROUPS.iter().find(|(known, _)| *known == name) {
                    Some(group) => read.groups.push(*group),
                    None => return Err(BenchError::Usage { argument, usage: usage() }),
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
    format!("cargo xtask bench [{groups}]… [--check | --quick]")
}
