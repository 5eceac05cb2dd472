// SPDX-License-Identifier: BSD-3-Clause
//! What a worker finds of threads that are stuck in its plugin, as the host shows it.

use std::time::Duration;

use becket_abi::NrStatus;
use becket_host::{CallError, Dispatch, Host, Limits, Plugin, PluginState, Request};

use crate::support::{
    counted, logs,
    script::Script,
    unload_clean,
    wait::{Tally, until, wait},
};

/// A plugin that answers, at entry `blocks` when the gate is open.
fn blocks(gate: &std::sync::Arc<Tally>) -> Script {
    let gate = gate.clone();
    Script::new(move |api, call| {
        match call.entry {
            "blocks" => gate.reach(1),
            // Without the table of the first load.
            "refuses" => return NrStatus(99),
            _ => {}
        }
        api.send(call.sid, NrStatus::Ok, call.payload)
    })
}

/// The field of a log's line that names the worker's process.
fn pid(plugin: &Plugin) -> String {
    let pid = plugin.workers().unwrap().workers[0].pid.unwrap();
    format!("pid={pid} ")
}

#[test]
fn a_plugin_that_was_quick_a_thousand_times_and_blocks_holds_up_no_caller() {
    logs::capture();
    let host = Host::new();
    let gate = Tally::new();
    let limits = Limits { block_report_ms: 20, workers_max: 8, ..Limits::default() };
    let (plugin, _) = blocks(&gate).load_with(&host, "turns", |spec| spec.limits(limits));
    let (other, _) = Script::echo().load(&host, "other");
    for at in 0..1000_u32 {
        let payload = at.to_le_bytes();
        assert_eq!(*wait(plugin.call_raw("quick", &payload)).unwrap().body, payload);
    }
    for _ in 0..4 {
        let call = plugin.call_raw("blocks", b"").timeout(Duration::from_millis(50));
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
        assert_eq!(*wait(plugin.call_raw("quick", b"same")).unwrap().body, *b"same");
        assert_eq!(*wait(other.call_raw("x", b"other")).unwrap().body, *b"other");
    }
    counted(&plugin, |snapshot| snapshot.blocked == 4 && snapshot.blocked_now == 4);
    assert_eq!(plugin.state(), PluginState::Blocked);
    logs::reach(4, &["WARN becket::watchdog", "a thread is stuck", "plugin=turns ", &pid(&plugin)]);
    gate.add();
    counted(&plugin, |snapshot| snapshot.blocked_now == 0);
    assert_eq!((plugin.state(), plugin.snapshot().blocked), (PluginState::Ready, 4));
    unload_clean(&host, &plugin);
    unload_clean(&host, &other);
}

#[test]
fn a_plugin_that_its_worker_quarantines_is_quarantined_in_the_host_until_its_reload() {
    logs::capture();
    let host = Host::new();
    let gate = Tally::new();
    let limits = Limits { block_report_ms: 20, blocked_max: 1, ..Limits::default() };
    let (plugin, _) = blocks(&gate)
        .load_with(&host, "stuck", |spec| spec.limits(limits).dispatch(Dispatch::Caller));
    // On the one thread of the worker that serves calls. Until that has begun, calls go to the plugin's own
    // threads, which may block.
    until(|| {
        let ended = wait(plugin.call_raw("blocks", b"").timeout(Duration::from_millis(500)));
        assert!(matches!(ended, Err(CallError::DeadlineExceeded | CallError::Quarantined)));
        plugin.state() == PluginState::Quarantined
    });
    let refused = plugin.snapshot().failed.quota;
    let pid = pid(&plugin);
    logs::reach(1, &["ERROR becket::watchdog", "quarantined", "plugin=stuck ", &pid]);
    gate.add();
    assert!(matches!(wait(plugin.call_raw("ok", b"")), Err(CallError::Quarantined)));
    assert!(matches!(plugin.call_now("ok", b""), Err(CallError::Quarantined)));
    assert!(matches!(plugin.notify("ok", b""), Err(CallError::Quarantined)));
    let stream = wait(plugin.stream("ok", Request::default()));
    assert!(matches!(stream, Err(CallError::Quarantined)));
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.state, snapshot.failed.quota), (PluginState::Quarantined, refused + 2));
    wait(plugin.reload()).unwrap();
    assert_eq!(plugin.state(), PluginState::Ready);
    let again = wait(plugin.call_raw("refuses", b""));
    assert!(matches!(again, Err(CallError::Refused { status: NrStatus(99) })), "{again:?}");
    unload_clean(&host, &plugin);
}
