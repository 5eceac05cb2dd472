// SPDX-License-Identifier: BSD-3-Clause
//! The part that this process plays: this program is started again, to run one test alone.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use becket_chan::Kind;

use crate::{client, old, serving};

const VARIABLE: &str = "BECKET_DEATH_PART";

/// The channels of a server, by index; the first has number 1001.
pub(crate) const CHANNELS: [(&str, Kind); 4] = [
    ("rendezvous", Kind::Rendezvous),
    ("bounded", Kind::Bounded),
    ("conflated", Kind::Conflated),
    ("unlimited", Kind::Unlimited),
];

/// The clients' protocol and transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    SharedMemory,
    Stream,
    Seqpacket,
    OldPackets,
    OldBytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Sender,
    Receiver,
}

/// A part, as it is encoded in the variable.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) transport: Transport,
    /// Unique among the processes of a test.
    pub(crate) id: u16,
    /// Of a receiver: the prefetch window.
    pub(crate) window: u32,
    pub(crate) directory: PathBuf,
}

const ROLES: [Role; 3] = [Role::Server, Role::Sender, Role::Receiver];
const TRANSPORTS: [Transport; 5] = [
    Transport::SharedMemory,
    Transport::Stream,
    Transport::Seqpacket,
    Transport::OldPackets,
    Transport::OldBytes,
];

impl Transport {
    pub(crate) fn is_old(self) -> bool {
        matches!(self, Self::OldPackets | Self::OldBytes)
    }
}

impl Part {
    /// The server's path for clients of this part's transport.
    pub(crate) fn path(&self) -> PathBuf {
        path(&self.directory, self.transport)
    }

    pub(crate) fn start(&self, socket: UnixStream) -> Child {
        let Self { role, transport, id, window, directory } = self;
        let numbers = [*role as u32, *transport as u32, u32::from(*id), *window];
        let numbers = numbers.map(|number| number.to_string()).join(" ");
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "part::plays_its_part", "--nocapture"])
            .env(VARIABLE, format!("{numbers} {}", directory.display()))
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn parse(text: &str) -> Self {
        let mut words = text.splitn(5, ' ');
        let mut number = || words.next().unwrap().parse::<u32>().unwrap();
        let (role, transport) = (ROLES[number() as usize], TRANSPORTS[number() as usize]);
        let (id, window) = (number() as u16, number());
        Self { role, transport, id, window, directory: words.next().unwrap().into() }
    }
}

/// The server's path in a directory for clients of a transport.
pub(crate) fn path(directory: &Path, transport: Transport) -> PathBuf {
    directory.join("private").join(match transport {
        Transport::OldBytes => "socket.stream",
        _ => "socket",
    })
}

/// Plays its part if the variable names one; otherwise does nothing.
#[test]
fn plays_its_part() {
    let Ok(text) = std::env::var(VARIABLE) else { return };
    let part = Part::parse(&text);
    match part.role {
        Role::Server => serving::play(&part),
        _ if part.transport.is_old() => old::play(&part),
        _ => client::play(&part),
    }
}
