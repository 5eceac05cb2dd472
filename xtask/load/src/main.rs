// SPDX-License-Identifier: BSD-3-Clause
//! The load proof: loads under which a real gateway must lose nothing.
//!
//! | phase | load | must hold |
//! |---|---|---|
//! | `unary` | wrk, 2 threads, 64 connections | no request failed, memory flat |
//! | `chats` | 1000 WebSockets at once, in each language | no message lost, repeated or changed |
//! | `reload` | wrk, a new plugin file a second | no request failed, each file ran, memory flat |
//! | `zoo` | wrk on one plugin, each broken one beside it | no request failed, the gateway stays |
//!
//! Every phase has a gateway of its own, in a process of its own, which must also end well.
//! `cargo xtask load` builds what this needs and runs it.
#![forbid(unsafe_code)]

mod chats;
mod error;
mod gateway;
mod http;
mod memory;
mod phases;
mod wrk;
mod zoo;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::error::Error;
use crate::phases::Verdict;

/// The load proof.
#[derive(Debug, Parser)]
struct Arguments {
    /// The command `becket`.
    #[arg(long)]
    becket: PathBuf,
    /// The folder of the sample plugins.
    #[arg(long)]
    samples: PathBuf,
    /// The folder of the broken plugins.
    #[arg(long)]
    zoo: PathBuf,
    /// What is known of the broken plugins: zoo.toml.
    #[arg(long)]
    zoo_index: PathBuf,
    /// Only these phases.
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    /// How long the phase `unary` lasts.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    unary_seconds: u64,
    /// How long the phase `reload` lasts.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    reload_seconds: u64,
    /// How many chats at once.
    #[arg(long, default_value_t = 1000)]
    chats: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut failed = 0;
    let mut passed = 0;
    for name in ["unary", "chats", "reload", "zoo"] {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        println!("{name}");
        let begun = Instant::now();
        let verdict = phase(name, &arguments).await;
        let seconds = begun.elapsed().as_secs_f64();
        match verdict {
            Ok(verdict) => {
                for line in &verdict.said {
                    println!("  {line}");
                }
                for line in &verdict.broken {
                    println!("  NOT HELD: {line}");
                }
                if verdict.broken.is_empty() {
                    passed += 1;
                    println!("  held, in {seconds:.1} s");
                } else {
                    failed += 1;
                }
            }
            Err(error) => {
                failed += 1;
                println!("  NOT HELD: {error}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn phase(name: &str, arguments: &Arguments) -> Result<Verdict, Error> {
    let bench = phases::Bench::new(&arguments.becket, &arguments.samples, name == "reload")?;
    match name {
        "unary" => phases::unary(&bench, arguments.unary_seconds).await,
        "chats" => phases::chats(&bench, arguments.chats).await,
        "reload" => phases::reload(&bench, arguments.reload_seconds).await,
        _ => zoo::beside_load(&bench, &arguments.zoo, &arguments.zoo_index).await,
    }
}
