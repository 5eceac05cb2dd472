// SPDX-License-Identifier: BSD-3-Clause
//! The peers: how each of them does what the works ask for.

pub(crate) mod becket;
pub(crate) mod executor;
pub(crate) mod go;
pub(crate) mod may;
pub(crate) mod tokio;
