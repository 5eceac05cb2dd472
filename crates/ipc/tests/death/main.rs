// SPDX-License-Identifier: BSD-3-Clause
//! kill -9 of either side, at random points, under load.
//!
//! ```text
//!              ┌─ sender ──┐                       ┌─ receiver ─┐
//!   this test ─┼─ sender ──┼──► server, four kinds ┼─ receiver ─┼─ each a process of its own
//!      ▲       └───────────┘        of channels    └────────────┘
//!      └──────────── what each intends, has sent, has received: before it goes on
//! ```
//!
//! The test kills a process after a random number of its reports, in the midst of what it does, and
//! goes on. What must hold:
//!
//! 1. Nobody hangs: every operation of who survives ends, with a typed error if its server is gone.
//! 2. No element is delivered twice, changed, or made up; one whose send was refused is never
//!    delivered.
//! 3. An element that was accepted is received, or in its channel, or was handed to a receiver that
//!    was killed: at most its window, and the one that it had not reported yet.
//! 4. Who survives holds what it held before: descriptors, mappings of shared memory.
//! 5. Nothing is left in `/dev/shm`; the next server replaces the files of one that was killed, and
//!    one that ends leaves none.
//!
//! `BECKET_DEATH_ROUNDS` says how many are killed, over all transports; `cargo xtask ipc-death
//! --rounds N` does so. `BECKET_DEATH_SEED` repeats the choices of a run, not its schedule.
//!
//! | file | what lives there |
//! |---|---|
//! | `rounds` | who is killed, and what must hold afterwards |
//! | `ledger` | every element: intended, accepted, received, left |
//! | `crew` | the processes, and what they hold |
//! | `report` | what they say to the test |
//! | `part` | which part this process plays |
//! | `serving`, `client`, `old` | a server; a client of protocol 2; one of protocol 1.0, by hand |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod crew;
mod ledger;
mod old;
mod part;
mod report;
mod rounds;
mod serving;

use part::Transport;

macro_rules! dies_well {
    ($($name:ident: $transport:expr),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[test]
            fn clients_are_killed() {
                rounds::clients_are_killed($transport);
            }

            #[test]
            fn servers_are_killed() {
                rounds::servers_are_killed($transport);
            }
        }
    )*};
}

dies_well! {
    shared_memory: Transport::SharedMemory,
    unix_stream: Transport::Stream,
    seqpacket: Transport::Seqpacket,
    protocol_1_packets: Transport::OldPackets,
    protocol_1_bytes: Transport::OldBytes,
}
