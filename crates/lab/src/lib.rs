// SPDX-License-Identifier: BSD-3-Clause
//! A laboratory for adapters: deterministic conformance tests in virtual time.
//!
//! ```text
//!   seeded source ─► ingress adapter ─► boundary ─► session ═══ virtual network ═══ session ─► target
//!                                          │                                                     │
//!   checked sink  ◄─ egress adapter  ◄─────┘◄══════════════════════════════════════════════ response
//!                                     every step ─► trace ─► rules ─► verdict
//! ```
//!
//! Both sessions are the production state machines of [`becket_wire`]. Real bytes cross the virtual
//! network between them, which cuts, delays and corrupts them as the seed decides. Nothing here opens
//! a socket, reads a clock or uses system randomness: the seed decides everything, and the same seed
//! gives the same trace, event by event.
//!
//! | module | holds |
//! |---|---|
//! | [`contract`] | the traits of adapters, their manifest, the lifecycle of a flow |
//! | [`config`] | limits of a run |
//! | [`pattern`] | the bytes that flows carry |
//! | [`choice`] | every decision of a run, drawn from a seed or from a recording |
//! | [`trace`] | the events of a run, without a byte of payload |
//! | [`link`], [`fault`] | the link between the sessions; faults |
//! | [`source`], [`target`] | what sources send, and how targets respond |
//! | [`world`] | one run |
//! | [`rules`] | the requirements on adapters, and their examination |
//! | [`hygiene`] | the search for payload and secrets in texts |
//! | [`scenario`], [`check`] | scenarios, and checks, which run all of them |
//! | [`gate`], [`adversary`] | the verdicts of a check over all runs; the detection of suspiciously similar runs |
//! | [`report`] | the report of a check, for programs and people |
//! | [`shrink`] | reduces a failed run |
//! | [`replay`] | a run in a file: repeated, displayed, compared, turned into a test |
//! | [`adapters`] | healthy adapters |
//! | [`bridge`] | existing channels, streams and plugins as adapters |
//! | [`generate`], [`parity`] | adapters generated from a profile; the comparison of generated and interpreted ones |
//! | [`mutant`] | faulty adapters, each wrong in one behaviour, that the lab has to kill |
//! | [`selftest`] | the self-test of the lab: finds every mutant, and raises no false alarm |

#![forbid(unsafe_code)]

pub mod adapters;
pub mod adversary;
pub mod bridge;
pub mod check;
pub mod choice;
pub mod config;
pub mod contract;
pub mod fault;
pub mod gate;
pub mod generate;
pub mod hygiene;
pub mod link;
pub mod mutant;
pub mod parity;
pub mod pattern;
pub mod replay;
pub mod report;
pub mod rules;
pub mod scenario;
pub mod selftest;
pub mod shrink;
pub mod source;
pub mod target;
pub mod trace;
pub mod world;

/// The first variants of an enum as an array, from the slice that `strum` makes of all.
const fn all<T: Copy, const N: usize>(variants: &[T]) -> [T; N] {
    match variants.first_chunk() {
        Some(all) => *all,
        None => {
            #[allow(clippy::panic, reason = "the compiler evaluates it, and stops here")]
            {
                panic!("there are not so many variants")
            }
        }
    }
}
