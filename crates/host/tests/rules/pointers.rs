// SPDX-License-Identifier: BSD-3-Clause
//! A pointer that can lead to no memory is refused and counted, wherever a plugin hands one in.

use becket_host::{Dispatch, Host, PluginSpec, Request};

use crate::support::{native::Workshop, unload_clean, wait::wait};

#[test]
fn wild_pointers_are_refused_and_counted_by_every_host_function() {
    let workshop = Workshop::new();
    let path = workshop.build("wild", concat!(include_str!("frame.c"), include_str!("wild.c")));
    let host = Host::new();
    // On the caller's thread and on a worker an answer takes different ways.
    for dispatch in [Dispatch::Caller, Dispatch::Worker] {
        let plugin = host.load(PluginSpec::path("wild", &path).dispatch(dispatch)).unwrap();
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
            let counted = plugin.snapshot().refused_answers.invalid - before;
            assert_eq!(counted.to_string(), made, "{address:#x}");
        }
        unload_clean(&host, &plugin);
    }
}
