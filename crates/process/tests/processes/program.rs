// SPDX-License-Identifier: BSD-3-Clause
//! Programs that speak the session themselves: `program.py`, which knows nothing but its description, and
//! `liar.py`, which uses it to harm its host.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use becket_coro::block_on;
use becket_host::{Host, NrStatus, Plugin, PluginSpec, Request};
use becket_process::{Process, Restart};

#[test]
fn a_program_is_a_plugin() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/program.py");
    let process = Process::program(crate::worker(), vec!["python3".into(), script.into()]);
    let host = Host::new();
    let spec = PluginSpec::remote("program", Arc::new(process));
    let plugin = host.load(spec.config(serde_json::json!({ "greeting": "Hi" }))).unwrap();
    assert_eq!(plugin.info().reported_name, "program");
    for name in ["you", "me"] {
        let answer = block_on(plugin.call_raw("greet", name.as_bytes())).unwrap();
        assert_eq!(answer.status, NrStatus::Ok);
        assert_eq!(&*answer.body, format!("Hi, {name}").as_bytes());
    }
    block_on(host.shutdown(Duration::from_secs(10)));
    assert!(crate::workers("program").is_empty());
}

/// Calls, or streams, that a liar gets, on each of so many threads.
const LIES: u32 = 100;
const LIED_TO: u32 = 4;
/// The deadline of each.
const PATIENCE: Duration = Duration::from_millis(100);
/// None takes this much longer, on however busy a machine.
const HANGS: Duration = Duration::from_secs(30);

#[test]
fn a_program_that_lies_costs_its_own_calls() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/liar.py");
    let restart = Restart { attempts_max: u32::MAX, ..Restart::default() };
    let process = Process::program(crate::worker(), vec!["python3".into(), script.into()]);
    let host = Host::new();
    let honest = crate::load_sample(&host, "honest", "c");
    let spec = PluginSpec::remote("liar", Arc::new(process.restart(restart)));
    let liar = host.load(spec).unwrap_or_else(|error| panic!("{error}"));
    thread::scope(|scope| {
        for caller in 0..LIED_TO {
            let (liar, honest) = (&liar, &honest);
            scope.spawn(move || {
                for number in 0..LIES {
                    let begin = Instant::now();
                    match (caller + number) % 3 {
                        0 => talk(liar),
                        // Whatever comes of it.
                        _ => _ = block_on(liar.call_raw("greet", b"you").timeout(PATIENCE)),
                    }
                    assert!(begin.elapsed() < HANGS, "{:?}", liar.workers());
                    let answer = block_on(honest.call_raw("echo", b"x").timeout(HANGS)).unwrap();
                    assert_eq!(&*answer.body, b"x");
                }
            });
        }
    });
    let snapshot = liar.snapshot();
    assert_eq!((snapshot.pending, snapshot.streams), (0, 0), "{snapshot:?}");
    assert_eq!(snapshot.calls, snapshot.ok + snapshot.failed.total(), "{snapshot:?}");
    assert!(!liar.workers().unwrap().deaths.is_empty(), "it was believed");
    assert!(honest.workers().unwrap().deaths.is_empty());
    block_on(host.shutdown(Duration::from_secs(10)));
    assert!(crate::workers("liar").is_empty());
}

/// A stream with data both ways, until either side has enough of it.
fn talk(plugin: &Plugin) {
    let opening = plugin.stream("chat", Request::new("hello")).timeout(PATIENCE);
    let Ok(mut stream) = block_on(opening) else { return };
    for _ in 0..4 {
        let sent = stream.try_send(b"more");
        let frame = block_on(stream.next());
        if sent.is_err() || !matches!(frame, Ok(Some(_))) {
            return;
        }
    }
}
