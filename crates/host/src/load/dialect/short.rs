// SPDX-License-Identifier: BSD-3-Clause
//! The short layout: init, handle, shutdown.

use super::{Dialect, Evidence, Opinion};
use crate::load::Layout;
use crate::load::entry_points::Slot;

pub(super) struct Short;

const SLOTS: [Slot; 3] = [Slot::Init, Slot::Handle, Slot::Shutdown];

/// With this many functions it is another layout.
const LONGER: usize = 5;

impl Dialect for Short {
    fn layout(&self) -> Option<Layout> {
        Some(Layout::Short)
    }

    fn slots(&self) -> &'static [Slot] {
        &SLOTS
    }

    fn judge(&self, evidence: &Evidence) -> Opinion {
        match evidence.has_size(SLOTS.len()) {
            Some(true) if evidence.callable(SLOTS.len()) => {
                return Opinion::Yes("the vtable's symbol has three words");
            }
            Some(true) => {
                return Opinion::Doubtful(
                    "of the three words that its symbol has not all are code",
                );
            }
            Some(false) => return Opinion::No,
            None => {}
        }
        match evidence.leading() {
            LONGER.. => Opinion::No,
            _ if evidence.other_code_within(LONGER) => {
                Opinion::Doubtful("code of another library stands among its first five words")
            }
            0..3 => Opinion::No,
            _ => Opinion::Yes("fewer than five leading words are functions"),
        }
    }
}
