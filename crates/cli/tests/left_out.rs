// SPDX-License-Identifier: BSD-3-Clause
//! A build without some commands: each of them fails with the feature that it needs and the way to
//! get it, and never as a mistake of the user. In a build that has them all there is nothing to
//! test: `cargo test -p becket --no-default-features --test left_out`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

/// Each command with its feature, and whether this build has that.
const COMMANDS: [(&str, &str, bool); 5] = [
    ("check", "lab", cfg!(feature = "lab")),
    ("cluster", "cluster", cfg!(feature = "cluster")),
    ("ipc", "ipc", cfg!(feature = "ipc")),
    ("lab", "lab", cfg!(feature = "lab")),
    ("mon", "ipc", cfg!(feature = "ipc")),
];

fn becket(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_becket")).args(args).output().unwrap()
}

/// What `asked` fails with, after its first line.
fn refused(asked: &[&str], name: &str, feature: &str) -> String {
    let output = becket(asked);
    assert_eq!(output.status.code(), Some(2), "{asked:?}");
    assert!(output.stdout.is_empty(), "{asked:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], format!("error: `becket {name}` is not in this build"));
    assert!(
        lines[1].starts_with("cause: ") && lines[1].contains(&format!("`{feature}`")),
        "{text}"
    );
    assert!(lines[2].starts_with("hint:  ") && lines[2].contains("cargo install"), "{text}");
    assert_eq!(lines.len(), 3, "{text}");
    text
}

#[test]
fn a_command_that_is_left_out_says_how_to_get_it() {
    for (name, feature, _) in COMMANDS.into_iter().filter(|(_, _, is_built)| !is_built) {
        refused(&[name], name, feature);
        refused(&[name, "--help"], name, feature);
        let text = refused(&[name, "plugin", "--quick", "my plugin.so"], name, feature);
        assert!(text.contains(&format!("-- {name} plugin --quick 'my plugin.so'`")), "{text}");
        let output = becket(&[name, "list", "--json"]);
        let failure: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(failure["kind"], "usage");
        assert_eq!(failure["error"], format!("`becket {name}` is not in this build"));
    }
}

#[test]
fn serve_refuses_a_cluster_that_it_cannot_reach() {
    if cfg!(not(feature = "cluster")) {
        let asked = ["serve", "--cluster", "nats://127.0.0.1:4222"];
        let text = refused(&asked, "serve --cluster", "cluster");
        assert!(text.contains("--features cluster"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("becket.toml");
        std::fs::write(&file, "[plugins.a]\nplacement = \"cluster\"\n").unwrap();
        refused(&["serve", "--config", file.to_str().unwrap()], "serve --cluster", "cluster");
    }
}

#[test]
fn serve_refuses_a_monitor_that_it_cannot_answer() {
    if cfg!(not(feature = "ipc")) {
        refused(&["serve", "--monitor", "/nonexistent/socket"], "serve --monitor", "ipc");
    }
}

/// What a command fails with that is given this configuration, which needs a feature.
fn refuses(lines: &str, feature: &str, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("becket.toml");
    std::fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    for asked in [&["config", "check", file][..], &["serve", "--config", file]] {
        let output = becket(asked);
        assert_eq!(output.status.code(), Some(6), "{asked:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&format!(":1:1: {what}")), "{text}");
        let cause = format!("cause: it was built without the feature `{feature}`");
        assert!(text.contains(&cause) && text.contains("hint:"), "{text}");
    }
}

#[test]
fn a_configuration_with_tls_says_which_feature_it_needs() {
    if cfg!(not(feature = "tls")) {
        let lines = "[tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n";
        refuses(lines, "tls", "[tls] is set, and this program has no TLS");
    }
}

#[test]
fn a_configuration_with_traces_says_which_feature_it_needs() {
    if cfg!(not(feature = "otlp")) {
        refuses("[trace]\n", "otlp", "[trace] is set, and this program exports no spans");
    }
}

#[test]
fn the_help_names_every_command_and_marks_those_that_are_left_out() {
    let help = String::from_utf8(becket(&["--help"]).stdout).unwrap();
    for (name, _, is_built) in COMMANDS {
        let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {help}"));
        assert_eq!(line.contains("Not in this build"), !is_built, "{line}");
    }
}
