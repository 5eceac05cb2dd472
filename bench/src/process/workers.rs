// SPDX-License-Identifier: BSD-3-Clause
//! The processes that this one has started.

use std::collections::BTreeSet;
use std::fs;

use crate::error::BenchError;

/// Those that have not been waited for.
#[derive(Debug)]
pub(super) struct Workers(BTreeSet<u32>);

impl Workers {
    /// At this moment.
    pub(super) fn now() -> Result<Self, BenchError> {
        let what = "read in /proc which processes this one has started";
        let system = |source| BenchError::System { what, source };
        let mut found = BTreeSet::new();
        for thread in fs::read_dir("/proc/self/task").map_err(system)? {
            // A thread may have ended meanwhile.
            let path = thread.map_err(system)?.path().join("children");
            let children = fs::read_to_string(path).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        Ok(Self(found))
    }

    /// The one that was started since.
    pub(super) fn since(&self, before: &Self) -> Option<u32> {
        self.0.difference(&before.0).next().copied()
    }
}
