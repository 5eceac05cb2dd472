// SPDX-License-Identifier: BSD-3-Clause
//! A transport of one's own in the lab: frames over a socket, and channels over them.

#![allow(clippy::print_stdout, reason = "an example says what it found")]

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use becket_ipc::transport::{Ancillary, Link, LinkCounters, LinkError, OnReady, Peer, Watch};
use becket_lab::adapters::Pair;
use becket_lab::bridge::Spec;
use becket_lab::bridge::transport;
use becket_lab::check::{self, Options};
use becket_lab::contract::Limits;
use becket_lab::report::Report;
use becket_wire::{Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};

const BODY_BYTES_MAX: usize = 4096;
const OUT_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// Frames in a byte stream. The template with everything that belongs to a link is
/// `examples/adapters/tls-link`.
struct SocketLink {
    socket: UnixStream,
    decoder: Decoder,
    incoming: Vec<u8>,
    outgoing: VecDeque<u8>,
    /// The socket took less than there was.
    is_blocked: bool,
    /// Nothing that is written reaches the peer any more.
    is_gone: bool,
    /// What `take` reports after the last frame.
    ended: Option<LinkError>,
    peer: Peer,
    counters: LinkCounters,
}

impl SocketLink {
    fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            decoder: Decoder::new(BODY_BYTES_MAX as u32),
            incoming: Vec::new(),
            outgoing: VecDeque::new(),
            is_blocked: false,
            is_gone: false,
            ended: None,
            peer: Peer::own(),
            counters: LinkCounters::default(),
        }
    }

    /// Reads once. False: nothing has come, nor the end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.ended = Some(LinkError::Closed),
            Ok(count) => {
                self.incoming.extend_from_slice(buffer.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.ended = Some(LinkError::Closed),
        }
        true
    }
}

impl Outlet for SocketLink {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        if self.is_gone {
            self.counters.bytes_discarded += (HEAD_BYTES + body.len()) as u64;
            return Ok(());
        }
        if self.outgoing.len() + HEAD_BYTES + body.len() > OUT_BYTES_MAX {
            return Err(Full);
        }
        self.outgoing.extend(head.encode());
        self.outgoing.extend(body);
        self.counters.frames_out += 1;
        Ok(())
    }
}

impl Link for SocketLink {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        let mut frames = 0;
        while frames < frames_max {
            match self.decoder.decode(&self.incoming) {
                Ok(Some((frame, bytes))) => {
                    sink(frame, Ancillary::nothing());
                    self.incoming.drain(..bytes);
                    frames += 1;
                    self.counters.frames_in += 1;
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    self.ended = Some(error.into());
                    self.incoming.clear();
                }
            }
            if self.ended.is_some() || !self.read() {
                break;
            }
        }
        match self.ended {
            Some(error) if frames == 0 && frames_max > 0 => Err(error),
            _ => Ok(frames),
        }
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        self.is_blocked = false;
        while !self.outgoing.is_empty() && !self.is_blocked {
            match self.socket.write(self.outgoing.as_slices().0) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.is_gone = true;
                    self.counters.bytes_discarded += self.outgoing.len() as u64;
                    self.outgoing.clear();
                }
            }
        }
        Ok(!self.is_blocked)
    }

    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        match descriptors.len() {
            0 => Ok(()),
            count => Err(LinkError::TooManyDescriptors { count, count_max: 0 }),
        }
    }

    fn watch(&self) -> Watch<'_> {
        let socket = self.socket.as_fd();
        Watch::readable(socket).and_writable(self.is_blocked.then_some(socket))
    }

    fn on_ready(&mut self, _: OnReady) {}

    /// Bytes of a frame that `take` has read and not passed on make no descriptor ready.
    fn prepare_wait(&mut self) -> bool {
        self.ended.is_some() || !matches!(self.decoder.decode(&self.incoming), Ok(None))
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn name(&self) -> &'static str {
        "socket"
    }

    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX
    }

    fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn close(&mut self) {
        self.is_gone = true;
        self.ended.get_or_insert(LinkError::Closed);
        // The other direction stays until the drop: unread bytes would reset the connection.
        let _gone = self.socket.shutdown(Shutdown::Write);
    }
}

// ANCHOR: check
/// A pair of adapters with these limits: each flow is a channel over a link of its own, and the lab
/// carries the bytes between the two sockets.
fn make(limits: Limits) -> Pair {
    transport::pair_over_sockets(&Spec::new("socket-link", limits), |client, server| {
        Ok((Box::new(SocketLink::new(client)), Box::new(SocketLink::new(server))))
    })
}

/// Puts it through the quick scenarios.
fn check_it() -> Report {
    check::run(&Options::quick("socket-link", &make))
}
// ANCHOR_END: check

fn main() {
    let report = check_it();
    for gate in &report.gates {
        println!("{:<44}{}", gate.name, gate.verdict);
    }
    for failure in &report.failures {
        println!("{:?} in {}, seed {}", failure.rule, failure.scenario, failure.seed);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn channels_over_it_break_no_rule() {
        let report = super::check_it();
        let broken = report.gates.iter().filter(|gate| gate.verdict == "fail").count();
        assert_eq!(broken, 0, "{:?}\n{:#?}", report.gates, report.failures);
    }
}
