// SPDX-License-Identifier: BSD-3-Clause
//! The other process: this program again, at the other end of the transport.
//!
//! ```text
//!   harness                                      child, its standard input is a socket
//!     one byte, with descriptors  ─────▶           joins
//!                                 ◀─────  "joined\n"
//!     "4096\n"                    ─────▶           serves so many messages and one before them
//!                                 ◀─────  "8386560 183945…\n": the sum of the numbers, when
//! ```
//!
//! Between blocks it waits for the next line, so that a spinning child does not take the CPU of the
//! side being measured. It ends when the socket does, and dies with this process.

use std::fs;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child as Process, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, set_parent_process_death_signal};

use super::columns::key;
use super::place::Place;
use super::shared::Shared;
use super::way::{Invitation, Kind, Way};
use super::work::{Other, Served, Work};
use crate::error::{BenchError, check};
use crate::machine::{pin, switches_of};

/// The argument that makes this program a child.
pub(crate) const SERVE: &str = "--serve-ipc";

/// What goes through a way before a block, so that both are at their places.
pub(crate) const GATE: u64 = u64::MAX;

/// Descriptors that an invitation has at most.
const DESCRIPTORS_MAX: usize = 16;

/// How long a child has to join, and to answer once its work is done.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process at the other end.
#[derive(Debug)]
pub(crate) struct Child {
    peer: &'static str,
    process: Process,
    control: BufReader<UnixStream>,
    /// Where it is, and when messages leave.
    pub(crate) other: Other,
}

impl Child {
    /// Starts one that joins a way of this kind.
    pub(crate) fn start<K: Kind>(
        place: Place,
        work: Work,
        mut invitation: Invitation,
    ) -> Result<Self, BenchError> {
        let (control, theirs) = UnixStream::pair().map_err(no_process)?;
        control.set_read_timeout(Some(PATIENCE)).map_err(no_process)?;
        let (times, descriptor) = Shared::create(Other::BYTES)?;
        invitation.descriptors.insert(0, descriptor);
        let itself = std::env::current_exe().map_err(no_process)?;
        let process = Command::new(itself)
            .args([SERVE, key::<K>(), &place.second().to_string(), &work.line(), &invitation.text])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(no_process)?;
        let other = Other::new(process.id(), times)?;
        hand_over(&control, &invitation.descriptors)?;
        let control = BufReader::new(control);
        Ok(Self { peer: K::COLUMN, process, control, other })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it has joined.
    pub(crate) fn joined(&mut self) -> Result<(), BenchError> {
        let line = self.line()?;
        check(self.peer, "a process that joins", "joined", line.as_str())
    }

    /// Has it serve so many messages, and one before them.
    pub(crate) fn order(&mut self, n: u64) -> Result<(), BenchError> {
        self.other.begin(self.process.id())?;
        writeln!(self.control.get_mut(), "{n}").map_err(no_process)
    }

    /// What it has served.
    pub(crate) fn served(&mut self) -> Result<Served, BenchError> {
        let line = self.line()?;
        let mut numbers = line.split(' ').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(sum)), Some(Ok(end_ns))) => Ok(Served { sum, end_ns }),
            _ => Err(BenchError::Program { program: self.peer, output: line }),
        }
    }

    /// How often the kernel has given the CPU of one of its threads to another process.
    pub(crate) fn switches(&self) -> Option<u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()?;
        Some(threads.flatten().filter_map(|thread| switches_of(&thread.path())).sum())
    }

    /// At most so long as it may take.
    fn wait_for_end(&self) {
        let Some(pid) = Pid::from_raw(self.process.id().cast_signed()) else {
            return;
        };
        if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
            let limit = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
            let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit));
        }
    }

    fn line(&mut self) -> Result<String, BenchError> {
        let mut line = String::new();
        self.control.read_line(&mut line).map_err(no_process)?;
        if line.is_empty() {
            line = format!("it has ended: {:?}", self.process.try_wait());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Given the time to remove what it has made in the file system.
        let _ = self.control.get_ref().shutdown(std::net::Shutdown::Both);
        self.wait_for_end();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a child was started with.
pub(crate) struct Arguments<'a> {
    cpu: usize,
    work: Work,
    text: &'a str,
}

impl<'a> Arguments<'a> {
    /// From the words after the column's name.
    pub(crate) fn read(words: &'a [String]) -> Option<Self> {
        let [cpu, work, text] = words else {
            return None;
        };
        Some(Self { cpu: cpu.parse().ok()?, work: Work::named(work)?, text })
    }

    /// Joins, then serves until there are no more orders.
    pub(crate) fn serve<K: Kind>(&self) -> Result<(), BenchError> {
        pin(self.cpu)?;
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| no_process(e.into()))?;
        let control = std::io::stdin().as_fd().try_clone_to_owned().map_err(no_process)?;
        let mut control = BufReader::new(UnixStream::from(control));
        let descriptors = taken_over(control.get_ref())?;
        let mut invitation = Invitation { descriptors, text: self.text.to_owned() };
        let times = Shared::open(&invitation.descriptor()?, Other::BYTES)?;
        let mut other = Other::new(std::os::unix::process::parent_id(), times)?;
        let mut way = K::join(invitation, self.work)?;
        writeln!(control.get_mut(), "joined").map_err(no_process)?;

        let mut line = String::new();
        while control.read_line(&mut line).map_err(no_process)? > 0 {
            let n = line.trim_end().parse().unwrap_or(0);
            line.clear();
            other.begin(std::os::unix::process::parent_id())?;
            let gate = way.take()?;
            way.put(gate)?;
            way.flush()?;
            let served = self.work.serve(&mut way, &other, n)?;
            writeln!(control.get_mut(), "{} {}", served.sum, served.end_ns).map_err(no_process)?;
        }
        Ok(())
    }
}

/// Passes descriptors with one byte.
pub(crate) fn hand_over(socket: &UnixStream, descriptors: &[OwnedFd]) -> Result<(), BenchError> {
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(BenchError::Worker);
    }
    sendmsg(socket, &[IoSlice::new(b"\n")], &mut beside, SendFlags::NOSIGNAL)
        .map_err(|error| no_process(error.into()))?;
    Ok(())
}

/// Takes one byte and the descriptors beside it.
pub(crate) fn taken_over(socket: &UnixStream) -> Result<Vec<OwnedFd>, BenchError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut beside, RecvFlags::CMSG_CLOEXEC)
        .map_err(|error| no_process(error.into()))?;
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    Ok(descriptors)
}

fn no_process(source: std::io::Error) -> BenchError {
    BenchError::System { what: "start the other process, or speak with it", source }
}
