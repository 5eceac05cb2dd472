// SPDX-License-Identifier: BSD-3-Clause
//! Plugins that are programs: the commands take one by its file, and the server follows its changes.

use std::fs;
use std::path::PathBuf;

use snapbox::str;
use tempfile::TempDir;

use crate::serve::{Server, curl};
use crate::support::{becket, root};

/// A project of `plugin new --lang python`; its program.
fn project(dir: &TempDir) -> PathBuf {
    let project = dir.path().join("greeter");
    let mut new = becket();
    new = new.args(["plugin", "new", "--lang", "python", "greeter", "--dir"]).arg(&project);
    new.assert().success();
    project.join("plugin.py")
}

#[test]
fn a_changed_program_is_started_without_a_signal() {
    let dir = TempDir::new().unwrap();
    let program = project(&dir);
    let text = fs::read_to_string(&program).unwrap();
    let mut server = Server::start(&["--plugin", &format!("greeter={}", program.display())]);
    let greeting = server.greeting().join("\n");
    let listen = greeting.split("http://").nth(1).unwrap();
    let listen = listen.split(['/', ' ', '\n']).next().unwrap().to_owned();
    let hello = || curl(&format!("http://{listen}/greeter/hello"));
    assert_eq!(hello(), "Hello, world");

    fs::write(&program, text.replace("Hello", "Salut")).unwrap();
    server.says("reloaded: its file changed");
    assert_eq!(hello(), "Salut, world");

    fs::write(&program, "this is not Python\n").unwrap();
    server.says("not reloaded: what was loaded goes on");
    assert_eq!(hello(), "Salut, world");
}

#[test]
fn a_program_is_inspected_and_has_no_layout() {
    let dir = TempDir::new().unwrap();
    let program = project(&dir);
    let shown = becket().args(["plugin", "inspect"]).arg(&program).assert().success();
    let shown = String::from_utf8(shown.get_output().stdout.clone()).unwrap();
    assert!(shown.starts_with("greeter 0.1.0\n"), "{shown}");
    assert!(shown.contains("hello      unary          greets whom the payload names\n"), "{shown}");
    for command in ["inspect", "check"] {
        becket()
            .args(["plugin", command, "--layout", "raw", "plugin.py"])
            .current_dir(program.parent().unwrap())
            .assert()
            .code(2)
            .stdout_eq("")
            .stderr_eq(str![[r#"
error: plugin.py is a program
cause: it has no function table, and so no layout of one
hint:  leave `--layout` out

"#]]);
    }
}

#[test]
fn a_program_that_does_not_start_says_why() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("plugin.py"), "import no_such_module\n").unwrap();
    let called = becket()
        .args(["plugin", "call", "plugin.py", "hello"])
        .current_dir(dir.path())
        .assert()
        .stdout_eq("");
    let said = String::from_utf8(called.get_output().stderr.clone()).unwrap();
    assert!(said.contains("error: ") && said.contains("no_such_module"), "{said}");
}

/// Its entry `slow` waits longer than a check does by default.
#[test]
fn the_sample_in_python_passes() {
    let sample = root().join("examples/plugins/python/plugin.py");
    becket().args(["plugin", "check", "--skip", "slow"]).arg(sample).assert().success();
}
