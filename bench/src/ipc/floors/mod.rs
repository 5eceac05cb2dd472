// SPDX-License-Identifier: BSD-3-Clause
//! What the machine itself can do: not to be beaten, but to be measured against.

mod duplex;
pub(crate) mod eventfd;
pub(crate) mod futex;
pub(crate) mod memcpy;
pub(crate) mod slots;
pub(crate) mod word;
