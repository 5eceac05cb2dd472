// SPDX-License-Identifier: BSD-3-Clause
//! The participants: the columns of the tables, and the transports that a child process can join.

use super::child::Arguments;
use super::floors::{eventfd, futex, slots, word};
use super::ours::{self, c, handed, remote, ring, streams};
use super::peers::{iceoryx2, ipc_channel, seqpacket, shmem_ipc, unix_stream};
use super::way::Kind;
use crate::error::BenchError;

/// The columns: ours first, the floors last.
pub(crate) const COLUMNS: [&str; 16] = [
    ours::COLUMN,
    "iceoryx2",
    iceoryx2::Polling::COLUMN,
    iceoryx2::Events::COLUMN,
    ipc_channel::Bytes::COLUMN,
    shmem_ipc::Events::COLUMN,
    shmem_ipc::Polling::COLUMN,
    unix_stream::Plain::COLUMN,
    unix_stream::Polled::COLUMN,
    unix_stream::Coalesced::COLUMN,
    seqpacket::Seqpacket::COLUMN,
    word::Word::COLUMN,
    slots::Slots::COLUMN,
    futex::Futex::COLUMN,
    eventfd::Eventfd::COLUMN,
    "memcpy",
];

/// How many of the columns are floors.
pub(crate) const FLOORS: usize = 5;

/// Every kind of way, so that this program can be its other end.
macro_rules! kinds {
    ($($kind:ty),+ $(,)?) => {
        /// What a child does: the words after its first argument say which kind of way it joins.
        pub(crate) fn serve(words: &[String]) -> Result<(), BenchError> {
            let (kind, arguments) = words
                .split_first()
                .and_then(|(kind, rest)| Some((kind, Arguments::read(rest)?)))
                .ok_or_else(|| usage(words))?;
            $(if kind == key::<$kind>() {
                return arguments.serve::<$kind>();
            })+
            Err(usage(words))
        }
    };
}

kinds![
    ring::Ring,
    handed::Handed,
    remote::Shared,
    remote::Unix,
    remote::SharedServer,
    remote::UnixServer,
    streams::Streams,
    c::Shared,
    c::Unix,
    iceoryx2::Polling,
    iceoryx2::Events,
    iceoryx2::Loans,
    ipc_channel::Bytes,
    ipc_channel::Memory,
    shmem_ipc::Events,
    shmem_ipc::Polling,
    unix_stream::Plain,
    unix_stream::Polled,
    unix_stream::Coalesced,
    seqpacket::Seqpacket,
    word::Word,
    slots::Slots,
    futex::Futex,
    eventfd::Eventfd,
];

/// The argument that names the kind of a child's way: several kinds may share a column.
pub(crate) fn key<K: Kind>() -> &'static str {
    std::any::type_name::<K>()
}

fn usage(words: &[String]) -> BenchError {
    let usage = "KIND CPU WORK ADDRESS".to_owned();
    BenchError::Usage { argument: words.join(" "), usage }
}
