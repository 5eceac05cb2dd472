// SPDX-License-Identifier: BSD-3-Clause
//! Servers on loopback: one, or three as a cluster.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

pub mod cluster;
mod one;
pub mod proxy;

pub use self::one::Server;
