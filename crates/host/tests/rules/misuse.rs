// SPDX-License-Identifier: BSD-3-Clause
//! What no plugin may do is refused and counted: a pointer that can lead to no memory, wherever a
//! plugin hands one in, and a call from a signal handler that interrupts the host.

use std::time::Duration;

use becket_host::{Dispatch, Host, Request};

use crate::spec;
use crate::support::{counted, native::Workshop, unload_clean, wait::wait};

#[test]
fn wild_pointers_are_refused_and_counted_by_every_host_function() {
    let workshop = Workshop::new();
    let path = workshop.build("wild", concat!(include_str!("frame.c"), include_str!("wild.c")));
    let host = Host::new();
    // On the caller's thread and on a worker an answer takes different ways.
    for dispatch in [Dispatch::Caller, Dispatch::Worker] {
        let plugin = host.load(spec("wild", &path).dispatch(dispatch)).unwrap();
        // In the first page; no canonical address, or none of a program; in the kernel's half.
        let mut addresses = vec![8_u64, 64, 4095 & !7, 1 << 62, (1 << 63) + 8, !0xfff_u64];
        if cfg!(target_arch = "x86_64") {
            addresses.extend([1 << 47, 1 << 48, 0xffff_8000_0000_0000]);
        }
        for address in addresses {
            let before = plugin.snapshot().refused_answers.invalid;
            let request = Request::new(format!("{address:#x}"));
            let response = wait(plugin.call("wild", request)).unwrap();
            let said = String::from_utf8_lossy(&response.body).into_owned();
            let (passed, made) = said.split_once(' ').unwrap();
            assert_eq!(passed, "0", "{address:#x}: {said}");
            let made: u64 = made.parse().unwrap();
            counted(&plugin, |now| now.refused_answers.invalid == before + made);
        }
        unload_clean(&host, &plugin);
    }
}

#[test]
fn a_call_from_a_signal_handler_that_interrupts_the_host_is_refused_and_waits_for_no_lock() {
    let workshop = Workshop::new();
    let path =
        workshop.build("signals", concat!(include_str!("frame.c"), include_str!("signals.c")));
    let host = Host::new();
    let spec = spec("signals", &path).dispatch(Dispatch::Worker);
    let plugin = host.load(spec).unwrap();
    let request = Request::new("value");
    let response = wait(plugin.call("interrupted", request).timeout(Duration::from_secs(60)));
    let refused: u64 = String::from_utf8_lossy(&response.unwrap().body).parse().unwrap();
    assert!(refused > 0, "the handler never interrupted the host");
    // No observer is notified from there: what was counted comes at the end, if not before.
    unload_clean(&host, &plugin);
    assert!(plugin.snapshot().refused_answers.invalid >= refused);
}
