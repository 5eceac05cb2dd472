// SPDX-License-Identifier: BSD-3-Clause
//! Blocks of shared memory as elements: over each transport; with hostile peers; with killed ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod closed;
mod crossing;
mod hostile;
mod killed;
mod lingering;
mod machine;
mod memory;
mod raw;
#[path = "../remote/world.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod world;

/// Runs each test of a module over each transport.
macro_rules! over_each {
    ($module:ident: $($name:ident),* $(,)?) => {
        mod over_memory {
            $(#[test] fn $name() { crate::$module::$name(&crate::world::World::memory()); })*
        }
        mod over_unix_stream {
            $(#[test] fn $name() { crate::$module::$name(&crate::world::World::unix_stream()); })*
        }
        mod over_seqpacket {
            $(#[test] fn $name() { crate::$module::$name(&crate::world::World::seqpacket()); })*
        }
        mod over_shared_memory {
            $(#[test] fn $name() { crate::$module::$name(&crate::world::World::shared_memory()); })*
        }
    };
}

over_each! { crossing:
    a_block_crosses_to_a_server_and_comes_back,
    a_block_crosses_to_a_client_and_comes_back,
    a_block_of_one_client_is_copied_for_another,
    a_refused_or_withdrawn_block_is_free,
    blocks_that_are_not_received_are_requeued,
    blocks_sent_ahead_cross_too,
    heap_blocks_and_too_many_go_as_bytes,
    many_regions_alternate,
    the_end_of_a_connection_frees_what_it_lent,
    a_region_that_is_released_is_not_kept,
}

mod held_when_closed {
    over_each! { closed:
        by_the_client_that_lent_them,
        by_the_server_that_holds_them,
        by_the_client_that_holds_them,
        by_the_server_that_lent_them,
        in_both_directions_by_the_client,
        in_both_directions_by_the_server,
        no_descriptor_and_no_mapping_is_left,
    }
}

/// Runs each test of `lingering` over each link.
macro_rules! over_each_link {
    ($($link:ident: $($name:ident),* $(,)?;)*) => {
        mod lingering_over { $(
            mod $link {
                $(#[test] fn $name() { crate::lingering::$name(crate::raw::$link); })*
            }
        )* }
    };
    ($($name:ident),* $(,)?) => {
        over_each_link! {
            in_memory: $($name),*;
            unix_stream: $($name),*;
            seqpacket: $($name),*;
            shared_memory: $($name),*;
        }
    };
}

over_each_link! {
    a_close_finds_the_link_full,
    a_peer_floods_releases,
    a_peer_sends_a_release_twice,
    a_peer_sends_something_else,
    a_peer_lends_without_end,
    a_peer_disconnects,
}
