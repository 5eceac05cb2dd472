// SPDX-License-Identifier: BSD-3-Clause
//! Many channels of another process, received from at once over one connection.
//!
//! ```text
//!   pours: keeps each channel full            one thread waits for all of them
//!     channel 0 ══ stream 0 ══╗             ╔══▶ receiver 0 ─▶ count
//!     channel 1 ══ stream 1 ══╬═ session ═══╬══▶ receiver 1 ─▶ count
//!     …                       ╝             ╚══▶ …
//!   stops  ◀──────────── aside, a socket ─────── enough
//! ```

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use becket_chan::{Sender, bounded};
use becket_ipc::{Client, Element, ReceiverOptions, RemoteReceiver, Server};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::COLUMN;
use super::remote::{Directory, connect, serve};
use super::ring::failed;
use crate::error::{BenchError, check};
use crate::ipc::payload::Payload;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The kind.
pub(crate) enum Streams {}

/// An end.
pub(crate) struct End {
    aside: UnixStream,
    payload: Payload,
    role: Role,
}

enum Role {
    Pours { channels: Vec<(Sender<Element>, u64)>, _server: Server },
    Counts { receivers: Vec<(RemoteReceiver, u64)>, client: Client, _directory: Directory },
}

/// What a channel holds; what comes ahead on a stream.
const WINDOW: u32 = 16;
const SOCKET: &str = "streams";

impl Kind for Streams {
    const COLUMN: &str = COLUMN;
    type Host = (UnixStream, Directory);
    type End = End;

    fn invite(_: Work) -> Result<(Invitation, Self::Host), BenchError> {
        let directory = Directory::new()?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let text = directory.path().to_string_lossy().into_owned();
        Ok((Invitation { descriptors: vec![OwnedFd::from(theirs)], text }, (ours, directory)))
    }

    fn accept((mut aside, directory): Self::Host, work: Work) -> Result<End, BenchError> {
        // The other process listens now.
        aside.read_exact(&mut [0]).map_err(failed)?;
        let client = connect(&directory.path().join(SOCKET), true)?;
        let mut receivers = Vec::new();
        for stream in 0..work.depth() {
            let options = ReceiverOptions::window(WINDOW);
            let receiver = client.receiver_with(&name(stream), options).wait().map_err(failed)?;
            receivers.push((receiver, 0));
        }
        let role = Role::Counts { receivers, client, _directory: directory };
        Ok(End { aside, payload: Payload::new(COLUMN, work.bytes()), role })
    }

    fn join(mut invitation: Invitation, work: Work) -> Result<End, BenchError> {
        let mut aside = UnixStream::from(invitation.descriptor()?);
        let server = serve(&std::path::Path::new(&invitation.text).join(SOCKET), true)?;
        let mut channels = Vec::new();
        for stream in 0..work.depth() {
            let (sender, receiver) = bounded(WINDOW as usize);
            server.export(&name(stream), None, Some(receiver)).map_err(failed)?;
            channels.push((sender, 0));
        }
        aside.write_all(b"l").map_err(failed)?;
        let role = Role::Pours { channels, _server: server };
        Ok(End { aside, payload: Payload::new(COLUMN, work.bytes()), role })
    }
}

fn name(stream: usize) -> String {
    format!("stream {stream}")
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        self.aside.write_all(&number.to_le_bytes()).map_err(failed)
    }

    /// The side that fills the channels does so until the number arrives.
    fn take(&mut self) -> Result<u64, BenchError> {
        let mut number = [0; 8];
        if let Role::Pours { channels, .. } = &mut self.role {
            self.aside.set_nonblocking(true).map_err(failed)?;
            while !is_there(&self.aside)? {
                pour(channels, &self.payload)?;
            }
            self.aside.set_nonblocking(false).map_err(failed)?;
        }
        self.aside.read_exact(&mut number).map_err(failed)?;
        Ok(u64::from_le_bytes(number))
    }
}

fn is_there(socket: &UnixStream) -> Result<bool, BenchError> {
    use rustix::net::{RecvFlags, recv};
    match recv(socket, &mut [0_u8], RecvFlags::PEEK) {
        Ok(_) => Ok(true),
        Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn pour(channels: &mut [(Sender<Element>, u64)], payload: &Payload) -> Result<(), BenchError> {
    let mut poured = false;
    for (channel, number) in channels {
        while channel.len() < WINDOW as usize {
            let mut bytes = vec![0; payload.bytes()];
            payload.fill(&mut bytes, *number)?;
            if channel.try_send(Element::from(bytes)).is_err() {
                break;
            }
            *number += 1;
            poured = true;
        }
    }
    if !poured {
        // The I/O thread may have the same CPU.
        std::thread::yield_now();
    }
    Ok(())
}

impl End {
    /// Receives `n` elements, whichever come, and says how many came of each stream.
    pub(crate) fn count(&mut self, n: u64) -> Result<Vec<u64>, BenchError> {
        let Role::Counts { receivers, client, .. } = &mut self.role else {
            return Err(BenchError::Worker);
        };
        let before: Vec<_> = receivers.iter().map(|(_, next)| *next).collect();
        let (total, wrong, payload) = (Cell::new(0), RefCell::new(None), &self.payload);
        let all: FuturesUnordered<_> = receivers
            .iter_mut()
            .map(|(receiver, next)| async {
                while total.get() < n {
                    let one = receive(receiver, next, payload).await;
                    if let Err(error) = one {
                        *wrong.borrow_mut() = Some(error);
                        return;
                    }
                    total.set(total.get() + 1);
                }
            })
            .collect();
        // The first that ends has seen that it is enough, or what went wrong.
        client.wait(async {
            let mut all = all;
            all.next().await
        });
        if let Some(error) = wrong.into_inner() {
            return Err(error);
        }
        let counts = receivers.iter().zip(before).map(|((_, next), before)| next - before);
        Ok(counts.collect())
    }
}

async fn receive(
    receiver: &RemoteReceiver,
    next: &mut u64,
    payload: &Payload,
) -> Result<(), BenchError> {
    let element = receiver.recv().await.map_err(failed)?;
    check(COLUMN, "a stream's next element", *next, payload.read(element.as_slice())?)?;
    *next += 1;
    Ok(())
}
