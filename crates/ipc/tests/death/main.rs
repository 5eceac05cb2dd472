// SPDX-License-Identifier: BSD-3-Clause
//! kill -9 of either side, at random points, under load.
//!
//! ```text
//!              ┌─ sender ──┐                       ┌─ receiver ─┐
//!   this test ─┼─ sender ──┼──► server, four kinds ┼─ receiver ─┼─ each a process of its own
//!      ▲       └───────────┘        of channels    └────────────┘
//!      └──────────── reports: elements intended, sent, received, before each step
//! ```
//!
//! The test kills a process after a random number of its reports, in the middle of its operations,
//! and continues. The requirements:
//!
//! 1. No process hangs: every operation of the survivors ends, with a typed error if its server is
//!    gone.
//! 2. No element is delivered twice, changed, or invented; a refused element is never delivered.
//! 3. An accepted element is received, or in its channel, or was handed to a receiver that was
//!    killed: at most its window, and the one that it had not reported yet.
//! 4. Survivors hold the same descriptors and mappings of shared memory as before.
//! 5. Nothing is left in `/dev/shm`; the next server replaces the files of a killed one, and a
//!    server that ends leaves none.
//!
//! `BECKET_DEATH_ROUNDS` is the number of kills, over all transports; `cargo xtask ipc-death
//! --rounds N` sets it. `BECKET_DEATH_SEED` repeats the choices of a run, not its schedule.
//!
//! | file | contents |
//! |---|---|
//! | `rounds` | the kills, and the checks after them |
//! | `ledger` | every element: intended, accepted, received, left |
//! | `crew` | the processes, and the resources that they hold |
//! | `report`, `what` | their reports to the test |
//! | `part` | the part that this process plays |
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
mod what;

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
