// SPDX-License-Identifier: BSD-3-Clause
//! Creating links over shared memory.

use becket_ipc::shm::{Handshake, ShmError, ShmLimits, ShmLink, Side};
use becket_ipc::transport::{Link, Socket, SocketKind};
use rustix::event::{PollFd, PollFlags, poll};

use crate::factory::{LinkFactory, Pair, ProcessFactory, limits};

pub(crate) struct SharedMemory;

impl ProcessFactory for SharedMemory {
    const KIND: SocketKind = SocketKind::Stream;

    fn over(socket: Socket, first: bool) -> Box<dyn Link> {
        let side = if first { Side::Connected } else { Side::Accepted };
        Box::new(finish(Handshake::new(socket, side, shm_limits()).unwrap()).unwrap())
    }
}

impl LinkFactory for SharedMemory {
    fn pair() -> Pair {
        let (one, other) = pair();
        (Box::new(one), Box::new(other))
    }
}

pub(crate) fn shm_limits() -> ShmLimits {
    ShmLimits { link: limits(), ..ShmLimits::default() }
}

/// Two links in this process.
pub(crate) fn pair() -> (ShmLink, ShmLink) {
    let (one, other) = Socket::pair(SocketKind::Stream).unwrap();
    let mut one = Handshake::new(one, Side::Connected, shm_limits()).unwrap();
    let mut other = Handshake::new(other, Side::Accepted, shm_limits()).unwrap();
    assert!(one.progress().unwrap().is_none());
    let other = other.progress().unwrap().unwrap();
    (one.progress().unwrap().unwrap(), other)
}

/// Completes a handshake, waiting for what `watch` returns.
pub(crate) fn finish(mut handshake: Handshake) -> Result<ShmLink, ShmError> {
    loop {
        if let Some(link) = handshake.progress()? {
            return Ok(link);
        }
        let watch = handshake.watch();
        let readable: Vec<_> = watch.readable_one().into_iter().collect();
        let writable = watch.writable_one();
        let mut fds: Vec<_> = readable.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        fds.extend(writable.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        let _ = poll(&mut fds, None);
    }
}
