// SPDX-License-Identifier: BSD-3-Clause
//! A wire between a client and the server that loses answers, and is cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;

pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What the server sends is lost.
    is_mute: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy of the server at this port. Its threads end with their sockets, or with the process.
    pub(crate) fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) =
                    (client.unwrap(), TcpStream::connect(("127.0.0.1", server)).unwrap());
                let ends = [&client, &server].map(|stream| stream.try_clone().unwrap());
                accepting.streams.lock().extend(ends);
                let (to_server, to_client) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || copy(client, to_server, || true));
                let shared = accepting.clone();
                thread::spawn(move || {
                    copy(server, to_client, || !shared.is_mute.load(Ordering::SeqCst));
                });
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// From now on what the server sends is lost.
    pub(crate) fn mute(&self) {
        self.shared.is_mute.store(true, Ordering::SeqCst);
    }

    /// Cuts all connections. New ones lose nothing.
    pub(crate) fn cut(&self) {
        for stream in self.shared.streams.lock().drain(..) {
            // It may have ended by itself.
            let _ended = stream.shutdown(Shutdown::Both);
        }
        self.shared.is_mute.store(false, Ordering::SeqCst);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, passes: impl Fn() -> bool) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if passes() && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ended = to.shutdown(Shutdown::Both);
}
