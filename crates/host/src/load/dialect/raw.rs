// SPDX-License-Identifier: BSD-3-Clause
//! The layout with raw calls: init, handle, handle_raw, shutdown, stream_data, stream_close.

use super::{Dialect, Evidence, Opinion, Word};
use crate::load::Layout;
use crate::load::entry_points::Slot;

pub(super) struct Raw;

const SLOTS: [Slot; 6] = [
    Slot::Init,
    Slot::Handle,
    Slot::HandleRaw,
    Slot::Shutdown,
    Slot::StreamData,
    Slot::StreamClose,
];

impl Dialect for Raw {
    fn layout(&self) -> Option<Layout> {
        Some(Layout::Raw)
    }

    fn slots(&self) -> &'static [Slot] {
        &SLOTS
    }

    fn judge(&self, evidence: &Evidence) -> Opinion {
        match evidence.has_size(SLOTS.len()) {
            Some(true) if evidence.callable(SLOTS.len()) => {
                return Opinion::Yes("the vtable's symbol has six words");
            }
            Some(true) => {
                return Opinion::Doubtful("of the six words that its symbol has not all are code");
            }
            Some(false) => return Opinion::No,
            None => {}
        }
        if evidence.leading() < SLOTS.len() {
            return Opinion::No;
        }
        let handles_raw_only = evidence.word(1) == Word::Null && evidence.word(2) == Word::Code;
        match (evidence.word(4), evidence.word(5)) {
            (Word::Null, Word::Null) if handles_raw_only => {
                Opinion::Yes("there is no handle but a word where handle_raw is")
            }
            (_, Word::Null) => Opinion::No,
            (Word::Null, _) => Opinion::Doubtful("then it has stream_close without stream_data"),
            _ if evidence.trait_object_at(5) => {
                Opinion::Doubtful("its sixth word looks like the start of a Rust trait object")
            }
            _ if evidence.trait_object_at(6) => {
                Opinion::Yes("six leading words are functions, and another table follows them")
            }
            _ => match evidence.word(6) {
                Word::Code | Word::OtherCode => {
                    Opinion::Doubtful("code follows its sixth word, as if two tables were adjacent")
                }
                Word::Null | Word::Data => Opinion::Yes("six leading words are functions"),
            },
        }
    }
}
