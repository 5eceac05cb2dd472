// SPDX-License-Identifier: BSD-3-Clause
//! `becket serve` at Unix sockets, and at sockets that a service manager has opened.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::serve::{Server, curl};
use crate::support::{process, run, tool};

const SERVE: [&str; 4] = ["serve", "--json", "--admin", "127.0.0.1:0"];

/// `process()` behind a shell that passes its stdin as descriptor 3, with these variables; `$$` is the process's own id.
fn activated(socket: impl Into<OwnedFd>, variables: &str) -> Process {
    let becket = process();
    let mut shell = Process::new("sh");
    let script = format!("exec 3<&0 </dev/null; {variables} exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(becket.get_program()).args(SERVE);
    shell.env_remove("RUST_LOG").env_remove("NO_COLOR");
    shell.stdin(socket.into()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

fn curl_unix(path: &Path) -> String {
    let unix = ["-sS", "--fail-with-body", "-d", "hello", "--unix-socket"];
    let output = Process::new("curl").args(unix).arg(path).arg("http://a/sample/echo").output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn the_printed_lines_call_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a socket");
    let listen = format!("unix:{}", socket.display());
    let args = ["serve", "--admin", "off", "--listen", &listen];
    let mut server = Server::of(process().args(args));
    let greeting = server.greeting();
    assert!(greeting[0].ends_with(&format!("serves on {listen}")), "{greeting:?}");
    let lines: Vec<_> = greeting.iter().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(lines.len(), 2, "{greeting:?}");
    for line in lines {
        run(Process::new("sh").args(["-c", &format!("{line} --fail-with-body")]));
    }
    // A second one is refused, and the first is not disturbed.
    let second = process().args(args).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let expected = format!(
        "error: cannot listen on {listen} for requests\ncause: another process serves it\nhint:  \
         stop that process, or choose another path\n"
    );
    assert_eq!(String::from_utf8(second.stderr).unwrap(), expected);
    // One that was killed leaves its file, which the next one replaces.
    server.signal(Signal::KILL);
    server.ended();
    assert!(socket.exists());
    let mut server = Server::of(process().args(SERVE).args(["--listen", &listen]));
    assert_eq!(server.started()["listen"], listen);
    assert_eq!(curl_unix(&socket), "hello");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_child_serves_at_the_socket_that_it_gets() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let variables = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web";
    let mut command = activated(socket, variables);
    let mut server = Server::of(command.args(["--listen", "systemd:web"]));
    drop(command);
    let started = server.started();
    assert_eq!(started["listeners"], json!([{ "at": addr.to_string(), "tls": false }]));
    assert!(curl(&format!("http://{addr}/sample/unary")).starts_with("Hello"));
    // A socket without a name, at a path.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut command = activated(UnixListener::bind(&path).unwrap(), "LISTEN_PID=$$ LISTEN_FDS=1");
    let mut server = Server::of(command.args(["--listen", "systemd", "--listen", "127.0.0.1:0"]));
    drop(command);
    let started: Value = server.started();
    assert_eq!(started["listen"], format!("unix:{}", path.display()));
    assert_eq!(started["listeners"].as_array().unwrap().len(), 2);
    assert_eq!(curl_unix(&path), "hello");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));
    // It belongs to the service manager, which made it.
    assert!(path.exists());
}

#[test]
fn what_is_passed_to_another_or_cannot_listen_is_refused() {
    let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
    for for_another in ["LISTEN_PID=1 LISTEN_FDS=1", "LISTEN_FDS=1"] {
        let mut command = activated(socket(), for_another);
        let output = command.args(["--listen", "systemd"]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("no socket was passed to this process"), "{text}");
    }
    let (connected, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let connected: OwnedFd = connected.into();
    for (wrong, cause) in
        [(file, "it is neither TCP nor a Unix stream socket"), (connected, "it does not listen")]
    {
        let refused =
            activated(wrong, "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=odd").output().unwrap();
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(text.contains("passes `odd`") && text.contains(cause), "{text}");
    }
    let many = activated(socket(), "LISTEN_PID=$$ LISTEN_FDS=9999999999").output().unwrap();
    assert!(String::from_utf8(many.stderr).unwrap().contains("at most 64"));
}

/// The tool of systemd itself, where it is.
#[test]
fn systemd_socket_activate_starts_it_at_the_first_connection() {
    let Some(activate) = tool("systemd-socket-activate") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let becket = process();
    let mut command = Process::new(activate);
    command.arg("--listen").arg(&path).args(["--fdname=web", "--"]).arg(becket.get_program());
    command.args(SERVE).args(["--listen", "systemd:web"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::of(&mut command);
    server.says("Listening on");
    // This connection waits in the socket's queue until it is served.
    assert_eq!(curl_unix(&path), "hello");
    assert_eq!(server.started()["listen"], format!("unix:{}", path.display()));
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));
}
