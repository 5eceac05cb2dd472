// SPDX-License-Identifier: BSD-3-Clause
//! Creating a pair of links of each transport.

pub(crate) use becket_ipc::transport::conformance::{LinkFactory, Pair};
use becket_ipc::transport::{
    Link, LinkLimits, SeqpacketLink, Socket, SocketKind, UnixStreamLink, memory,
};

/// A transport whose two ends may be in two processes, with a socket between them.
pub(crate) trait ProcessFactory {
    const KIND: SocketKind;

    /// The link at one end of the socket; `first`: the side that created the socket.
    fn over(socket: Socket, first: bool) -> Box<dyn Link>;
}

pub(crate) const BODY_BYTES_MAX: usize = 20_000;

pub(crate) fn limits() -> LinkLimits {
    LinkLimits {
        body_bytes_max: BODY_BYTES_MAX,
        out_bytes_max: 64 << 10,
        read_bytes: 4096,
        descriptors_max: 3,
    }
}

pub(crate) struct Memory;

impl LinkFactory for Memory {
    fn pair() -> Pair {
        let (one, other) = memory::pair(50, BODY_BYTES_MAX + 24);
        (Box::new(one), Box::new(other))
    }
}

pub(crate) struct Stream;

impl ProcessFactory for Stream {
    const KIND: SocketKind = SocketKind::Stream;

    fn over(socket: Socket, _: bool) -> Box<dyn Link> {
        Box::new(UnixStreamLink::new(socket, &[], limits()).unwrap())
    }
}

impl LinkFactory for Stream {
    fn pair() -> Pair {
        over_a_socket::<Self>()
    }
}

pub(crate) struct Seqpacket;

impl ProcessFactory for Seqpacket {
    const KIND: SocketKind = SocketKind::Seqpacket;

    fn over(socket: Socket, _: bool) -> Box<dyn Link> {
        Box::new(SeqpacketLink::new(socket, limits()).unwrap())
    }
}

impl LinkFactory for Seqpacket {
    fn pair() -> Pair {
        over_a_socket::<Self>()
    }
}

fn over_a_socket<F: ProcessFactory>() -> Pair {
    let (one, other) = Socket::pair(F::KIND).unwrap();
    (F::over(one, true), F::over(other, false))
}
