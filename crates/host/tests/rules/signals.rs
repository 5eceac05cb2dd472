// SPDX-License-Identifier: BSD-3-Clause
//! Calls into the host from a signal handler are refused where they interrupt the host.

use std::time::Duration;

use becket_host::{Dispatch, Host, PluginSpec, Request};

use crate::support::{native::Workshop, unload_clean, wait::wait};

#[test]
fn a_call_from_a_signal_handler_that_interrupts_the_host_is_refused_and_waits_for_no_lock() {
    let workshop = Workshop::new();
    let path =
        workshop.build("signals", concat!(include_str!("frame.c"), include_str!("signals.c")));
    let host = Host::new();
    let spec = PluginSpec::path("signals", path).dispatch(Dispatch::Worker);
    let plugin = host.load(spec).unwrap();
    let request = Request::new("value");
    let response = wait(plugin.call("interrupted", request).timeout(Duration::from_secs(60)));
    let refused: u64 = String::from_utf8_lossy(&response.unwrap().body).parse().unwrap();
    assert!(refused > 0, "the handler never interrupted the host");
    assert!(plugin.snapshot().refused_answers.invalid >= refused);
    unload_clean(&host, &plugin);
}
