// SPDX-License-Identifier: BSD-3-Clause
//! shmem-ipc: a ring of bytes in shared memory for each direction. It has no message boundaries:
//! all messages have the same length. A waiter sleeps on its eventfd, or polls the ring; with
//! polling the eventfd is not written.

use std::fs::File;
use std::hint::spin_loop;
use std::os::fd::OwnedFd;

use shmem_ipc::sharedring::{Receiver, Sender};

use crate::error::BenchError;
use crate::ipc::payload::{Payload, sum};
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// By two that sleep.
pub(crate) enum Events {}
/// By two that spin.
pub(crate) enum Polling {}

/// An end.
pub(crate) struct End {
    out: Sender<u8>,
    inward: Receiver<u8>,
    payload: Payload,
    polls: bool,
}

const NAME: &str = "shmem-ipc";

macro_rules! kind {
    ($kind:ident, $column:literal, polls: $polls:literal) => {
        impl Kind for $kind {
            const COLUMN: &str = $column;
            type Host = (Sender<u8>, Receiver<u8>);
            type End = End;

            fn invite(work: Work) -> Result<(Invitation, Self::Host), BenchError> {
                let out = Sender::<u8>::new(capacity(work)).map_err(failed)?;
                let inward = Receiver::<u8>::new(capacity(work)).map_err(failed)?;
                let files = [
                    (out.memfd().as_file(), out.empty_signal(), out.full_signal()),
                    (inward.memfd().as_file(), inward.empty_signal(), inward.full_signal()),
                ];
                let mut descriptors = Vec::new();
                for (memory, empty, full) in files {
                    for file in [memory, empty, full] {
                        descriptors.push(OwnedFd::from(file.try_clone().map_err(failed)?));
                    }
                }
                Ok((Invitation::of(descriptors), (out, inward)))
            }

            fn accept((out, inward): Self::Host, work: Work) -> Result<End, BenchError> {
                let payload = Payload::new($column, work.bytes());
                Ok(End { out, inward, payload, polls: $polls })
            }

            fn join(mut invitation: Invitation, work: Work) -> Result<End, BenchError> {
                let mut next = || invitation.descriptor().map(File::from);
                let (memory, empty, full) = (next()?, next()?, next()?);
                let inward = Receiver::open(capacity(work), memory, empty, full).map_err(failed)?;
                let (memory, empty, full) = (next()?, next()?, next()?);
                let out = Sender::open(capacity(work), memory, empty, full).map_err(failed)?;
                Self::accept((out, inward), work)
            }
        }
    };
}

kind!(Events, "shmem-ipc", polls: false);
kind!(Polling, "shmem-ipc, polling", polls: true);

/// Bytes of a ring.
fn capacity(work: Work) -> usize {
    (work.depth() * work.bytes()).next_multiple_of(64)
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        let mut rest = self.payload.stamped(number);
        while !rest.is_empty() {
            let fill = |room: *mut u8, count: usize| {
                let count = count.min(rest.len());
                let (now, later) = rest.split_at(count);
                // SAFETY: the ring lends `count` bytes to write; `now` is private memory.
                unsafe { room.copy_from_nonoverlapping(now.as_ptr(), count) };
                rest = later;
                count
            };
            if self.polls {
                // Looks only: an attempt that fails writes to the counter that both share.
                while self.out.sender_mut().write_count().map_err(failed)? == 0 {
                    spin_loop();
                }
                self.out.sender_mut().send(fill).map_err(failed)?;
            } else {
                self.out.block_until_writable().map_err(failed)?;
                self.out.send_raw(fill).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let (bytes, mut read, mut number, mut total) = (self.payload.bytes(), 0, 0, 0_u64);
        while read < bytes {
            let look = |piece: *const u8, count: usize| {
                let count = count.min(bytes - read);
                // SAFETY: the ring lends `count` bytes, which the other process does not write
                // before they are given back.
                let piece = unsafe { std::slice::from_raw_parts(piece, count) };
                if read == 0 {
                    number = piece.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
                }
                // A ring is a multiple of 64 bytes long: no piece ends within a word.
                total = total.wrapping_add(sum(piece));
                read += count;
                count
            };
            if self.polls {
                while self.inward.receiver_mut().read_count().map_err(failed)? == 0 {
                    spin_loop();
                }
                self.inward.receiver_mut().recv(look).map_err(failed)?;
            } else {
                self.inward.block_until_readable().map_err(failed)?;
                self.inward.receive_raw(look).map_err(failed)?;
            }
        }
        self.payload.judge(number, total)
    }

    fn take_now(&mut self) -> Result<Option<u64>, BenchError> {
        let here = self.inward.receiver_mut().read_count().map_err(failed)?;
        if here < self.payload.bytes() { Ok(None) } else { self.take().map(Some) }
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> BenchError {
    BenchError::host(NAME, error)
}
