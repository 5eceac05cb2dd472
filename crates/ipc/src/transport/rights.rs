// SPDX-License-Identifier: BSD-3-Clause
//! File descriptors as ancillary data of a Unix socket (`SCM_RIGHTS`).
//!
//! Received descriptors are close-on-exec from the start. The kernel installs no more of them than
//! the control buffer has room for; those above the limit are closed here. It also installs fewer if
//! this process has no descriptor left, with the same flag: that is an error of this process, which
//! must not be blamed on the peer.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::limits::LinkLimits;

/// Never blocks; a disconnected peer is an error instead of a signal.
pub(crate) const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// The size of a control message with the maximum number of descriptors of a frame.
const SPACE: usize = rustix::cmsg_space!(ScmRights(LinkLimits::DESCRIPTORS_MAX));

/// The result of one receiving call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: usize,
    /// The packet was longer than the buffer.
    pub(crate) truncated: bool,
    /// Descriptors above the limit arrived too, and were closed.
    pub(crate) cut: bool,
}

/// Sends the bytes, or a prefix of them, with the descriptors as ancillary data of the first byte.
pub(crate) fn send(
    socket: &impl AsFd,
    bytes: &[IoSlice<'_>],
    descriptors: &[OwnedFd],
) -> Result<usize, Errno> {
    if descriptors.is_empty() {
        return rustix::net::sendmsg(socket, bytes, &mut SendAncillaryBuffer::default(), SEND);
    }
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Errno::TOOMANYREFS);
    }
    rustix::net::sendmsg(socket, bytes, &mut control, SEND)
}

/// Receives into `buffer`; descriptors that arrived, at most `descriptors_max`, are appended.
///
/// `MFILE`, `NFILE`: this process could not have all of them; what came with them is lost too.
pub(crate) fn receive(
    socket: &impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
    descriptors_max: usize,
) -> Result<Received, Errno> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let got = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut cut = got.flags.contains(ReturnFlags::CTRUNC);
    if cut && let Err(errno @ (Errno::MFILE | Errno::NFILE)) = fcntl_dupfd_cloexec(socket, 0) {
        return Err(errno);
    }
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            for descriptor in came {
                if descriptors.len() < descriptors_max {
                    descriptors.push(descriptor);
                } else {
                    cut = true;
                }
            }
        }
    }
    Ok(Received { bytes: got.bytes, truncated: got.flags.contains(ReturnFlags::TRUNC), cut })
}
