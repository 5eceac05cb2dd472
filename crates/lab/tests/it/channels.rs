// SPDX-License-Identifier: BSD-3-Clause
//! Each kind of channel of `becket-chan` passes, and channels that lose something do not.

use becket_lab::bridge::channel::{ChannelKind, channel_kinds};

use crate::bridged;

fn kind(name: &str) -> &'static ChannelKind {
    channel_kinds().iter().find(|kind| kind.name == name).expect("a kind of this name")
}

/// A test for each kind, so that they run side by side.
macro_rules! pass {
    ($($name:ident: $kind:literal;)*) => {
        $(#[test]
        fn $name() {
            bridged::passes($kind, &kind($kind).make, 30);
        })*

        #[test]
        fn every_kind_has_its_test() {
            assert!(channel_kinds().iter().map(|kind| kind.name).eq([$($kind),*]));
        }
    };
}

pass! {
    rendezvous_passes: "rendezvous";
    bounded_passes: "bounded";
    one_place_passes: "bounded-1";
    unlimited_passes: "unlimited";
    spsc_passes: "spsc";
    conflated_passes: "conflated";
    drop_oldest_passes: "drop-oldest";
    drop_latest_passes: "drop-latest";
}
