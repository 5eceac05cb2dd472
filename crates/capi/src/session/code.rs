// SPDX-License-Identifier: BSD-3-Clause
//! The one table of errors of `kcoro_session.h`.

use std::ffi::c_int;

use becket_ipc::channels::ChannelError;
use becket_ipc::shm::ShmError;
use becket_ipc::transport::LinkError;
use becket_ipc::{
    ConnectError, Ended, HandshakeError, OpenError, RecvError, SendError, ServeError,
};

use crate::errno;

pub(super) const EMSGSIZE: c_int = -libc::EMSGSIZE;
pub(super) const EEXIST: c_int = -libc::EEXIST;
pub(super) const EPROTO: c_int = -libc::EPROTO;
pub(super) const ECONNRESET: c_int = -libc::ECONNRESET;
/// `KC_EUNKNOWN`.
pub(super) const EUNKNOWN: c_int = -libc::EREMOTEIO;

pub(super) fn of_send(error: &SendError) -> c_int {
    match error {
        SendError::Closed { .. } => errno::EPIPE,
        SendError::TimedOut(_) => errno::ETIME,
        SendError::Cancelled(_) => errno::ECANCELED,
        SendError::WouldBlock(_) => errno::EAGAIN,
        SendError::TooLong(_) => EMSGSIZE,
        SendError::WrongLength(_) => errno::EINVAL,
        SendError::Disconnected { ended, .. } => of_end(ended),
        SendError::Unknown { .. } => EUNKNOWN,
        _ => errno::EIO,
    }
}

pub(super) fn of_recv(error: &RecvError) -> c_int {
    match error {
        RecvError::Closed { .. } => errno::EPIPE,
        RecvError::TimedOut => errno::ETIME,
        RecvError::Cancelled => errno::ECANCELED,
        RecvError::WouldBlock => errno::EAGAIN,
        RecvError::Disconnected(ended) => of_end(ended),
        _ => errno::EIO,
    }
}

pub(super) fn of_open(error: &OpenError) -> c_int {
    match error {
        OpenError::NotFound(_) => errno::ENOENT,
        OpenError::Exists(_) => EEXIST,
        OpenError::Unsupported(_) => errno::ENOTSUP,
        OpenError::TooMany => errno::ENOSPC,
        // The server's number is one of `errno.h`; 0: it was refused on this side.
        OpenError::Refused { code: 0, .. } => errno::EINVAL,
        OpenError::Refused { code, .. } => -c_int::from(*code),
        OpenError::BadAnswer(_) => EPROTO,
        OpenError::Disconnected(ended) => of_end(ended),
        _ => errno::EIO,
    }
}

/// A peer that violates the protocol has another number than one that is gone.
pub(super) fn of_end(ended: &Ended) -> c_int {
    match ended {
        Ended::Protocol(_) => EPROTO,
        _ => ECONNRESET,
    }
}

pub(super) fn of_connect(error: &ConnectError) -> c_int {
    match error {
        ConnectError::Socket(error) => -error.errno(),
        ConnectError::Handshake { source, .. } => of_handshake(source),
        ConnectError::SharedMemory { source, .. } => of_memory(source),
        ConnectError::Link(error) => of_link(error),
        ConnectError::Watch(error) => error.raw_os_error().map_or(errno::EIO, |number| -number),
        _ => errno::EIO,
    }
}

fn of_memory(error: &ShmError) -> c_int {
    match error {
        ShmError::Closed => ECONNRESET,
        ShmError::Io { source, .. } => -source.raw_os_error(),
        _ => EPROTO,
    }
}

fn of_handshake(error: &HandshakeError) -> c_int {
    match error {
        HandshakeError::Link(error) => of_link(error),
        HandshakeError::Silent(_) => errno::ETIME,
        HandshakeError::Watch(number) => -number.raw_os_error(),
        _ => EPROTO,
    }
}

fn of_link(error: &LinkError) -> c_int {
    match error {
        LinkError::Closed => ECONNRESET,
        LinkError::System(number) => -number.raw_os_error(),
        _ => EPROTO,
    }
}

pub(crate) fn of_serve(error: &ServeError) -> c_int {
    match error {
        ServeError::Listen(error) => -error.errno(),
        ServeError::Watch { source, .. } => {
            source.raw_os_error().map_or(errno::EIO, |number| -number)
        }
        _ => errno::EIO,
    }
}

pub(super) fn of_channel(error: &ChannelError) -> c_int {
    match error {
        ChannelError::NameTaken(_) => EEXIST,
        ChannelError::BadName(_) | ChannelError::BadCapacity(_) => errno::EINVAL,
        _ => errno::ENOSPC,
    }
}
