// SPDX-License-Identifier: BSD-3-Clause
//! The atomics, lock and fences of `region/state`, which has loom models. The models, in
//! `crates/zcopy/loom`, replace this module by loom's types.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use becket_chan::fence::{heavy, is_sound, light};
pub(crate) use parking_lot::Mutex;
