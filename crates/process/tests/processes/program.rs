// SPDX-License-Identifier: BSD-3-Clause
//! A program that speaks the session itself: `program.py`, which knows nothing but its description.

use std::sync::Arc;
use std::time::Duration;

use becket_coro::block_on;
use becket_host::{Host, NrStatus, PluginSpec};
use becket_process::Process;

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
