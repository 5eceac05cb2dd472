// SPDX-License-Identifier: BSD-3-Clause
//! How much of what was sent into a Unix socket its peer has not read.
//!
//! The kernel counts for each socket the memory of what it has sent and nobody has read (`SIOCOUTQ`).
//! When the peer reads, it says that there is room to write: an event for who watches for that. It
//! counts a byte too many at that moment, so a few bytes are none.

use std::os::fd::BorrowedFd;

/// No packet takes as little memory as this.
const RESIDUE_BYTES: i32 = 64;

/// Whether the peer has read everything. On processors where the question has another number
/// nobody knows, and the answer is yes.
pub(super) fn has_read_all(socket: BorrowedFd<'_>) -> bool {
    unread_bytes(socket).is_none_or(|bytes| bytes < RESIDUE_BYTES)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
#[allow(unsafe_code, reason = "rustix has no safe function for this question")]
fn unread_bytes(socket: BorrowedFd<'_>) -> Option<i32> {
    use rustix::ioctl::{Getter, ioctl};

    const SIOCOUTQ: u32 = 0x5411;
    // SAFETY: on these processors the question has this number, and its answer is an `int`.
    let question = unsafe { Getter::<SIOCOUTQ, i32>::new() };
    // SAFETY: the question writes its answer and nothing else, to any descriptor.
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
    fn it_knows_until_the_last_packet_is_read() {
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
