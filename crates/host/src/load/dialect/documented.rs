// SPDX-License-Identifier: BSD-3-Clause
//! The documented layout: init, handle, shutdown, stream_data, stream_close.

use super::{Dialect, Evidence, GROWN_WORDS, Opinion, Word};
use crate::load::Layout;
use crate::load::entry_points::Slot;

pub(super) struct Documented;

const SLOTS: [Slot; 5] =
    [Slot::Init, Slot::Handle, Slot::Shutdown, Slot::StreamData, Slot::StreamClose];

impl Dialect for Documented {
    fn layout(&self) -> Option<Layout> {
        Some(Layout::Documented)
    }

    fn slots(&self) -> &'static [Slot] {
        &SLOTS
    }

    fn judge(&self, evidence: &Evidence) -> Opinion {
        // The grown vtable behind an info that does not announce it.
        if evidence.has_size(GROWN_WORDS) == Some(true) && evidence.callable(SLOTS.len()) {
            return Opinion::Yes("the vtable's symbol has the size of the grown one");
        }
        match evidence.has_size(SLOTS.len()) {
            Some(true) if evidence.callable(SLOTS.len()) => {
                return Opinion::Yes("the vtable's symbol has five words");
            }
            Some(true) => {
                return Opinion::Doubtful("of the five words that its symbol has not all are code");
            }
            Some(false) => return Opinion::No,
            None => {}
        }
        // `handle` is required here.
        if evidence.leading() < SLOTS.len() || evidence.word(1) == Word::Null {
            return Opinion::No;
        }
        let (data, close) = (evidence.word(3), evidence.word(4));
        match evidence.word(5) {
            Word::Code if evidence.trait_object_at(5) => {
                Opinion::Doubtful("what follows the fifth word looks like a Rust trait object")
            }
            Word::Code => Opinion::No,
            Word::OtherCode => Opinion::Doubtful("its sixth word is code of another library"),
            Word::Null if data == Word::Code && close == Word::Null => Opinion::Doubtful(
                "then it has stream_data without stream_close, and may be raw without streams",
            ),
            Word::Null
                if evidence.word(2) == Word::Code && data == Word::Null && close == Word::Null =>
            {
                Opinion::Doubtful(
                    "then its third word is shutdown, and may be handle_raw of raw without the rest",
                )
            }
            _ if data == Word::Null && close == Word::Code => {
                Opinion::Doubtful("then it has stream_close without stream_data")
            }
            _ => Opinion::Yes("five leading words are functions, the sixth is not"),
        }
    }
}
