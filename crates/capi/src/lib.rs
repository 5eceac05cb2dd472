// SPDX-License-Identifier: BSD-3-Clause
//! `libkcoro`: the C surface over `becket-chan` and `becket-coro`.
//!
//! The contract is the headers in `include/`; each module here is the other side of some of them.
//! Every function is `extern "C"` and goes through the panic boundary ([`boundary`]). A handle
//! given to C is a pointer to a counted box; null is checked everywhere.

pub mod boundary;
pub mod errno;
