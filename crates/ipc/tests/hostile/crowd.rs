// SPDX-License-Identifier: BSD-3-Clause
//! Many clients connect at once beyond the maximum: each is refused, although no later one follows.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use becket_ipc::reactor::{self, Ready};
use becket_ipc::{Client, Server};
use parking_lot::Mutex;

/// More than one dispatch accepts, fewer than the backlog.
const CROWD: usize = 120;

/// Blocks the I/O thread until it is released.
struct Busy(Mutex<Receiver<()>>);

impl Ready for Busy {
    fn ready(self: Arc<Self>) {
        let _let_go = self.0.lock().recv();
    }
}

#[test]
fn a_burst_beyond_the_maximum_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    let server = Server::builder().connections_max(1).bind(&path).unwrap();
    let _only = Client::connect(&path).wait().unwrap();
    // The I/O thread is notified of all of them by one event.
    let (let_go, held) = sync_channel(1);
    let busy: Arc<dyn Ready> = Arc::new(Busy(Mutex::new(held)));
    let (reader, _writer) = UnixStream::pair().unwrap();
    let _watched = reactor::watch(reader.as_fd(), Arc::downgrade(&busy)).unwrap();
    let mut crowd: Vec<_> = (0..CROWD).map(|_| UnixStream::connect(&path).unwrap()).collect();
    drop(let_go);
    for one in &mut crowd {
        one.set_read_timeout(Some(crate::trial::HANGS)).unwrap();
        assert_eq!(one.read(&mut [0]).expect("it is refused"), 0);
    }
    assert_eq!(server.refusals()[0].full, CROWD as u64);
}
