// SPDX-License-Identifier: BSD-3-Clause
//! Hostile peers of `examples/zoo/ipc` against a server, with two healthy clients beside them.
//!
//! ```text
//!   hostile peer (a process) ──┐
//!                              ├──► server (a process), which the test looks at from outside
//!   two healthy clients ───────┘
//! ```
//!
//! Of each defect the test sees that
//!
//! 1. the server puts the peer out, or bears it: each attack comes to its end;
//! 2. it goes on serving: the healthy clients, over shared memory and over the socket, exchange
//!    elements all the while, lose none and get none twice, and a new one comes in afterwards;
//! 3. its memory stays bounded: the most that it ever had, as the system counts it;
//! 4. it lets everything go: descriptors, mappings, sessions are what they were;
//! 5. it comes to rest: all its threads sleep, and nobody wakes them;
//! 6. it ends well when it is asked to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod crowd;
mod healthy;
mod part;
#[path = "../../../../examples/zoo/ipc/src/peers/mod.rs"]
#[allow(clippy::undocumented_unsafe_blocks, reason = "those files are of another workspace")]
mod peers;
mod server;
mod trial;

macro_rules! each_peer {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            trial::of(stringify!($name));
        })*

        /// None of the zoo is forgotten here.
        #[test]
        fn every_peer_is_tried() {
            let tried = [$(stringify!($name)),*];
            let all: Vec<_> = peers::ALL.iter().map(|peer| peer.name).collect();
            assert_eq!(tried.as_slice(), all);
            let page = include_str!("../../../../examples/zoo/ipc/README.md");
            for peer in peers::ALL {
                assert!(page.contains(&format!("| {} |", peer.defect)), "{} is told", peer.name);
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
