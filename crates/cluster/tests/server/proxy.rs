// SPDX-License-Identifier: BSD-3-Clause
//! A wire to a server that loses answers or everything, and is cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The port of the server. 0: connections are refused.
    server: AtomicU16,
    /// What the server sends is lost.
    is_mute: AtomicBool,
    /// What is sent to the server is lost.
    is_deaf: AtomicBool,
    published: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy of the server at this port. Its threads end with their sockets, or with the process.
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let proxy = Self { port, shared: shared.clone() };
        proxy.lead_to(server);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, address) =
                    (client.unwrap(), ("127.0.0.1", shared.server.load(Ordering::SeqCst)));
                // Dropped: the client finds that the server is not there.
                let Ok(server) = TcpStream::connect(address) else { continue };
                let ends = [&client, &server].map(|stream| {
                    stream.set_nodelay(true).unwrap();
                    stream.try_clone().unwrap()
                });
                shared.streams.lock().extend(ends);
                let (to_server, to_client) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                let of_client = shared.clone();
                thread::spawn(move || {
                    copy(client, to_server, |bytes| {
                        let published = bytes.windows(5).filter(|bytes| bytes == b"HPUB ").count();
                        of_client.published.fetch_add(published, Ordering::SeqCst);
                        !of_client.is_deaf.load(Ordering::SeqCst)
                    });
                });
                let of_server = shared.clone();
                thread::spawn(move || {
                    copy(server, to_client, |_| !of_server.is_mute.load(Ordering::SeqCst));
                });
            }
        });
        proxy
    }

    /// New connections go to the server at this port.
    pub fn lead_to(&self, server: u16) {
        self.shared.server.store(server, Ordering::SeqCst);
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The number of messages with headers that clients have sent: values are such.
    pub fn published(&self) -> usize {
        self.shared.published.load(Ordering::SeqCst)
    }

    /// From now on what the server sends is lost.
    pub fn mute(&self) {
        self.shared.is_mute.store(true, Ordering::SeqCst);
    }

    /// From now on all is lost, in both directions, also of new connections.
    pub fn lose(&self) {
        self.mute();
        self.shared.is_deaf.store(true, Ordering::SeqCst);
    }

    /// Cuts all connections. New ones lose nothing.
    pub fn cut(&self) {
        for stream in self.shared.streams.lock().drain(..) {
            // It may have ended by itself.
            let _ended = stream.shutdown(Shutdown::Both);
        }
        self.shared.is_mute.store(false, Ordering::SeqCst);
        self.shared.is_deaf.store(false, Ordering::SeqCst);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 1 << 14];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if passes(&buffer[..length]) && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ended = to.shutdown(Shutdown::Both);
}
