// SPDX-License-Identifier: BSD-3-Clause
//! Select: of several operations, exactly one completes.
//!
//! | module | contents |
//! |---|---|
//! | [`macros`] | `select!`: a set that is known at compile time |
//! | [`dynamic`] | [`Select`](dynamic::Select): a set that is built at run time, and reusable |
//! | [`arm`] | one operation of either |
//! | [`race`] | the algorithm |
//! | [`kept`] | the algorithm of a reusable set: its nodes stay linked |
//! | [`scan`] | the first step of a reusable set: which arms are ready |

pub(crate) mod arm;
pub(crate) mod dynamic;
pub(crate) mod kept;
pub(crate) mod macros;
pub(crate) mod race;
pub(crate) mod scan;
