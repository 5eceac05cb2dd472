// SPDX-License-Identifier: BSD-3-Clause
//! Another process, which is this program again: the server, or a hostile peer.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{peers, server, together};

const VARIABLE: &str = "BECKET_HOSTILE_PART";
pub(crate) const SERVER: &str = "server";

/// A process and the socket to it.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) child: Child,
    pub(crate) socket: UnixStream,
}

impl Part {
    pub(crate) fn start(name: &str, path: &Path) -> Self {
        Self::start_as(Command::new(std::env::current_exe().unwrap()), name, path)
    }

    /// One that gets a processor only while no other program needs it.
    pub(crate) fn start_last(name: &str, path: &Path) -> Self {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe().unwrap());
        Self::start_as(command, name, path)
    }

    fn start_as(mut command: Command, name: &str, path: &Path) -> Self {
        let (socket, others) = UnixStream::pair().unwrap();
        let child = command
            .args(["--exact", "part::plays_its_part", "--nocapture"])
            .env(VARIABLE, format!("{name} {}", path.display()))
            .stdin(Stdio::from(OwnedFd::from(others)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { name: name.to_owned(), child, socket }
    }

    /// The next byte from it. `None`: it has ended.
    pub(crate) fn hear(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Ok(1) => Some(byte[0]),
            Ok(_) => None,
            Err(error) => panic!("{} hangs: {error}", self.name),
        }
    }

    /// Requests its end, and checks that it succeeds.
    pub(crate) fn ends(mut self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
        while self.hear().is_some() {}
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{} ended with {status}", self.name);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _gone = self.child.kill();
        let _buried = self.child.wait();
    }
}

/// Plays its part if the variable names one; otherwise does nothing.
#[test]
fn plays_its_part() {
    let Ok(text) = std::env::var(VARIABLE) else { return };
    let (name, path) = text.split_once(' ').unwrap();
    let mut socket: UnixStream = std::io::stdin().as_fd().try_clone_to_owned().unwrap().into();
    if name == SERVER {
        return server::play(path.as_ref(), socket);
    }
    if name == together::EVERY_PEER {
        return together::play(path.as_ref(), &mut socket);
    }
    let peer = peers::ALL.iter().find(|peer| peer.name == name).unwrap();
    // Attacks until it is stopped, and reports each attack.
    socket.set_nonblocking(true).unwrap();
    while !matches!(socket.read(&mut [0]), Ok(0)) {
        (peer.attack)(path.as_ref());
        let _full = socket.write(&[1]);
    }
}
