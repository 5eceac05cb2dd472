// SPDX-License-Identifier: BSD-3-Clause
//! States, payloads and answers that are longer than a frame, and than an element is by default.

use becket_host::{Host, Limits};

use crate::spec;
use crate::support::{native::Workshop, unload_clean, wait::wait};

/// The plugin: its last payload is its state, and its next answer.
const SOURCE: &str = include_str!("states.c");

#[test]
fn a_state_of_any_length_is_handed_over() {
    let workshop = Workshop::new();
    let path = workshop.build("states", SOURCE);
    let host = Host::new();
    // 20 MiB take seconds on a busy machine.
    let limits = Limits { load_timeout_ms: 120_000, ..Limits::default() };
    let plugin = host.load(spec("states", &path).limits(limits)).unwrap();
    let ask = |payload: &[u8]| wait(plugin.call_raw("any", payload)).unwrap().body.to_vec();
    let mut before = Vec::new();
    for length in [0, 1, 60 << 10, 70 << 10, 3 << 20, 20 << 20] {
        let state: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
        assert!(ask(&state) == before, "{length} bytes after {}", before.len());
        wait(plugin.reload()).unwrap();
        before = state;
    }
    assert!(ask(b"") == before);
    assert_eq!(plugin.info().generation, 7);
    unload_clean(&host, &plugin);
}
