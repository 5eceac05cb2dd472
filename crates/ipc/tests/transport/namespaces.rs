// SPDX-License-Identifier: BSD-3-Clause
//! A peer in another PID namespace: the outer process sees its pid, the inner one sees 0.

use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use becket_ipc::transport::Peer;

const PATH: &str = "BECKET_NAMESPACE_PATH";

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork"]);
    command
}

/// Run in the inner namespace; without its variable it does nothing.
#[test]
#[ignore = "a part of the other test"]
fn the_inner_process() {
    let Ok(path) = std::env::var(PATH) else { return };
    let socket = UnixStream::connect(path).unwrap();
    assert_eq!(std::process::id(), 1);
    assert_eq!(Peer::of(&socket).unwrap(), Peer { pid: 0, ..Peer::own() });
}

#[test]
fn a_process_of_an_outer_namespace_has_the_pid_0_and_one_of_an_inner_its_own() {
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!(
            "not run: no PID namespace can be made here (it needs unshare and CAP_SYS_ADMIN)"
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut inner = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "namespaces::the_inner_process", "--ignored"])
        .env(PATH, &path)
        .spawn()
        .unwrap();
    let (socket, _) = listener.accept().unwrap();
    let peer = Peer::of(&socket).unwrap();
    assert!(peer.pid > 1 && peer.pid != std::process::id(), "{peer:?}");
    assert!(inner.wait().unwrap().success(), "the inner process sees the pid 0");
}
