// SPDX-License-Identifier: BSD-3-Clause
//! The peers: each one's own kinds of channel and operations.
//!
//! | module | its kinds |
//! |---|---|
//! | `async_channel` | bounded, unlimited |
//! | `crossbeam` | bounded, unlimited, rendezvous; one-slot queue |
//! | `crossfire` | bounded (cloneable or not, blocking or async), unlimited |
//! | `crossfire_select` | its `Select` |
//! | `event_listener` | waiters woken at once |
//! | `fibre` | bounded, unlimited, rendezvous |
//! | `flume` | bounded, unlimited, rendezvous |
//! | `kanal` | bounded, unlimited, rendezvous |
//! | `mutex` | one slot behind a lock |
//! | `rapidfire` | bounded, unlimited |
//! | `rtrb` | a ring for one sender and one receiver; cannot wait |
//! | `std` | bounded, unlimited, rendezvous |
//! | `tachyonix` | bounded |
//! | `tokio` | bounded, unlimited; `watch` |
//! | `tokio_select` | tokio's `select!` |
//! | `tokio_wake` | `Notify`, tokio-util's cancellation tokens, closing |

pub(crate) mod async_channel;
pub(crate) mod crossbeam;
pub(crate) mod crossfire;
pub(crate) mod crossfire_select;
pub(crate) mod event_listener;
pub(crate) mod fibre;
pub(crate) mod flume;
pub(crate) mod kanal;
pub(crate) mod mutex;
pub(crate) mod rapidfire;
pub(crate) mod rtrb;
pub(crate) mod std;
pub(crate) mod tachyonix;
pub(crate) mod tokio;
pub(crate) mod tokio_select;
pub(crate) mod tokio_wake;

use crate::versions::pinned;

/// The peers with their versions.
pub(crate) fn versions() -> String {
    const OTHERS: [&str; 5] =
        ["async-executor", "corosensei", "generator", "may", "nylon-ring-host"];
    let peers = pinned(|name| !OTHERS.contains(&name));
    format!("Peers: {}, and the standard library.\n", peers.join(", "))
}
