// SPDX-License-Identifier: BSD-3-Clause
//! The server that is attacked. Who does not speak is put out soon, so that silence is an attack
//! that comes to an end.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use becket_chan::Kind;
use becket_ipc::channels::Wanted;
use becket_ipc::reactor::{self, Ready};
use becket_ipc::transport::SocketKind;
use becket_ipc::transport::listen::{Access, Listener};
use becket_ipc::{Options, Server, v1};

const SILENCE_MS: u64 = 300;
/// Connections at a time.
pub(crate) const CONNECTIONS_MAX: usize = 300;

/// Listens for clients of protocol 1.0.
struct Door {
    listener: Listener,
    server: Arc<v1::Server>,
}

impl Ready for Door {
    fn ready(self: Arc<Self>) {
        while let Ok(Some(socket)) = self.listener.accept() {
            v1::Client::start(socket, None, &self.server).unwrap();
        }
    }
}

pub(crate) fn play(path: &Path, mut socket: UnixStream) {
    let mut options = Options::default();
    options.greeting_timeout = Duration::from_millis(SILENCE_MS);
    options.limits.handshake_ms = SILENCE_MS;
    options.limits.keep_alive_ms = SILENCE_MS;
    options.limits.silence_ms = SILENCE_MS;
    let builder = Server::builder().options(options).connections_max(CONNECTIONS_MAX);
    let server = builder.bind(path).unwrap();
    let channels = server.channels().clone();
    for name in ["jobs", "stock", "shared-memory", "unix-stream"] {
        let wanted = Wanted { kind: Kind::Bounded, capacity: 8, element_bytes: None };
        channels.make(Some(name), wanted).unwrap();
    }
    let stock = channels.by_name("stock").unwrap();
    for number in 0..8_u8 {
        stock.sender().unwrap().try_send(vec![number].into()).unwrap();
    }
    let access = Access::own_user();
    let old = path.with_file_name("old.bytes");
    let listener = Listener::bind(&old, SocketKind::Stream, access, CONNECTIONS_MAX).unwrap();
    let door =
        Arc::new(Door { listener, server: v1::Server::new(channels, v1::Limits::default()) });
    let owner: Arc<dyn Ready> = door.clone();
    let watched = reactor::watch(door.listener.as_fd(), Arc::downgrade(&owner)).unwrap();
    socket.write_all(&[1]).unwrap();
    // Until it is to end.
    let _told = socket.read(&mut [0]);
    drop(watched);
}
