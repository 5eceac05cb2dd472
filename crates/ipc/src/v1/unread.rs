// SPDX-License-Identifier: BSD-3-Clause
//! How many bytes sent into a Unix socket its peer has not read.
//!
//! The kernel counts, for each socket, the memory of data that was sent and not read (`SIOCOUTQ`).
//! When the peer reads, the kernel reports room to write: an event for a thread that watches for
//! that. At that moment the count is a few bytes too high, so a few bytes count as none.

use std::os::fd::BorrowedFd;

/// Less than the memory of any packet.
const RESIDUE_BYTES: i32 = 64;

/// Whether the peer has read everything. On architectures where the request has another number this
/// is unknown, and the result is true.
pub(super) fn has_read_all(socket: BorrowedFd<'_>) -> bool {
    unread_bytes(socket).is_none_or(|bytes| bytes < RESIDUE_BYTES)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
#[allow(unsafe_code, reason = "rustix has no safe function for this request")]
fn unread_bytes(socket: BorrowedFd<'_>) -> Option<i32> {
    use rustix::ioctl::{Getter, ioctl};

    const SIOCOUTQ: u32 = 0x5411;
    // SAFETY: on these architectures the request has this number, and its result is an `int`.
    let question = unsafe { Getter::<SIOCOUTQ, i32>::new() };
    // SAFETY: the request writes only its result, for any descriptor.
    unsafe { ioctl(socket, question) }.ok()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
fn unread_bytes(_: BorrowedFd<'_>) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::fd::AsFd;

    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
    };

    use super::*;

    #[test]
    fn it_reports_unread_data_until_the_last_packet_is_read() {
        for kind in [SocketType::SEQPACKET, SocketType::STREAM] {
            let (one, other) =
                socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
            assert!(has_read_all(one.as_fd()));
            for _ in 0..2 {
                send(&one, b"x", SendFlags::NOSIGNAL).unwrap();
            }
            let mut byte = [0];
            for _ in 0..2 {
                assert!(!has_read_all(one.as_fd()));
                recv(&other, &mut byte, RecvFlags::empty()).unwrap();
            }
            assert!(has_read_all(one.as_fd()));
        }
    }
}
