// SPDX-License-Identifier: BSD-3-Clause
//! The headers of protocol 1.0 and their C programs.

use std::io::Read as _;
use std::process::Stdio;

use crate::common::{C, CPP, Library, check, folder, include, program, run, ways};

const HEADERS: [&str; 4] =
    ["kcoro_proto.h", "kcoro_ipc_posix.h", "kcoro_ipc_chan.h", "kcoro_ipc_server.h"];

#[test]
fn headers_are_strict_c11_and_cpp17_alone_and_twice() {
    let folder = folder();
    let all: String = HEADERS.iter().rev().map(|name| format!("#include \"{name}\"\n")).collect();
    let mut sources: Vec<String> =
        HEADERS.iter().map(|name| format!("#include \"{name}\"\n#include \"{name}\"\n")).collect();
    sources.push(all);
    for source in sources {
        for language in [C, CPP] {
            let file = folder.join("header").with_extension(language.extension);
            std::fs::write(&file, format!("{source}int probe(void);\n")).unwrap();
            run(language.compiler().args(["-fsyntax-only", "-I"]).arg(include()).arg(&file));
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
        Asks::ALL.iter().map(|command| {
            (name("KCORO_CMD", format!("{command:?}")), u32::from(command.number()))
        }),
    );
    checks.extend(Attribute::ALL.iter().map(|attribute| {
        (name("KCORO_ATTR", format!("{attribute:?}")), u32::from(attribute.number()))
    }));
    assert!(checks.len() > 45);
    let mut source = String::from("#include \"kcoro_ipc_posix.h\"\n");
    for (name, number) in checks {
        source.push_str(&format!("_Static_assert({name} == {number}, \"{name}\");\n"));
    }
    let file = folder().join("numbers.c");
    std::fs::write(&file, source).unwrap();
    run(C.compiler().args(["-fsyntax-only", "-I"]).arg(include()).arg(file));
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
    run(&mut program("ipc_raw_client", &CPP, Library::Shared));
    for (language, library) in ways() {
        let mut client = program("ipc_raw_client", &C, Library::Shared);
        let socket = tempfile::tempdir().unwrap();
        let path = socket.path().join("socket");
        let mut server = program("ipc_server", language, library)
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        server.stdout.take().unwrap().read_exact(&mut ready).unwrap();
        run(client.arg(&path));
        drop(server.stdin.take());
        assert!(server.wait().unwrap().success());
        assert!(!path.exists());
    }
}
