// SPDX-License-Identifier: BSD-3-Clause
//! A server with four channels, for clients of both protocols.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use becket_chan::Token;
use becket_ipc::channels::{Channels, Wanted};
use becket_ipc::reactor::{self, Ready};
use becket_ipc::transport::SocketKind;
use becket_ipc::transport::listen::{Access, Listener};
use becket_ipc::{Server, v1};
use parking_lot::Mutex;

use crate::client::options;
use crate::part::{CHANNELS, Part, Transport, path};
use crate::report::{Reporter, What, number};

/// Listens for clients of protocol 1.0.
struct Door {
    listener: Listener,
    server: Arc<v1::Server>,
    overs: Mutex<Vec<Token>>,
}

impl Ready for Door {
    fn ready(self: Arc<Self>) {
        while let Ok(Some(socket)) = self.listener.accept() {
            let client = v1::Client::start(socket, None, &self.server).unwrap();
            self.overs.lock().push(client.over().clone());
        }
    }
}

pub(crate) fn play(part: &Part) {
    let reporter = Reporter::of_process();
    let builder = Server::builder().options(options());
    let server = builder.bind_both(path(&part.directory, Transport::Seqpacket)).unwrap();
    let channels = server.channels().clone();
    for (name, kind) in CHANNELS {
        channels.make(Some(name), Wanted { kind, capacity: 8, element_bytes: None }).unwrap();
    }
    let old = v1::Server::new(channels.clone(), v1::Limits::default());
    let kinds =
        [(Transport::OldPackets, SocketKind::Seqpacket), (Transport::OldBytes, SocketKind::Stream)];
    let doors = kinds.map(|(transport, kind)| {
        let path = path(&part.directory, transport);
        let listener = Listener::bind(&path, kind, Access::own_user(), 1024).unwrap();
        Arc::new(Door { listener, server: old.clone(), overs: Mutex::default() })
    });
    let _watched = doors.each_ref().map(|door| {
        let owner: Arc<dyn Ready> = door.clone();
        reactor::watch(door.listener.as_fd(), Arc::downgrade(&owner)).unwrap()
    });
    reporter.say(What::Ready, 0, 0);
    loop {
        match reporter.told() {
            Some(b'i') => {
                until_idle(&server, &doors);
                reporter.say(What::Idle, 0, 0);
            }
            Some(b'd') => {
                say_what_is_left(&channels, &reporter);
                reporter.say(What::Idle, 0, 0);
            }
            _ => break,
        }
    }
    drop(server);
    drop(doors);
    reporter.say(What::Done, 0, 0);
}

/// Until each connection is over.
fn until_idle(server: &Server, doors: &[Arc<Door>]) {
    for door in doors {
        for over in door.overs.lock().drain(..) {
            over.cancelled().wait();
        }
    }
    while !server.sessions().is_empty() {
        std::thread::yield_now();
    }
}

fn say_what_is_left(channels: &Channels, reporter: &Reporter) {
    for (at, (name, _)) in CHANNELS.into_iter().enumerate() {
        let channel = channels.by_name(name).unwrap();
        while let Ok(element) = channel.receiver().unwrap().try_recv() {
            match number(element.as_slice()) {
                Some(number) => reporter.say(What::Left, at as u8, number),
                None => reporter.say(What::Wrong, at as u8, element.len() as u64),
            }
        }
    }
}
