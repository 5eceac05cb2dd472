// SPDX-License-Identifier: BSD-3-Clause
//! Our layout: the documented one, grown at its end. It has its size, so it is never guessed.

use super::{Dialect, Evidence, Opinion};
use crate::load::Layout;
use crate::load::entry_points::Slot;

pub(super) struct Becket;

const SLOTS: [Slot; 13] = [
    Slot::Init,
    Slot::Handle,
    Slot::Shutdown,
    Slot::StreamData,
    Slot::StreamClose,
    Slot::HandleRaw,
    Slot::ResolveEntry,
    Slot::HandleById,
    Slot::Describe,
    Slot::Cancel,
    Slot::ReloadExport,
    Slot::ReloadImport,
    Slot::StreamRoom,
];

impl Dialect for Becket {
    fn layout(&self) -> Option<Layout> {
        None
    }

    fn slots(&self) -> &'static [Slot] {
        &SLOTS
    }

    fn judge(&self, _evidence: &Evidence) -> Opinion {
        Opinion::No
    }
}
