// SPDX-License-Identifier: BSD-3-Clause
//! Peers that break the rules, one defect each. An attack ends when the server has closed the
//! connection, or, for a defect that a server may tolerate, when it has answered; otherwise the
//! attack waits.
//!
//! | module | defects |
//! |---|---|
//! | `hand` | none: a connection by hand |
//! | `segment` | none: a segment of shared memory by hand |
//! | `greeting` | of the first bytes |
//! | `frames` | of frames of protocol 2 |
//! | `streams` | of what frames say of streams |
//! | `floods` | too much of something allowed |
//! | `memory` | of shared memory |
//! | `old` | of protocol 1.0 |

mod floods;
mod frames;
mod greeting;
mod hand;
mod memory;
mod old;
mod segment;
mod streams;

use std::path::Path;

/// A hostile peer.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) defect: &'static str,
    pub(crate) attack: fn(&Path),
}

macro_rules! peers {
    ($($module:ident::$name:ident: $defect:literal,)*) => {
        /// All of them.
        pub(crate) const ALL: &[Peer] = &[$(Peer {
            name: stringify!($name),
            defect: $defect,
            attack: $module::$name,
        }),*];
    };
}

peers! {
    greeting::garbage: "random bytes instead of a greeting",
    greeting::greeting_too_long: "a greeting whose length is 4 GiB",
    greeting::greeting_never_ends: "a greeting, a byte now and then, that is never whole",
    greeting::greeting_cut_off: "a greeting whose last attribute is cut off",
    greeting::silence: "connects, and says nothing",
    greeting::silence_after_hello: "greets, and then says nothing",
    greeting::silence_before_memory: "agrees on shared memory, and offers none",
    frames::garbage_frames: "random bytes after the greeting",
    frames::huge_length: "a frame of 4 GiB",
    frames::frame_never_ends: "a frame whose last byte never comes",
    frames::attributes_cut_off: "a hello whose attributes are cut off",
    frames::second_hello: "a hello in the midst of a session",
    frames::reply_to_nothing: "answers what was not asked",
    frames::descriptors_without_need: "file descriptors beside every frame",
    streams::without_credit: "elements without credit",
    streams::returns_never_sent: "gives back elements that were never sent to it",
    streams::returns_twice: "gives an element back twice",
    streams::stale_stream: "elements for streams that are over or never were",
    streams::credit_overflows: "credit beyond all numbers",
    streams::pieces_without_end: "an element in pieces that does not end",
    streams::acknowledges_the_future: "acknowledges elements that were not sent to it",
    floods::flood_of_requests: "requests, and reads no answer",
    floods::flood_of_opens: "opens streams, and reads no answer",
    floods::flood_of_pings: "pings, and reads no pong",
    floods::flood_of_elements: "elements for a full channel, as far as its credit goes",
    floods::flood_of_connections: "10 000 connections",
    memory::not_memory: "pipes, files, devices in place of a memfd",
    memory::not_sealed: "a memfd that it then cuts off",
    memory::header_lies: "a segment whose header says what is not so",
    memory::writes_the_others: "tries to cut off and to write the server's segment",
    memory::bad_length: "a body longer than its slot",
    memory::bad_block: "a body in a block that does not exist",
    memory::bad_sequence: "a slot of a lap that never was",
    memory::bad_position: "has read frames that were not sent",
    memory::changes_while_read: "changes heads and bodies while they are read",
    memory::random_memory: "random bytes all over its segment, again and again",
    memory::storm_of_rings: "rings without a frame",
    old::old_garbage: "protocol 1.0: a command that is none, attributes that are random",
    old::old_huge_length: "protocol 1.0: a payload of 4 GiB",
    old::old_cut_off: "protocol 1.0: an attribute that is cut off",
    old::old_flood: "protocol 1.0: requests, and reads no answer",
}
