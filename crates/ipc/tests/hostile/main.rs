// SPDX-License-Identifier: BSD-3-Clause
//! Hostile peers of `examples/zoo/ipc` against a server, with two healthy clients beside them.
//!
//! ```text
//!   hostile peer (a process) ──┐
//!                              ├──► server (a process), which the test examines from outside
//!   two healthy clients ───────┘
//! ```
//!
//! For each defect the test checks that
//!
//! 1. the server disconnects the peer, or tolerates it: each attack ends;
//! 2. it continues to serve: the healthy clients, over shared memory and over the socket, exchange
//!    elements all the while, lose none and get none twice, and a new one can connect afterwards;
//! 3. its memory stays bounded: the peak, as reported by the system;
//! 4. it releases everything: descriptors, mappings, sessions are the same as before;
//! 5. it becomes idle: all its threads sleep, and none is woken;
//! 6. it ends successfully on request.
//!
//! `together` has all of them at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod crowd;
mod healthy;
mod part;
#[path = "../../../../examples/zoo/ipc/src/peers/mod.rs"]
#[allow(clippy::undocumented_unsafe_blocks, reason = "those files are of another workspace")]
mod peers;
mod server;
mod together;
mod trial;

macro_rules! each_peer {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            trial::of(stringify!($name));
        })*

        /// Every peer of the zoo has a test here.
        #[test]
        fn every_peer_is_tried() {
            let tried = [$(stringify!($name)),*];
            let all: Vec<_> = peers::ALL.iter().map(|peer| peer.name).collect();
            assert_eq!(tried.as_slice(), all);
            let page = include_str!("../../../../examples/zoo/ipc/README.md");
            for peer in peers::ALL {
                assert!(page.contains(&format!("| {} |", peer.defect)), "{} is documented", peer.name);
            }
        }
    };
}

each_peer! {
    garbage,
    greeting_too_long,
    greeting_never_ends,
    greeting_cut_off,
    silence,
    silence_after_hello,
    silence_before_memory,
    garbage_frames,
    huge_length,
    frame_never_ends,
    attributes_cut_off,
    second_hello,
    reply_to_nothing,
    descriptors_without_need,
    without_credit,
    returns_never_sent,
    returns_twice,
    stale_stream,
    credit_overflows,
    pieces_without_end,
    acknowledges_the_future,
    flood_of_requests,
    flood_of_opens,
    flood_of_pings,
    flood_of_elements,
    flood_of_connections,
    not_memory,
    not_sealed,
    header_lies,
    writes_the_others,
    bad_length,
    bad_block,
    bad_sequence,
    bad_position,
    changes_while_read,
    random_memory,
    storm_of_rings,
    old_garbage,
    old_huge_length,
    old_cut_off,
    old_flood,
}
