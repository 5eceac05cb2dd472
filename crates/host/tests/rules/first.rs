// SPDX-License-Identifier: BSD-3-Clause
//! Plugins of the first builds of the ABI, which find the table for state through `host_ctx`.

use becket_abi::NrStatus;
use becket_host::{Host, PluginSpec, Request};

use crate::support::{native::Workshop, unload_clean, wait::wait};

/// Loads a build that looks `offset` bytes behind `host_ctx`, calls and streams with it, and
/// returns the answer of its entry `state`.
fn answer_of(offset: usize) -> String {
    let workshop = Workshop::new();
    let source = format!("#define EXT_AT {offset}\n{}", include_str!("host_ext.c"));
    let host = Host::new();
    let spec = PluginSpec::path("first", workshop.build("first", &source));
    let plugin = host.load(spec).unwrap();
    assert_eq!(plugin.info().layout, "raw");

    let response = wait(plugin.call("state", Request::new("").path("/kept"))).unwrap();
    assert_eq!(response.status, NrStatus::Ok);

    let request = Request::new("").path("/frames");
    let mut stream = wait(plugin.stream("stream", request)).unwrap();
    for at in 1..=5 {
        let frame = wait(stream.next()).unwrap().unwrap();
        assert_eq!(*frame.body, *format!("Frame {at}/5 from /frames").as_bytes());
    }
    assert!(wait(stream.next()).unwrap().is_none());

    unload_clean(&host, &plugin);
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[test]
fn builds_that_read_the_extension_table_through_host_ctx_keep_state() {
    for offset in [0x30, 0x50] {
        assert_eq!(answer_of(offset), "stored: /kept", "at {offset:#x}");
    }
}

#[test]
fn builds_that_look_elsewhere_find_no_extension() {
    for offset in [0, 0x8, 0x10, 0x18, 0x20, 0x28, 0x38, 0x40, 0x48, 0x58, 0x60, 0x68, 0x70, 0x78] {
        assert_eq!(answer_of(offset), "no extension", "at {offset:#x}");
    }
}
