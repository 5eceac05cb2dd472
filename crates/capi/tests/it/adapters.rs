// SPDX-License-Identifier: BSD-3-Clause
//! The adapter of `examples/adapters/memory-ring-c` and its check.

use crate::common::{C, CPP, Language, Library, build, root, run};

fn check(language: &Language) {
    let sources = root().join("../../examples/adapters/memory-ring-c");
    let sources = ["check.c", "memory_ring.c"].map(|name| sources.join(name));
    let expected = "order, window, time: ok\ncancel: ok\nclose: ok\nregions: ok\n\
                    threads, counters: ok\n";
    assert_eq!(run(&mut build("memory-ring", &sources, language, Library::Shared)), expected);
}

#[test]
fn the_memory_ring_in_c() {
    check(&C);
}

#[test]
fn the_memory_ring_in_cpp() {
    check(&CPP);
}
