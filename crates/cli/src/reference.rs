// SPDX-License-Identifier: BSD-3-Clause
//! `docs/src/cli.md`, generated from the help of the command. The test fails when the two differ;
//! `SNAPSHOTS=overwrite cargo test -p becket --features cluster --bin becket reference` updates the page.

use clap::{Command, CommandFactory};

use crate::args::Cli;
use crate::exit::{Exit, LAB};

const INTRODUCTION: &str = "\
<!-- SPDX-License-Identifier: BSD-3-Clause -->
# The command `becket`

Data goes to stdout, everything else to stderr: logs, progress, failures. Colours show on a terminal
alone, and not with `NO_COLOR`. With `--json`, stdout carries JSON: one object, or one a line for
streams; a failure is one JSON object on stderr, with `error`, `cause`, `hint`, `kind` and `exit_code`.

A failure has up to three lines: `error:` what failed with which value, `cause:` why, `hint:` what to
try.

Every command takes the global options listed under `becket`.
";

const ENVIRONMENT: &str = "\
## Environment

| variable | what it does |
|---|---|
| `RUST_LOG` | what to log, without `--log-level`: a level, or targets such as `warn,becket::call=debug` |
| `NO_COLOR` | set to anything but nothing: no colours |
| `TERM=dumb` | no colours |

[When something does not work](using/debugging.md) lists the log targets.
";

fn render() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("\n## Exit codes\n\n| code | word in JSON | meaning |\n|---|---|---|\n");
    for exit in Exit::ALL {
        page.push_str(&format!("| {} | `{}` | {} |\n", exit.code(), exit.word(), exit.meaning()));
    }
    page.push_str("\n`becket check` and `becket lab` have codes of their own:\n");
    page.push_str("\n| code | word in JSON | meaning |\n|---|---|---|\n");
    for exit in LAB.map(Exit::Lab).into_iter().chain([Exit::Interrupted]) {
        page.push_str(&format!("| {} | `{}` | {} |\n", exit.code(), exit.word(), exit.meaning()));
    }
    page.push('\n');
    page.push_str(ENVIRONMENT);
    let mut root = Cli::command().term_width(100);
    root.build();
    add(&root, &mut page);
    page
}

/// Adds a command's help, then that of its subcommands, without the parts that the page has only
/// once: the exit codes, and the global options except at the root.
fn add(command: &Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let end = if name == "becket" { "Exit codes:" } else { "Global options:" };
    let help = command.clone().render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).take_while(|line| *line != end).collect();
    page.push_str(&format!("\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        add(inner, page);
    }
}

#[test]
fn the_reference_page_says_what_the_command_says() {
    let page = snapbox::Data::read_from(
        std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/cli.md")),
        Some(snapbox::data::DataFormat::Text),
    );
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(render(), page);
}
