// SPDX-License-Identifier: BSD-3-Clause
//! Plugins that are programs: the commands take one by its file, and the server follows its changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use becket_host::{Host, PluginSpec};
use becket_process::sandbox::Profile;
use becket_process::{Confinement, Process};
use futures_lite::future::block_on;
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

/// Calls the entry `hello` of a server that has started.
fn hello(server: &mut Server, plugin: &str) -> impl Fn() -> String + use<> {
    let greeting = server.greeting().join("\n");
    let listen = greeting.split("http://").nth(1).unwrap();
    let listen = listen.split(['/', ' ', '\n']).next().unwrap();
    let url = format!("http://{listen}/{plugin}/hello");
    move || curl(&url)
}

#[test]
fn a_changed_program_is_started_without_a_signal() {
    let dir = TempDir::new().unwrap();
    let program = project(&dir);
    let text = fs::read_to_string(&program).unwrap();
    let mut server = Server::start(&["--plugin", &format!("greeter={}", program.display())]);
    let hello = hello(&mut server, "greeter");
    assert_eq!(hello(), "Hello, world");

    fs::write(&program, text.replace("Hello", "Salut")).unwrap();
    server.says("reloaded: its file changed");
    assert_eq!(hello(), "Salut, world");

    fs::write(&program, "this is not Python\n").unwrap();
    server.says("not reloaded: what was loaded goes on");
    assert_eq!(hello(), "Salut, world");
}

/// The server's working directory is another: the script, what it reads and what is watched are in the folder of
/// the configuration.
#[test]
fn a_program_runs_in_the_folder_of_its_configuration() {
    for sandbox in ["default", "strict"] {
        let dir = TempDir::new().unwrap();
        let script = dir.path().join("greeter.sh");
        let text = "#!/bin/sh\nread -r _\n\
             printf '%s\\n' '{\"becket\":1,\"name\":\"g\",\"version\":\"1\",\"entries\":[\"hello\"]}'\n\
             while IFS=, read -r id _; do read -r word < word.txt\n\
             printf '%s,\"body\":\"%s\"}\\n' \"$id\" \"$word\"; done\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("word.txt"), "Ahoy\n").unwrap();
        let config = dir.path().join("becket.toml");
        let table = format!(
            "[plugins.g]\ncommand = [\"./greeter.sh\"]\nprotocol = \"json-lines\"\n\
             [plugins.g.sandbox]\nprofile = \"{sandbox}\"\nread = [\"word.txt\", \"/bin/sh\"]\n"
        );
        fs::write(&config, table).unwrap();
        let mut server = Server::start(&["--config", config.to_str().unwrap()]);
        let hello = hello(&mut server, "g");
        assert_eq!(hello(), "Ahoy", "{sandbox}");
        fs::write(&script, text.replace("$word", "$word!")).unwrap();
        server.says("reloaded: its file changed");
        assert_eq!(hello(), "Ahoy!", "{sandbox}");
    }
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

#[test]
fn the_samples_pass_a_check_without_options() {
    for sample in ["python/plugin.py", "node/plugin.js"] {
        let sample = root().join("examples/plugins").join(sample);
        becket().args(["plugin", "check"]).arg(sample).assert().success();
    }
}

/// Each with what its interpreter prints of its own place, and the SDK.
#[test]
fn the_samples_run_in_the_strict_sandbox() {
    let folder = "import os, sys; print(os.path.realpath(sys.executable)); print(sys.base_prefix)";
    let twice = "console.log(process.execPath); console.log(process.execPath)";
    for (ask, sample, sdk) in [
        (["python3", "-c", folder], "python/plugin.py", "sdk/python"),
        (["node", "-e", twice], "node/plugin.js", "sdk/node"),
    ] {
        let place = std::process::Command::new(ask[0]).args(&ask[1..]).output().unwrap();
        let place = String::from_utf8(place.stdout).unwrap();
        let mut place = place.lines();
        let (program, folder) = (place.next().unwrap(), place.next().unwrap());
        let script = root().join("examples/plugins").join(sample);
        let mut confinement = Confinement::default();
        confinement.sandbox.profile = Profile::Strict;
        confinement.sandbox.readable = vec![root().join(sdk)];
        // What is below /usr/lib can be read in any case, and the rest of /usr is not needed.
        confinement.sandbox.readable.extend((folder != "/usr").then(|| folder.into()));
        let worker = vec![env!("CARGO_BIN_EXE_becket").into(), "plugin-worker".into()];
        let process = Process::program(worker, vec![program.into(), script.into()]);
        let spec = PluginSpec::remote("strict", Arc::new(process.confined(confinement)));
        let host = Host::new();
        let plugin =
            host.load(spec).unwrap_or_else(|error| panic!("{sample}: {:?}", error.cause()));
        let answer = block_on(plugin.call_raw("echo", b"hi")).unwrap();
        assert_eq!(&*answer.body, b"hi");
    }
}

/// A configuration of 64 KiB is among those that a plugin must take or refuse.
#[test]
fn the_samples_take_any_configuration() {
    for sample in ["python/plugin.py", "node/plugin.js"] {
        let sample = root().join("examples/plugins").join(sample);
        becket().args(["check", "plugin", "--rule", "PLG-07"]).arg(sample).assert().success();
    }
}
