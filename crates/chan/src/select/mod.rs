// SPDX-License-Identifier: BSD-3-Clause
//! Select: of several operations, exactly one happens.
//!
//! | module | what lives there |
//! |---|---|
//! | [`macros`] | `select!`: a set that is known when the program is written |
//! | [`dynamic`] | [`Select`](dynamic::Select): a set that is built while it runs, used again and again |
//! | [`arm`] | one operation of either |
//! | [`race`] | the algorithm |
//! | [`kept`] | the same for a set that is used again and again: its nodes stay linked |

pub(crate) mod arm;
pub(crate) mod dynamic;
pub(crate) mod kept;
pub(crate) mod macros;
pub(crate) mod race;
