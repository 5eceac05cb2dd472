// SPDX-License-Identifier: BSD-3-Clause
//! The tests that need no process of their own, in one program.
//!
//! | module | tests |
//! |---|---|
//! | `decode` | bytes to frames: however a stream of bytes is split, it decodes to the same frames and events |
//! | `fairness` | streams share a session by bytes |
//! | `hostile` | random and malformed input: no panic, bounded memory, a typed end for each violation |
//! | `joined` | two sessions, joined by a transport and used by applications that choose at random |
//! | `renewed` | a session that is reset keeps nothing of what it held |
//! | `session` | the rules of a session, one by one |
//! | `v1_frames` | frames of protocol 1.0: however their bytes are split, the same frames come out, and a length over the limit is refused by the header alone |
//! | `v1_messages` | requests and answers of protocol 1.0: each decodes to what was encoded, each fault has its errno, and a `REQ_ID` that could be read is kept |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bodies;
mod decode;
mod fairness;
mod hostile;
mod joined;
mod renewed;
mod session;
mod support;
mod v1_frames;
mod v1_messages;
