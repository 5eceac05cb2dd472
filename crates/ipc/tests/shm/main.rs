// SPDX-License-Identifier: BSD-3-Clause
//! Shared memory: the rules of every transport, and hostile or killed peers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../transport/death.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "shared with the other transports")]
mod death;
#[path = "../transport/factory.rs"]
#[allow(dead_code, reason = "shared with the other transports")]
mod factory;
mod hostile;
mod kill;
mod shared_memory;

use shared_memory::SharedMemory;

becket_ipc::link_conforms!(link, SharedMemory);

/// The other side of these is a process; both sides' handshakes depend on each other.
mod process {
    use super::{SharedMemory, death};

    /// The other side, when the variable is set; otherwise does nothing.
    #[test]
    fn other_side() {
        death::be_the_other_side::<SharedMemory>();
    }

    #[test]
    fn a_kill_is_reported_after_all_that_was_sent() {
        death::a_kill_is_reported_after_all_that_was_sent::<SharedMemory>("process::other_side");
    }

    #[test]
    fn a_kill_wakes_a_waiting_side() {
        death::a_kill_wakes_a_waiting_side::<SharedMemory>("process::other_side");
    }
}
