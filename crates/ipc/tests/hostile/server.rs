// SPDX-License-Identifier: BSD-3-Clause
//! The server under attack. Silent clients are disconnected soon, so that silence is an attack that
//! ends.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use becket_chan::Kind;
use becket_ipc::channels::Wanted;
use becket_ipc::{Options, Server};

/// Long enough for a healthy client on a busy machine.
const SILENCE_MS: u64 = 1500;
/// The maximum number of connections.
const CONNECTIONS_MAX: usize = 300;

pub(crate) fn play(path: &Path, mut socket: UnixStream) {
    let mut options = Options::default();
    options.handshake_timeout = Duration::from_millis(SILENCE_MS);
    options.limits.handshake_ms = SILENCE_MS;
    options.limits.keep_alive_ms = SILENCE_MS;
    options.limits.silence_ms = SILENCE_MS;
    let builder = Server::builder().options(options).connections_max(CONNECTIONS_MAX);
    let server = builder.bind_both(path).unwrap();
    for name in ["jobs", "stock", "shared-memory", "unix-stream"] {
        let wanted = Wanted { kind: Kind::Bounded, capacity: 8, element_bytes: None };
        server.channels().make(Some(name), wanted).unwrap();
    }
    let stock = server.channels().by_name("stock").unwrap();
    for number in 0..8_u8 {
        stock.sender().unwrap().try_send(vec![number].into()).unwrap();
    }
    socket.write_all(&[1]).unwrap();
    // Until its end is requested.
    let _end = socket.read(&mut [0]);
}
