// SPDX-License-Identifier: BSD-3-Clause
//! Channels of another process: each process offers the channel that it sends into, and receives
//! from the other's. Or one of them offers both.
//!
//! ```text
//!   each offers its own               one offers both
//!   local ══ stream ══▶ remote        remote ══ stream ══▶ local
//!   remote ◀══ stream ══ local        remote ◀══ stream ══ local
//!     asks             answers          asks             answers
//! ```

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use becket_chan::{Receiver, Sender, bounded};
use becket_ipc::{Client, Element, Options, ReceiverOptions, RemoteReceiver, RemoteSender, Server};

use super::COLUMN;
use super::ring::failed;
use crate::error::BenchError;
use crate::ipc::payload::Payload;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// Each offers its own, over shared memory.
pub(crate) enum Shared {}
/// The same over a Unix stream socket.
pub(crate) enum Unix {}
/// The one that answers offers both, over shared memory.
pub(crate) enum SharedServer {}
/// The same over a Unix stream socket.
pub(crate) enum UnixServer {}

/// An end.
pub(crate) struct End {
    out: Out,
    inward: Inward,
    payload: Payload,
    /// Kept for as long as the way is.
    _client: Option<Client>,
    _server: Option<Server>,
    _directory: Option<Directory>,
}

enum Out {
    Local(Sender<Element>),
    /// Elements are sent ahead: their answers are counted.
    Remote(Sender<Element>, #[expect(dead_code, reason = "its end ends the stream")] RemoteSender),
}

enum Inward {
    Local(Receiver<Element>),
    Remote(RemoteReceiver),
}

/// Removed at the end.
pub(crate) struct Directory(PathBuf);

/// What a channel holds; what comes ahead.
pub(super) const CAPACITY: usize = 1024;
pub(super) const WINDOW: u32 = 256;
pub(super) const THERE: &str = "there";
pub(super) const BACK: &str = "back";

macro_rules! kind {
    ($kind:ident, shared_memory: $shared_memory:literal, one_server: $one_server:literal) => {
        impl Kind for $kind {
            const COLUMN: &str = COLUMN;
            type Host = (UnixStream, Directory, Option<(Server, Sender<Element>)>);
            type End = End;

            fn invite(_: Work) -> Result<(Invitation, Self::Host), BenchError> {
                let directory = Directory::new()?;
                let (ours, theirs) = UnixStream::pair().map_err(failed)?;
                let descriptors = vec![OwnedFd::from(theirs)];
                let text = directory.0.to_string_lossy().into_owned();
                let offered = match $one_server {
                    true => None,
                    false => {
                        let server = serve(&directory.0.join(THERE), $shared_memory)?;
                        let out = offer_to_receive(&server, THERE)?;
                        Some((server, out))
                    }
                };
                Ok((Invitation { descriptors, text }, (ours, directory, offered)))
            }

            fn accept(host: Self::Host, work: Work) -> Result<End, BenchError> {
                let (mut aside, directory, offered) = host;
                // The other process listens now.
                aside.read_exact(&mut [0]).map_err(failed)?;
                let client = connect(&directory.0.join(BACK), $shared_memory)?;
                let inward = client
                    .receiver_with(BACK, ReceiverOptions::window(WINDOW))
                    .wait()
                    .map_err(failed)?;
                let (out, server) = match offered {
                    Some((server, out)) => (Out::Local(out), Some(server)),
                    None => {
                        let sender = client.sender(THERE).wait().map_err(failed)?;
                        (Out::Remote(sender.ahead(), sender), None)
                    }
                };
                Ok(End {
                    out,
                    inward: Inward::Remote(inward),
                    payload: Payload::new(COLUMN, work.bytes()),
                    _client: Some(client),
                    _server: server,
                    _directory: Some(directory),
                })
            }

            fn join(mut invitation: Invitation, work: Work) -> Result<End, BenchError> {
                let directory = PathBuf::from(&invitation.text);
                let server = serve(&directory.join(BACK), $shared_memory)?;
                let out = Out::Local(offer_to_receive(&server, BACK)?);
                let local = match $one_server {
                    true => Some(offer_to_send(&server, THERE)?),
                    false => None,
                };
                let mut aside = UnixStream::from(invitation.descriptor()?);
                aside.write_all(b"l").map_err(failed)?;
                let (inward, client) = match local {
                    Some(local) => (Inward::Local(local), None),
                    None => {
                        let client = connect(&directory.join(THERE), $shared_memory)?;
                        let inward = client
                            .receiver_with(THERE, ReceiverOptions::window(WINDOW))
                            .wait()
                            .map_err(failed)?;
                        (Inward::Remote(inward), Some(client))
                    }
                };
                Ok(End {
                    out,
                    inward,
                    payload: Payload::new(COLUMN, work.bytes()),
                    _client: client,
                    _server: Some(server),
                    _directory: None,
                })
            }
        }
    };
}

kind!(Shared, shared_memory: true, one_server: false);
kind!(Unix, shared_memory: false, one_server: false);
kind!(SharedServer, shared_memory: true, one_server: true);
kind!(UnixServer, shared_memory: false, one_server: true);

fn options(shared_memory: bool) -> Options {
    let mut options = Options::default();
    options.shared_memory = shared_memory;
    options
}

/// Listens.
pub(super) fn serve(path: &Path, shared_memory: bool) -> Result<Server, BenchError> {
    Server::builder().options(options(shared_memory)).bind(path).map_err(failed)
}

/// Connects.
pub(super) fn connect(path: &Path, shared_memory: bool) -> Result<Client, BenchError> {
    Client::connect_with(path, options(shared_memory)).wait().map_err(failed)
}

/// A channel of this process from which others receive.
fn offer_to_receive(server: &Server, name: &str) -> Result<Sender<Element>, BenchError> {
    let (sender, receiver) = bounded(CAPACITY);
    server.export(name, None, Some(receiver)).map_err(failed)?;
    Ok(sender)
}

/// A channel of this process into which others send.
fn offer_to_send(server: &Server, name: &str) -> Result<Receiver<Element>, BenchError> {
    let (sender, receiver) = bounded(CAPACITY);
    server.export(name, Some(sender), None).map_err(failed)?;
    Ok(receiver)
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        let mut bytes = vec![0; self.payload.bytes()];
        self.payload.fill(&mut bytes, number)?;
        let (Out::Local(sender) | Out::Remote(sender, _)) = &self.out;
        sender.send(Element::from(bytes)).wait().map_err(|error| failed(error.to_string()))
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let element = match &self.inward {
            Inward::Local(receiver) => receiver.recv().wait().map_err(failed)?,
            Inward::Remote(receiver) => receiver.recv().wait().map_err(failed)?,
        };
        self.payload.read(element.as_slice())
    }

    fn take_now(&mut self) -> Result<Option<u64>, BenchError> {
        let element = match &self.inward {
            Inward::Local(receiver) => receiver.try_recv().ok(),
            Inward::Remote(receiver) => receiver.try_recv().ok(),
        };
        // What went wrong, `take` will say.
        element.map(|element| self.payload.read(element.as_slice())).transpose()
    }
}

impl Directory {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// One that no other run has.
    pub(super) fn new() -> Result<Self, BenchError> {
        use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name =
            format!("becket_bench_{}_remote_{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        // Made by the server that listens in it, so that it has the right mode.
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
