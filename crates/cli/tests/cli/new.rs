// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin new`: the project works, in every language.

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use snapbox::str;
use tempfile::TempDir;

use crate::support::{becket, is_long, run, tool};

/// Makes a project, builds it with the first of `steps`, in the long form runs its own tests by the
/// others, and checks the result with `becket plugin check`.
fn works(lang: &str, library: &str, steps: &mut [Process]) {
    let dir = TempDir::new().unwrap();
    let project = dir.path().join("my-plugin");
    becket()
        .args(["plugin", "new", "--lang", lang, "my-plugin", "--dir"])
        .arg(&project)
        .assert()
        .success();
    stands_alone(&project);
    let count = if is_long() { steps.len() } else { 1 };
    for step in steps.iter_mut().take(count) {
        run(step.current_dir(&project));
    }
    loads(&project.join(library));
}

/// Checks the plugin, and calls its entries.
fn loads(library: &Path) {
    becket().args(["plugin", "check"]).arg(library).assert().success();
    becket()
        .args(["plugin", "call", "--data", "you"])
        .arg(library)
        .arg("hello")
        .assert()
        .success()
        .stdout_eq("Hello, you\n");
    becket()
        .args(["plugin", "call", "--config", r#"{"greeting":"Hi"}"#])
        .arg(library)
        .arg("hello")
        .assert()
        .success()
        .stdout_eq("Hi, world\n");
    becket()
        .args(["plugin", "call"])
        .arg(library)
        .arg("countdown")
        .assert()
        .success()
        .stdout_eq("3\n2\n1\n");
}

/// No file has a placeholder left, or a path of the machine that built the command.
fn stands_alone(project: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_str().unwrap();
    let mut dirs = vec![project.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                for foreign in
                    ["{{name}}", "{{ident}}", "{{becket}}", "{{module}}", "{{testing}}", here]
                {
                    assert!(!text.contains(foreign), "{} has {foreign}", path.display());
                }
            }
        }
    }
}

/// The compiled dependencies are kept from one run of the tests to the next.
const RUST_TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/new-rust");

/// Cargo, without the environment of an outer cargo.
fn cargo(args: &[&str]) -> Process {
    let mut cargo = Process::new(env!("CARGO"));
    cargo.args(args).env("CARGO_TARGET_DIR", RUST_TARGET).env_remove("CARGO_MANIFEST_DIR");
    cargo
}

fn make(args: &[&str]) -> Process {
    let mut make = Process::new("make");
    make.args(args).env_remove("MAKEFLAGS");
    make
}

/// A test without its tool has tried nothing: it fails.
fn found(name: &str) -> PathBuf {
    tool(name).unwrap_or_else(|| {
        panic!("no `{name}` on the path or in .tools: `cargo xtask tools {name}` fetches it")
    })
}

#[test]
fn a_rust_project_works() {
    works(
        "rust",
        &format!("{RUST_TARGET}/release/libmy_plugin.so"),
        &mut [cargo(&["build", "--release"]), cargo(&["test"])],
    );
}

#[test]
fn a_c_project_works() {
    works("c", "libmy_plugin.so", &mut [make(&[]), make(&["test"])]);
}

#[test]
fn a_cpp_project_works() {
    works("cpp", "libmy_plugin.so", &mut [make(&[]), make(&["test"])]);
}

#[test]
fn a_go_project_works() {
    let go = found("go");
    let go = format!("GO={}", go.display());
    works("go", "libmy_plugin.so", &mut [make(&[&go]), make(&[&go, "test"])]);
}

/// The hint when Go is missing, for every command that needs it.
#[test]
fn a_go_project_without_go_says_how_to_get_it() {
    let dir = TempDir::new().unwrap();
    let project = dir.path().join("greeter");
    becket()
        .args(["plugin", "new", "--lang", "go", "greeter", "--dir"])
        .arg(&project)
        .assert()
        .success();
    for (go, target) in [("no-such-go", "test"), ("/nowhere/go", "libgreeter.so")] {
        let cause = format!("cause: `{go}` is not on PATH\n");
        let output = make(&[&format!("GO={go}"), target]).current_dir(&project).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        for line in ["error: there is no Go\n", &cause, "hint:  get it from https://go.dev/dl, "] {
            assert!(said.contains(line), "{said}");
        }
    }
    // Nothing is needed to throw away what was built.
    run(make(&["GO=no-such-go", "clean"]).current_dir(&project));
}

#[test]
fn a_zig_project_works() {
    let zig = found("zig");
    let build = |args: &[&str]| {
        let mut process = Process::new(&zig);
        process.args(args);
        process
    };
    works(
        "zig",
        "zig-out/lib/libmy_plugin.so",
        &mut [build(&["build"]), build(&["build", "test"])],
    );
}

/// A program is not built: the first step is its own test.
#[test]
fn a_python_project_works() {
    let mut test = Process::new("python3");
    test.args(["-m", "unittest"]);
    works("python", "plugin.py", &mut [test]);
}

/// It imports the SDK of the checkout, as if that were installed.
#[test]
fn a_python_project_without_a_copy_of_the_sdk_works() {
    let (dir, sdk) = without_a_copy("python", "pip install");
    let mut test = Process::new("python3");
    test.args(["-m", "unittest"]).env("PYTHONPATH", sdk);
    run(test.current_dir(dir.path().join("my-plugin")));
}

#[test]
fn a_node_project_works() {
    let mut test = Process::new(found("node"));
    test.arg("--test");
    works("node", "plugin.js", &mut [test]);
}

/// It imports the package `becket`, which npm links into the project when it installs a folder.
#[test]
fn a_node_project_without_a_copy_of_the_sdk_works() {
    let (dir, sdk) = without_a_copy("node", "npm install");
    let project = dir.path().join("my-plugin");
    std::fs::create_dir(project.join("node_modules")).unwrap();
    std::os::unix::fs::symlink(sdk, project.join("node_modules/becket")).unwrap();
    run(Process::new(found("node")).arg("--test").current_dir(&project));
}

/// A project `my-plugin` in a folder, made with the SDK of the checkout, which is named in the step that installs it.
fn without_a_copy(language: &str, installs: &str) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let made = becket()
        .args(["plugin", "new", "--lang", language, "my-plugin", "--sdk"])
        .arg(checkout)
        .current_dir(dir.path())
        .assert()
        .success();
    let said = String::from_utf8(made.get_output().stdout.clone()).unwrap();
    let step = format!("  {installs} /");
    assert!(said.contains(&step) && said.contains(&format!("/sdk/{language}\n")), "{said}");
    assert!(!dir.path().join("my-plugin/becket").exists());
    (dir, checkout.join("sdk").join(language))
}

/// The steps of a language without a build.
#[test]
fn a_program_is_not_built() {
    let dir = TempDir::new().unwrap();
    becket()
        .args(["plugin", "new", "--lang", "node", "greeter"])
        .current_dir(dir.path())
        .assert()
        .success()
        .stderr_eq("")
        .stdout_eq(str![[r#"
Made greeter ([..] files)

  cd greeter
  node --test
  [..] plugin check plugin.js
  [..] plugin call plugin.js hello --data you
  [..] serve --plugin greeter=plugin.js

README.md in it says more.

"#]]);
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("mine"), "mine").unwrap();
    becket()
        .args(["plugin", "new", "--lang", "c", "greeter", "--dir", "."])
        .current_dir(dir.path())
        .assert()
        .code(1)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: . exists and is not empty
hint:  choose another place with `--dir`

"#]]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_name_must_do_in_every_place_it_is_used() {
    for name in ["My-Plugin", "1st", "a/b", "async", "a-"] {
        becket().args(["plugin", "new", "--lang", "rust", name]).assert().code(2).stdout_eq("");
    }
    becket().args(["plugin", "new", "--lang", "rust", "My"]).assert().code(2).stderr_eq(str![[
        r#"
error: `My` cannot be a plugin's name
cause: a name has lower-case letters, digits and dashes, begins with a letter, and is short
hint:  an example is `my-plugin`

"#
    ]]);
}

#[test]
fn the_next_steps_are_printed() {
    let dir = TempDir::new().unwrap();
    becket()
        .args(["plugin", "new", "--lang", "zig", "greeter"])
        .current_dir(dir.path())
        .assert()
        .success()
        .stderr_eq("")
        .stdout_eq(str![[r#"
Made greeter ([..] files)

  cd greeter
  zig build  # the first takes a minute: Zig compiles its build system and library
  zig build test
  [..] plugin check zig-out/lib/libgreeter.so
  [..] plugin call zig-out/lib/libgreeter.so hello --data you
  [..] serve --plugin greeter=zig-out/lib/libgreeter.so

README.md in it says more.

"#]]);
}
