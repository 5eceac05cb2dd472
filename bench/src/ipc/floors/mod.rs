// SPDX-License-Identifier: BSD-3-Clause
//! The limits of the machine, as references for all others.

mod duplex;
pub(crate) mod eventfd;
pub(crate) mod futex;
pub(crate) mod memcpy;
pub(crate) mod slots;
pub(crate) mod word;
