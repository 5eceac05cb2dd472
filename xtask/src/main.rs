// SPDX-License-Identifier: BSD-3-Clause
//! The project's own commands: `cargo xtask run`, `cargo xtask test` and what they are made of.
//!
//! | module | what lives there |
//! |---|---|
//! | `commands` | one file a command |
//! | `steps` | what `cargo xtask test` does, one file a subject, and the runner |
//! | `checks` | rules of this repository that no other tool knows |
//! | `samples` | builds the sample plugin of each language |
//! | `example` | builds the filters of `examples/gateway` |
//! | `zoo` | builds the deliberately broken plugins |
//! | `browser` | Chromium without a window |
//! | `nightly` | the toolchain of miri, the sanitizers, the fuzzer and `cross` |
//! | `tools` | Go, Zig and cargo tools: found, or fetched into `.tools/` |
//! | `context` | paths of the repository and of builds, and the tools |
//! | `process` | running a program, output to the screen or to a log |
//! | `error` | errors, with causes and hints |
#![forbid(unsafe_code)]

mod browser;
mod checks;
mod commands;
mod context;
mod error;
mod example;
mod nightly;
mod process;
mod samples;
mod steps;
mod tools;
mod zoo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::Context;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the gateway and the sample plugin in each language, and serve them.
    Run(commands::run::Arguments),
    /// Build an example and serve it: `cargo xtask example gateway`.
    Example(commands::example::Arguments),
    /// Everything that CI runs, as named steps.
    Test(commands::test::Arguments),
    /// Fetch tools that are missing into .tools/: `cargo xtask tools go zig`.
    Tools(commands::tools::Arguments),
    /// Build the sample plugin in each language into target/plugins/.
    Plugins,
    /// Build the deliberately broken plugins into target/zoo/.
    Zoo,
    /// Run the benchmarks, side by side with their peers.
    Bench(commands::bench::Arguments),
    /// The load proof: unary load, a thousand chats, reloads under load, the zoo under load.
    Load(commands::load::Arguments),
    /// The models of becket-chan and becket-coro under every interleaving.
    Loom(commands::loom::Arguments),
    /// Tests of channels, zero copy and coroutines in miri: undefined behaviour, races, leaks. Needs nightly Rust.
    Miri(commands::miri::Arguments),
    /// Tests of becket-chan and becket-coro under AddressSanitizer and ThreadSanitizer. Needs nightly Rust.
    Sanitize(commands::sanitize::Arguments),
    /// becket-coro on other processors, by qemu. Needs nightly Rust and cross compilers.
    Cross(commands::cross::Arguments),
    /// The long stress: `cargo xtask soak chan`.
    Soak(commands::soak::Arguments),
    /// kill -9 of servers and clients of channels between processes, under load.
    IpcDeath(commands::ipc_death::Arguments),
    /// What a call to a plugin in another process costs, in instructions.
    ProcessCalls(commands::process_calls::Arguments),
    /// Ends of plugins' processes, measured; kill -9 of their workers and hosts, under load.
    ProcessDeath(commands::process_death::Arguments),
    /// Three servers and three gateways on loopback: a node is killed, and what was lost is counted.
    ClusterDemo(commands::cluster_demo::Arguments),
    /// Install the C library libkcoro: headers, shared and static library, pkg-config, CMake.
    Install(commands::install::Arguments),
    /// Make packages: a tarball and a .deb with everything, the same bytes each time.
    Dist(commands::dist::Arguments),
    /// Bugs on purpose, in a copy of this repository, which the lab has to find.
    Planted(commands::planted::Arguments),
    /// Hostile bytes for the decoders and state machines of protocols. Needs nightly Rust.
    Fuzz(commands::fuzz::Arguments),
    /// Open the admin page in headless Chromium, check what it shows, take its picture.
    Page(commands::page::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Only these may bring something onto the machine; the others name what lacks.
    let fetch = matches!(
        arguments.command,
        Command::Run(_)
            | Command::Example(_)
            | Command::Test(_)
            | Command::Tools(_)
            | Command::ClusterDemo(_)
    );
    let done = Context::discover(fetch).and_then(|context| match arguments.command {
        Command::Run(arguments) => commands::run::run(&context, arguments),
        Command::Example(arguments) => commands::example::run(&context, arguments),
        Command::Test(arguments) => commands::test::run(context, arguments),
        Command::Tools(arguments) => commands::tools::run(&context, arguments),
        Command::Plugins => commands::plugins::run(&context),
        Command::Zoo => commands::zoo::run(&context),
        Command::Bench(arguments) => commands::bench::run(&context, arguments),
        Command::Load(arguments) => commands::load::run(&context, arguments),
        Command::Loom(arguments) => commands::loom::run(&context, arguments),
        Command::Miri(arguments) => commands::miri::run(&context, arguments),
        Command::Sanitize(arguments) => commands::sanitize::run(&context, arguments),
        Command::Cross(arguments) => commands::cross::run(&context, arguments),
        Command::Soak(arguments) => commands::soak::run(&context, arguments),
        Command::IpcDeath(arguments) => commands::ipc_death::run(&context, arguments),
        Command::ProcessCalls(arguments) => commands::process_calls::run(&context, arguments),
        Command::ProcessDeath(arguments) => commands::process_death::run(&context, arguments),
        Command::ClusterDemo(arguments) => commands::cluster_demo::run(&context, arguments),
        Command::Install(arguments) => commands::install::run(&context, arguments),
        Command::Dist(arguments) => commands::dist::run(&context, arguments),
        Command::Planted(arguments) => commands::planted::run(&context, arguments),
        Command::Fuzz(arguments) => commands::fuzz::run(&context, arguments),
        Command::Page(arguments) => commands::page::run(&context, arguments),
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", error.report());
            ExitCode::FAILURE
        }
    }
}
