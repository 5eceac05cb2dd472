// SPDX-License-Identifier: BSD-3-Clause
//! Blocks of shared memory as elements: over each transport; of hostile peers; of killed ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod crossing;
mod hostile;
mod killed;
mod memory;
mod raw;
#[path = "../remote/world.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod world;

/// Runs each test of a module over each transport.
macro_rules! over_each {
    ($($name:ident),* $(,)?) => {
        mod over_memory {
            $(#[test] fn $name() { crate::crossing::$name(&crate::world::World::memory()); })*
        }
        mod over_unix_stream {
            $(#[test] fn $name() { crate::crossing::$name(&crate::world::World::unix_stream()); })*
        }
        mod over_seqpacket {
            $(#[test] fn $name() { crate::crossing::$name(&crate::world::World::seqpacket()); })*
        }
        mod over_shared_memory {
            $(#[test] fn $name() { crate::crossing::$name(&crate::world::World::shared_memory()); })*
        }
    };
}

over_each! {
    a_block_crosses_to_a_server_and_comes_back,
    a_block_crosses_to_a_client_and_comes_back,
    what_one_client_lent_is_copied_for_another,
    what_was_refused_or_taken_back_is_free,
    what_nobody_took_goes_back_in_front,
    what_was_sent_ahead_crosses_too,
    heap_blocks_and_too_many_go_as_bytes,
    many_regions_take_turns,
    the_end_of_a_connection_frees_what_it_lent,
    a_region_that_is_given_up_is_let_go,
}
