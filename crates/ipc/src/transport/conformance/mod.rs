// SPDX-License-Identifier: BSD-3-Clause
//! The suite that any transport passes (feature `conformance`).
//!
//! It is meant for tests: each function panics when the link breaks a rule of [`Link`], or hangs when it loses a wake. One
//! line makes a module of tests, one for each property:
//!
//! ```
//! use becket_ipc::transport::conformance::{LinkFactory, Pair};
//! use becket_ipc::transport::memory;
//!
//! struct Memory;
//!
//! impl LinkFactory for Memory {
//!     fn pair() -> Pair {
//!         let (one, other) = memory::pair(50, 20_024);
//!         (Box::new(one), Box::new(other))
//!     }
//! }
//!
//! becket_ipc::link_conforms!(memory_link, Memory);
//! ```
//!
//! A link that carries no descriptors takes `link_conforms!(name, Factory, no descriptors)`.
//!
//! | module | rules of [`Link`] |
//! |---|---|
//! | [`order`] | 1, 2 and 4: whole, once, in order, bounded |
//! | [`ends`] | 3: a disconnect is reported last |
//! | [`wakes`] | 5: no wake is lost |
//! | [`descriptors`] | 6: with their frame, or not at all |
//! | [`waiting`] | how a link is waited for, and frames that identify themselves |
//!
//! `BECKET_TEST_LONG` in the environment asks for more rounds.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test suite: it reports a violation by panicking"
)]

pub mod descriptors;
pub mod ends;
pub mod order;
pub mod waiting;
pub mod wakes;

use crate::transport::Link;

/// Two links, each the other's peer.
pub type Pair = (Box<dyn Link>, Box<dyn Link>);

/// Creates connected links. Their limits are low, so that tests reach them soon; but at least 20
/// frames of 100 bytes, bodies of 19,000, and 3 descriptors per frame.
pub trait LinkFactory {
    /// Two links, each the other's peer.
    fn pair() -> Pair;
}

/// A module of tests for a transport, one for each property; see
/// [`conformance`](crate::transport::conformance).
#[macro_export]
macro_rules! link_conforms {
    ($name:ident, $factory:ty) => {
        $crate::link_conforms! { $name, $factory;
            descriptors::arrive_with_their_frame,
            descriptors::are_closed_if_not_taken,
            descriptors::too_many_are_refused,
        }
    };
    ($name:ident, $factory:ty, no descriptors) => {
        $crate::link_conforms! { $name, $factory;
            descriptors::are_refused,
            descriptors::too_many_are_refused,
        }
    };
    ($name:ident, $factory:ty; $($of_descriptors:ident :: $test:ident,)*) => {
        mod $name {
            #[allow(unused_imports, reason = "the factory may need them")]
            use super::*;

            $crate::link_conforms!(@ $factory,
                order::frames_arrive_whole_once_and_in_order,
                order::any_size_up_to_the_limit_and_none_above,
                order::a_head_with_a_wrong_length_is_no_frame,
                order::a_full_outlet_takes_nothing_and_room_comes_back,
                order::no_more_frames_than_requested,
                order::both_sides_count_the_same,
                wakes::no_wake_is_lost_to_and_fro,
                wakes::no_wake_is_lost_both_ways_at_once,
                wakes::no_wake_is_lost_for_room,
                ends::a_drop_is_reported_after_all_that_was_sent,
                ends::a_close_is_reported_after_all_that_was_flushed,
                ends::a_drop_is_reported_despite_unread_frames,
                ends::a_drop_during_a_take_is_reported_last,
                ends::a_drop_wakes_a_waiting_side,
                ends::frames_put_after_the_disconnect_are_discarded,
                $($of_descriptors::$test,)*
            );
        }
    };
    (@ $factory:ty, $($module:ident :: $test:ident,)*) => {
        $(#[test] fn $test() {
            $crate::transport::conformance::$module::$test::<$factory>();
        })*
    };
}
