// SPDX-License-Identifier: BSD-3-Clause
//! Group `cluster`: channels and plugins over NATS, beside the bare client doing the same work on the same
//! server.
//!
//! `cargo xtask bench cluster` runs this and rewrites the group's table in `bench/RESULTS.md`.
//!
//! | module | what lives there |
//! |---|---|
//! | [`rows`] | the cases, their windows and consumers, the table |
//! | [`drive`] | operations in flight, rounds in turns |
//! | [`side`] | an operation of a side, and its check |
//! | [`ours`] | Becket's side |
//! | [`bare`] | the side of async-nats |
//! | [`server`] | a server on loopback, with a folder of its own |
//! | [`instructions`] | what one operation costs the client, counted by callgrind |
//! | `error`, `harness`, `machine`, `report` | those of the other groups |

mod bare;
mod drive;
#[path = "../../src/error.rs"]
#[allow(dead_code, reason = "shared with the other groups")]
mod error;
#[path = "../../src/harness.rs"]
#[allow(dead_code, reason = "shared with the other groups")]
mod harness;
mod instructions;
#[path = "../../src/machine.rs"]
#[allow(dead_code, reason = "shared with the other groups")]
mod machine;
mod ours;
#[path = "../../src/report.rs"]
#[allow(dead_code, reason = "shared with the other groups")]
mod report;
mod rows;
mod server;
mod side;

use std::process::ExitCode;

use crate::error::BenchError;
use crate::machine::Machine;
use crate::report::TOLERANCE_PERCENT;

/// The folder of `RESULTS.md`.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const USAGE: &str = "cargo xtask bench cluster [--check | --quick] [--only PART_OF_A_ROW]";

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
    if let Some((instructions::ONCE, rest)) =
        words.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        return instructions::once(rest);
    }
    let (mut is_check, mut is_quick, mut only) = (false, false, None);
    let unknown = |word: &str| BenchError::Usage { argument: word.into(), usage: USAGE.into() };
    let mut rest = words.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        match word {
            "cluster" => {}
            "--check" => is_check = true,
            "--quick" => is_quick = true,
            "--only" => only = Some(rest.next().ok_or_else(|| unknown(word))?),
            _ => return Err(unknown(word)),
        }
    }
    let group = rows::run(is_quick, only)?;
    let machine = Machine::read();
    println!("## {}\n\n{machine}\n{}\n{}", group.title, group.table(), group.notes);
    if is_check {
        let count = group.check()?;
        if count > 0 {
            return Err(BenchError::Regression { count, percent: TOLERANCE_PERCENT });
        }
    } else if !is_quick && only.is_none() {
        println!("written to {}\n", group.write(&machine)?.display());
    }
    Ok(())
}
