// SPDX-License-Identifier: BSD-3-Clause
//! The headers of protocol 1.0 and their C programs: each is built as C11 and as C++17, with every
//! warning an error, linked to the library, and run; once more with the static library, its own
//! code and every allocation under the address and undefined behaviour sanitizers, where the
//! compiler has them.
//!
//! `CC` and `CXX` name the compilers; `cc` and `c++` without them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HEADERS: [&str; 4] =
    ["kcoro_proto.h", "kcoro_ipc_posix.h", "kcoro_ipc_chan.h", "kcoro_ipc_server.h"];

const C: Language = Language { name: "c", variable: "CC", compiler: "cc", standard: "-std=c11" };
const CPP: Language =
    Language { name: "c++", variable: "CXX", compiler: "c++", standard: "-std=c++17" };

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];
const SANITIZERS: &str = "-fsanitize=address,undefined";

struct Language {
    name: &'static str,
    variable: &'static str,
    compiler: &'static str,
    standard: &'static str,
}

impl Language {
    fn compiler(&self) -> Command {
        Command::new(std::env::var(self.variable).unwrap_or_else(|_| self.compiler.into()))
    }
}

/// How a program is linked, and what is added to its own code.
#[derive(Clone, Copy, PartialEq)]
enum Flavour {
    Shared,
    Static,
    Sanitized,
}

fn flavours() -> [(&'static Language, Flavour); 3] {
    let last = if has_sanitizers() { Flavour::Sanitized } else { Flavour::Static };
    [(&C, Flavour::Shared), (&CPP, Flavour::Shared), (&C, last)]
}

fn check(name: &str) {
    for (language, flavour) in flavours() {
        run(&mut Command::new(build(name, language, flavour)));
    }
}

fn build(name: &str, language: &Language, flavour: Flavour) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kind = match flavour {
        Flavour::Shared => "shared",
        Flavour::Static => "static",
        Flavour::Sanitized => "sanitized",
    };
    let program = folder().join(format!("{name}-{kind}-{}", language.name.replace('+', "p")));
    let built = built();
    let mut command = language.compiler();
    command
        .args(["-x", language.name, language.standard])
        .args(WARNINGS)
        .args(["-g", "-O1", "-pthread", "-D_POSIX_C_SOURCE=200809L", "-I"])
        .arg(root.join("include"))
        .arg(root.join("tests/c").join(name).with_extension("c"))
        .args(["-x", "none", "-o"])
        .arg(&program);
    match flavour {
        Flavour::Shared => command
            .arg("-L")
            .arg(&built)
            .arg("-lkcoro")
            .arg(format!("-Wl,-rpath,{}", built.display())),
        Flavour::Static => command.arg(built.join("libkcoro.a")).args(["-ldl", "-lm"]),
        Flavour::Sanitized => command
            .args([SANITIZERS, "-fno-sanitize-recover=all"])
            .arg(built.join("libkcoro.a"))
            .args(["-ldl", "-lm"]),
    };
    run(&mut command);
    program
}

fn has_sanitizers() -> bool {
    let (source, program) = (folder().join("probe.c"), folder().join("probe"));
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built = C.compiler().arg(SANITIZERS).arg(source).arg("-o").arg(&program).output();
    built.is_ok_and(|output| output.status.success())
        && Command::new(program).output().is_ok_and(|output| output.status.success())
}

/// A folder of this test's own: tests run at once.
fn folder() -> PathBuf {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("tests").replace(':', "_");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kcoro-ipc").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where cargo has put the library that this test was built with: beside the test.
fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn headers_are_strict_c11_and_cpp17_alone_and_twice() {
    let folder = folder();
    let all: String = HEADERS.iter().rev().map(|name| format!("#include \"{name}\"\n")).collect();
    let mut sources: Vec<String> =
        HEADERS.iter().map(|name| format!("#include \"{name}\"\n#include \"{name}\"\n")).collect();
    sources.push(all);
    for source in sources {
        for (language, extension) in [(C, "c"), (CPP, "cpp")] {
            let file = folder.join("header").with_extension(extension);
            std::fs::write(&file, format!("{source}int probe(void);\n")).unwrap();
            let mut command = language.compiler();
            command.args([language.standard, "-fsyntax-only"]).args(WARNINGS).arg("-I");
            run(command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include")).arg(&file));
        }
    }
}

/// What C has a name for is what `becket_wire` has.
#[test]
fn numbers_are_equal() {
    use becket_wire::v1::{ABI_MAJOR, ABI_MINOR, Attribute, Command as Asks, PAYLOAD_BYTES_MAX};

    let mut checks = vec![
        ("KCORO_PROTO_ABI_MAJOR".to_owned(), ABI_MAJOR),
        ("KCORO_PROTO_ABI_MINOR".to_owned(), ABI_MINOR),
        ("KC_IPC_PAYLOAD_MAX".to_owned(), PAYLOAD_BYTES_MAX),
    ];
    let name = |prefix: &str, name: String| {
        let mut upper = prefix.to_owned();
        for letter in name.chars() {
            if letter.is_uppercase() {
                upper.push('_');
            }
            upper.push(letter.to_ascii_uppercase());
        }
        upper
    };
    checks.extend(
        Asks::ALL.map(|command| {
            (name("KCORO_CMD", format!("{command:?}")), u32::from(command.number()))
        }),
    );
    checks.extend(Attribute::ALL.map(|attribute| {
        (name("KCORO_ATTR", format!("{attribute:?}")), u32::from(attribute.number()))
    }));
    assert!(checks.len() > 45);
    let mut source = String::from("#include \"kcoro_ipc_posix.h\"\n");
    for (name, number) in checks {
        source.push_str(&format!("_Static_assert({name} == {number}, \"{name}\");\n"));
    }
    let file = folder().join("numbers.c");
    std::fs::write(&file, source).unwrap();
    run(C
        .compiler()
        .args(["-std=c11", "-fsyntax-only", "-I"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .arg(file));
}

#[test]
fn sockets_and_frames() {
    check("ipc_posix");
}

#[test]
fn remote_channels() {
    check("ipc_chan");
}

#[test]
fn a_server() {
    check("ipc_server");
}

/// The server in one process, a client that writes the protocol's bytes itself in another.
#[test]
fn clients_of_the_bytes_do_every_command() {
    let client = build("ipc_raw_client", &CPP, Flavour::Shared);
    run(&mut Command::new(client));
    for (language, flavour) in flavours() {
        let client = build("ipc_raw_client", &C, Flavour::Shared);
        let socket = tempfile::tempdir().unwrap();
        let path = socket.path().join("socket");
        let mut server = Command::new(build("ipc_server", language, flavour))
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        server.stdout.take().unwrap().read_exact(&mut ready).unwrap();
        run(Command::new(client).arg(&path));
        drop(server.stdin.take());
        assert!(server.wait().unwrap().success());
        assert!(!path.exists());
    }
}
