// SPDX-License-Identifier: BSD-3-Clause
//! A server and its clients, over one transport.

use std::path::PathBuf;

use becket_chan::Kind;
use becket_ipc::transport::{SocketKind, memory};
use becket_ipc::{Client, Options, RemoteReceiver, RemoteSender, Server};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

pub(crate) struct World {
    server: Mutex<Option<Server>>,
    options: Options,
    path: Option<PathBuf>,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn memory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::bind(directory.path().join("private/unused")).unwrap();
        let options = Options::default();
        Self { server: Mutex::new(Some(server)), options, path: None, _directory: directory }
    }

    pub(crate) fn unix_stream() -> Self {
        let mut options = Options::default();
        options.shared_memory = false;
        Self::over(options)
    }

    pub(crate) fn seqpacket() -> Self {
        let mut options = Options::default();
        options.socket = SocketKind::Seqpacket;
        Self::over(options)
    }

    pub(crate) fn shared_memory() -> Self {
        Self::over(Options::default())
    }

    fn over(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private/socket");
        let builder = Server::builder().options(options.clone());
        let server = match options.socket {
            SocketKind::Stream => builder.bind(&path),
            SocketKind::Seqpacket => builder.bind_both(&path),
        };
        let server = Mutex::new(Some(server.unwrap()));
        Self { server, options, path: Some(path), _directory: directory }
    }

    pub(crate) fn server(&self) -> MappedMutexGuard<'_, Server> {
        MutexGuard::map(self.server.lock(), |server| server.as_mut().unwrap())
    }

    /// The server, for a test that ends it.
    pub(crate) fn take_server(&self) -> Server {
        self.server.lock().take().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        match &self.path {
            Some(path) => Client::connect_with(path, self.options.clone()).wait().unwrap(),
            None => {
                let (one, other) = memory::pair(1024, 1 << 20);
                self.server().serve(Box::new(one)).unwrap();
                Client::over(Box::new(other), &self.options).unwrap()
            }
        }
    }

    /// A channel of the server, and handles to it of two clients.
    pub(crate) fn channel(&self, kind: Kind, capacity: usize) -> (RemoteSender, RemoteReceiver) {
        let (one, other) = (self.client(), self.client());
        one.make("jobs", kind, capacity).wait().unwrap();
        (one.sender("jobs").wait().unwrap(), other.receiver("jobs").wait().unwrap())
    }
}
