// SPDX-License-Identifier: BSD-3-Clause
//! The one place from which the atomics come that threads race on, so that loom can replace them.

#[cfg(not(feature = "loom"))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(feature = "loom")]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
