// SPDX-License-Identifier: BSD-3-Clause
//! Channels between processes, over Unix sockets and shared memory.

pub mod channels;
mod element;
pub mod monitor;
pub mod reactor;
pub mod shm;
pub mod transport;

pub use element::Element;
