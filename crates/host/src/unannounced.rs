// SPDX-License-Identifier: BSD-3-Clause
//! Streams of plugins that cannot describe that an entry streams.
//!
//! A plugin of the first ABI has no `describe`: a caller that knows no better asks an entry for one
//! answer. If the entry streams, its first frame is that answer, and each further one comes to a call
//! that is over. Such a frame shows that the entry streams: it is logged once, counted, and
//! [`Unannounced::has_streamed`] from then on, so that the gateway opens a stream for the next request.
//!
//! ```text
//!   began(sid, entry) ──▶ calls[sid % 256]   ──▶ answered(sid): the answer was `Ok`
//!                                            ──▶ further(sid): again `Ok`, or the end of a stream
//! ```
//!
//! # Invariants
//!
//! 1. A late first answer, an answer that failed and one that follows a failure prove nothing: only
//!    frames behind an `Ok` that was taken count.
//! 2. Bounded: a call is forgotten when another takes its place, at most [`ENTRIES_MAX`] entries are
//!    remembered. What is missed so is seen at the next call.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::reentry::Mutex;

/// Calls that are remembered at a time.
const CALLS: u64 = 256;
/// Entries that are remembered: names come from clients.
const ENTRIES_MAX: usize = 1024;

/// See the module's documentation.
pub(crate) struct Unannounced {
    calls: Box<[Mutex<LastCall>]>,
    /// Any entry is in `streamed`.
    any: AtomicBool,
    streamed: Mutex<HashSet<Box<str>>>,
}

#[derive(Default)]
struct LastCall {
    sid: u64,
    entry: String,
    is_answered: bool,
}

impl Unannounced {
    pub(crate) fn new() -> Self {
        Self {
            calls: (0..CALLS).map(|_| Mutex::default()).collect(),
            any: AtomicBool::new(false),
            streamed: Mutex::default(),
        }
    }

    /// A call for one answer goes to the plugin.
    pub(crate) fn began(&self, sid: u64, entry: &str) {
        if let Some(call) = self.calls.get((sid % CALLS) as usize) {
            let mut call = call.lock();
            call.sid = sid;
            call.is_answered = false;
            call.entry.clear();
            call.entry.push_str(entry);
        }
    }

    /// It was answered `Ok`. Never waits: what is missed so is seen at the next call.
    pub(crate) fn answered(&self, sid: u64) {
        let call = self.calls.get((sid % CALLS) as usize);
        if let Some(mut call) = call.and_then(Mutex::try_lock) {
            call.is_answered |= call.sid == sid;
        }
    }

    /// A frame came to a call that is over. `None`: it was no stream's. Else its entry, and whether
    /// this is the first frame that shows it.
    pub(crate) fn further(&self, sid: u64) -> Option<(String, bool)> {
        let call = self.calls.get((sid % CALLS) as usize)?.lock();
        if call.sid != sid || !call.is_answered {
            return None;
        }
        let entry = call.entry.clone();
        drop(call);
        let mut streamed = self.streamed.lock();
        let is_new = streamed.len() < ENTRIES_MAX && streamed.insert(entry.as_str().into());
        self.any.store(true, Ordering::Release);
        Some((entry, is_new))
    }

    /// Whether the entry was seen to stream.
    pub(crate) fn has_streamed(&self, entry: &str) -> bool {
        self.any.load(Ordering::Acquire) && self.streamed.lock().contains(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frames_behind_an_answer_that_was_taken_tell_a_stream() {
        let seen = Unannounced::new();
        seen.began(7, "late");
        assert_eq!(seen.further(7), None, "its first answer comes too late");
        seen.answered(7);
        assert!(!seen.has_streamed("late"));
        assert_eq!(seen.further(7), Some(("late".to_owned(), true)));
        assert_eq!(seen.further(7), Some(("late".to_owned(), false)));
        assert!(seen.has_streamed("late") && !seen.has_streamed("other"));
        // Another call has its place.
        seen.began(7 + CALLS, "other");
        seen.answered(7);
        assert_eq!((seen.further(7), seen.further(7 + CALLS)), (None, None));
    }

    #[test]
    fn entries_are_bounded() {
        let seen = Unannounced::new();
        for sid in 0..2 * ENTRIES_MAX as u64 {
            seen.began(sid, &format!("entry {sid}"));
            seen.answered(sid);
            assert_eq!(seen.further(sid).map(|(_, new)| new), Some(sid < ENTRIES_MAX as u64));
        }
    }
}
