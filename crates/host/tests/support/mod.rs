// SPDX-License-Identifier: BSD-3-Clause
//! What the host's test binaries share. Nothing here sleeps or polls: every wait is on the event
//! itself, with a limit that only a hang reaches.
//!
//! | module | what lives there |
//! |---|---|
//! | [`wait`] | waiting for futures and for counts |
//! | [`script`] | plugins written as closures, behind a real vtable |
//! | [`native`] | plugins compiled from C in the test |
//! | [`logs`] | what the host and its plugins log, as events to wait for |

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

pub mod logs;
pub mod native;
pub mod script;
pub mod wait;

use std::time::Instant;

use becket_host::{Host, Plugin, PluginSnapshot};

/// Unloads `plugin` and asserts that nothing was left behind: no call, no stream, no thread.
pub fn unload_clean(host: &Host, plugin: &Plugin) {
    let abandoned = wait::wait(host.unload(plugin.name())).expect("the plugin is loaded");
    assert_eq!(abandoned, 0, "calls and streams that outlasted the drain");
}

/// Waits until `is_so` of the plugin's counters, which come from its process a moment later.
pub fn counted(plugin: &Plugin, is_so: impl Fn(&PluginSnapshot) -> bool) {
    let limit = Instant::now() + wait::LIMIT;
    while !is_so(&plugin.snapshot()) {
        assert!(Instant::now() < limit, "{:?}", plugin.snapshot());
        std::thread::yield_now();
    }
}

/// Asserts that every call that was counted has one outcome, and that none waits.
pub fn assert_adds_up(plugin: &Plugin) {
    let snapshot = plugin.snapshot();
    assert_eq!(snapshot.pending, 0, "{snapshot:?}");
    assert_eq!(snapshot.calls, snapshot.ok + snapshot.failed.total(), "{snapshot:?}");
}
