// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the Rust workspace.

use std::path::PathBuf;
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::browser::Browser;
use crate::commands::{pingora, run};
use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo, probe};
use crate::{example, samples, zoo};

/// Features besides the default ones. Not all of them: `sanitizer` and `threads` of becket-coro are
/// only for tools.
const FEATURES: &str = "--features=becket-chan/sink,becket/cluster,becket/otlp";

pub(super) fn format(context: &Context, output: &mut Output) -> Result<(), Error> {
    output.run(workspace(context).args(["fmt", "--all", "--check"]))?;
    let mut pingora = cargo();
    output.run(pingora.current_dir(context.path(pingora::FOLDER)).args(["fmt", "--check"]))
}

pub(super) fn clippy(context: &Context, output: &mut Output) -> Result<(), Error> {
    output.run(
        workspace(context)
            .args(["clippy", "--workspace", "--all-targets", "--locked", FEATURES])
            .args(["--", "-D", "warnings"]),
    )?;
    // The stand-in for stack switches, which replaces the real ones.
    output.run(
        workspace(context)
            .args(["clippy", "--package=becket-coro", "--lib", "--features=threads", "--locked"])
            .args(["--", "-D", "warnings"]),
    )
}

/// Licences, banned crates, and where dependencies come from. Advisories are left to a schedule:
/// they change without a change here, and must not turn an old commit red.
pub(super) fn deny(context: &Context, output: &mut Output) -> Result<(), Error> {
    let deny = context.tools.cargo_deny(output)?;
    for folder in [context.root().to_owned(), context.path(pingora::FOLDER)] {
        output.run(Command::new(deny).current_dir(folder).args([
            "check",
            "--hide-inclusion-graph",
            "bans",
            "licenses",
            "sources",
        ]))?;
    }
    Ok(())
}

/// The environment variable that makes tests run in their long form.
const LONG: &str = "BECKET_TEST_LONG";

/// Builds the command with the features that the step `tests` has, so that nothing is compiled
/// twice. They are those of the workspace and of its tests; one test is named, or cargo would leave
/// out the features of tests.
pub(crate) fn becket(context: &Context, output: &mut Output) -> Result<PathBuf, Error> {
    output.run(
        workspace(context)
            .args(["build", "--workspace", "--locked", FEATURES])
            .args(["--bin=becket", "--test=left_out"]),
    )?;
    Ok(context.target().join("debug").join("becket"))
}

/// Unit and integration tests, with the samples, the zoo, the browser and the NATS server that they
/// expect. Without one of them the tests still run; then the step fails and names what is missing.
pub(super) fn tests(context: &Context, output: &mut Output) -> Result<(), Error> {
    let browser = Browser::obtain(output);
    let samples = samples::build_stale(context, output);
    let without = example::build(context, &example::GATEWAY, output)?;
    let node = context.tools.node(output);
    let nats_server = context.tools.nats_server(output);
    zoo::build(context, output)?;
    let mut command = workspace(context);
    // nextest names a test that hangs; cargo's own runner is the substitute.
    if probe(cargo().args(["nextest", "--version"])).is_some() {
        // What a failed test printed comes last once more, where the end of the log is shown.
        command.args(["nextest", "run", "--no-fail-fast", "--failure-output=immediate-final"]);
        command.arg(format!("--test-threads={}", test_threads()));
        // On a busy machine. The summary names each test that needed it.
        command.arg("--retries=1");
        // How long a test may take: .config/nextest.toml.
        command.arg(format!("--profile={}", if context.is_full { "full" } else { "default" }));
    } else {
        command.args(["test", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"]);
    }
    command
        .args(["--workspace", "--locked", FEATURES])
        .env("BECKET_SAMPLES_DIR", samples::folder(context))
        .env("BECKET_GATEWAY_EXAMPLE_DIR", example::folder(context, &example::GATEWAY))
        .env("BECKET_ZOO_DIR", zoo::folder(context))
        .env("PATH", crate::process::path_with(node.as_ref().ok().copied()));
    if let Ok(server) = &nats_server {
        command.env("BECKET_NATS_SERVER", server);
    }
    if context.is_full {
        command.env(LONG, "1");
    }
    let tested = output.run(&mut command);
    browser?;
    samples?;
    without.into_iter().next().map_or(Ok(()), |(_, missing)| Err(missing))?;
    node?;
    nats_server?;
    tested
}

/// Half as many tests again as there are processors: many wait most of their time, for deadlines of
/// plugins and processes.
fn test_threads() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    processors + processors.div_ceil(2)
}

/// The build of `cargo xtask run` has no warnings, nor has one with any single feature, and each
/// command that it leaves out explains that.
pub(super) fn serve_only(context: &Context, output: &mut Output) -> Result<(), Error> {
    for features in ["", "cluster", "ipc", "lab", "otlp", "process", "tls"] {
        output.run(
            workspace(context)
                .args(["clippy", "--package=becket", "--no-default-features", "--locked"])
                .args(["--features", features])
                .args(["--", "-D", "warnings"]),
        )?;
    }
    output.run(
        workspace(context)
            .args(["test", "--package=becket", "--no-default-features", "--profile", run::PROFILE])
            .args(["--locked", "--test=left_out"]),
    )
}

pub(super) fn doc_tests(context: &Context, output: &mut Output) -> Result<(), Error> {
    output.run(workspace(context).args(["test", "--workspace", "--doc", "--locked", FEATURES]))
}

/// Runs the inputs found by fuzzing, and the seeds, on stable Rust: no fuzzer is needed.
pub(super) fn fuzz_corpus(context: &Context, output: &mut Output) -> Result<(), Error> {
    output.run(
        workspace(context)
            .args(["test", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--test", "corpus"])
            .arg("--target-dir")
            .arg(context.target().join("fuzz-corpus")),
    )
}

/// Packs the crates that may be published: each names what it needs, by its version. In the long form each is also
/// built from its package alone.
pub(super) fn package(context: &Context, output: &mut Output) -> Result<(), Error> {
    let mut command = workspace(context);
    // What is not committed yet is packed too, to see whether it can be.
    command.args(["package", "--locked", "--allow-dirty"]);
    if !context.is_full {
        command.arg("--no-verify");
    }
    for package in
        context.metadata().get("packages").and_then(Value::as_array).into_iter().flatten()
    {
        if package.get("publish").is_some_and(Value::is_null)
            && let Some(name) = package.get("name").and_then(Value::as_str)
        {
            command.arg(format!("--package={name}"));
        }
    }
    output.run(&mut command)
}

pub(super) fn doc(context: &Context, output: &mut Output) -> Result<(), Error> {
    output.run(
        workspace(context)
            .args(["doc", "--workspace", "--no-deps", "--locked", FEATURES])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn workspace(context: &Context) -> Command {
    let mut command = cargo();
    command.current_dir(context.root());
    command
}
