// SPDX-License-Identifier: BSD-3-Clause
//! Wrong arguments, completions, the manual, the configuration.

use snapbox::str;
use tempfile::TempDir;

use crate::support::becket;

#[test]
fn nothing_to_do_shows_the_commands() {
    becket().assert().code(2).stdout_eq("").stderr_eq(str![[r#"
Runs plugins written in any language behind HTTP

Usage: becket [OPTIONS] <COMMAND>
...
"#]]);
}

#[test]
fn an_unknown_command_names_the_nearest() {
    becket().args(["plugin", "cal"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: unrecognized subcommand 'cal'
hint:  a similar subcommand exists: 'call'

"#]]);
}

#[test]
fn a_missing_argument_shows_the_usage() {
    becket().args(["plugin", "call"]).assert().code(2).stderr_eq(str![[r#"
error: the following required arguments were not provided: <PATH> <ENTRY>
hint:  usage: becket plugin call <PATH> <ENTRY>

"#]]);
}

#[test]
fn a_wrong_value_says_why() {
    becket().args(["serve", "--plugin", "x"]).assert().code(2).stderr_eq(str![[r#"
error: invalid value 'x' for '--plugin <NAME=PATH>'
cause: write it as NAME=PATH, such as hello=target/release/libhello.so
hint:  `--help` says what is expected

"#]]);
}

#[test]
fn with_json_a_failure_is_one_object() {
    becket().args(["--json", "plugin", "cal"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
{"error":"unrecognized subcommand 'cal'","hint":"a similar subcommand exists: 'call'","kind":"usage","exit_code":2}

"#]]);
}

#[test]
fn colours_only_when_someone_sees_them() {
    becket().arg("frobnicate").assert().code(2).stderr_eq(str![[r#"
error: unrecognized subcommand 'frobnicate'
hint:  usage: becket [OPTIONS] <COMMAND>

"#]]);
    let shown = becket().arg("frobnicate").env("CLICOLOR_FORCE", "1").assert().code(2);
    assert!(shown.get_output().stderr.contains(&0x1b));
    let unwanted = becket().arg("frobnicate").env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    assert!(!unwanted.assert().get_output().stderr.contains(&0x1b));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = becket().args(["completions", shell]).assert().success();
        let script = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
        assert!(script.contains("inspect"), "{shell}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let dir = TempDir::new().unwrap();
    becket().args(["man", "--dir"]).arg(dir.path()).assert().success().stdout_eq("");
    for page in ["becket.1", "becket-serve.1", "becket-plugin-call.1"] {
        assert!(dir.path().join(page).is_file(), "{page}");
    }
    becket().arg("man").assert().success().stdout_eq(str![[r#"
...
.TH becket 1  "becket [..]" 
...
"#]]);
}

#[test]
fn the_example_configuration_is_correct() {
    let dir = TempDir::new().unwrap();
    let example = becket().args(["config", "example"]).assert().success();
    std::fs::write(dir.path().join("becket.toml"), &example.get_output().stdout).unwrap();
    becket()
        .args(["config", "check"])
        .current_dir(dir.path())
        .assert()
        .success()
        .stderr_eq("")
        .stdout_eq(str![[r#"
ok becket.toml: [..] plugin[..], [..] route[..]

"#]]);
}

#[test]
fn a_wrong_configuration_shows_the_line() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("becket.toml"), "\nlistn = \"127.0.0.1:8080\"\n").unwrap();
    let check = || becket().args(["config", "check"]).current_dir(dir.path());
    check().assert().code(6).stdout_eq("").stderr_eq(str![[r#"
error: becket.toml:2:1: unknown key `listn`
  |
2 | listn = "127.0.0.1:8080"
  | ^^^^^
hint:  did you mean `listen`?

"#]]);
    check().arg("--json").assert().code(6).stdout_eq("").stderr_eq(str![[r#"
{"error":"becket.toml:2:1: unknown key `listn`","hint":"did you mean `listen`?","kind":"config","exit_code":6}

"#]]);
}

#[test]
fn a_missing_configuration_says_which() {
    becket().args(["config", "check", "none.toml"]).assert().code(6).stderr_eq(str![[r#"
error: cannot read the configuration `none.toml`
cause: No such file or directory (os error 2)
hint:  check the path, or start without --config

"#]]);
}
