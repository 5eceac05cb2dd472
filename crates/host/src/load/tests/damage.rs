// SPDX-License-Identifier: BSD-3-Clause
//! Damaged files are errors, never crashes.

use std::os::unix::process::ExitStatusExt;

use super::*;

/// Names the file that [`open_what_the_parent_names`] opens.
const CHILD_FILE: &str = "BECKET_TEST_DAMAGED_FILE";

#[test]
fn every_truncation_is_noticed() {
    let bench = Bench::new();
    for flags in [&[][..], &["-s"]] {
        let whole = fs::read(bench.table("whole", FIVE, flags)).unwrap();
        let cut = bench.path("cut.so");
        let lengths = (0..whole.len()).step_by(64).chain([1, 3, 4, 17, 63, whole.len() - 1]);
        for len in lengths {
            fs::write(&cut, &whole[..len]).unwrap();
            let error = load_path(&cut).unwrap_err();
            assert!(
                matches!(
                    error,
                    LoadError::Truncated { .. }
                        | LoadError::NotElf { .. }
                        | LoadError::Corrupt { .. }
                ),
                "{len} of {} bytes: {error}",
                whole.len()
            );
        }
    }
}

#[test]
fn what_is_no_library_is_named() {
    let bench = Bench::new();
    let file = bench.path("file.so");
    let cases: [(&[u8], &str); 8] = [
        (b"", "empty"),
        (b"#!/bin/sh\n", "a script"),
        (b"hello", "text"),
        (b"MZ\x90\0", "a Windows library"),
        (b"\0asm\x01\0\0\0", "a WebAssembly module"),
        (b"!<arch>\n", "a static library"),
        (b"\x7fEL", "text"),
        (b"\0\0\0\0", "some other file"),
    ];
    for (bytes, what) in cases {
        fs::write(&file, bytes).unwrap();
        assert_says(&failure(&file), &[what, "not an ELF shared library"]);
    }
    let object = bench.build("object", "int x;", &["-c"]);
    assert_says(&failure(&object), &["an object file"]);
    let mut other = fs::read(bench.table("other", FIVE, &[])).unwrap();
    other[18] = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    fs::write(&file, &other).unwrap();
    assert_says(&failure(&file), &["is built for", "this host runs on", "build it for"]);
    other[4] = 1;
    fs::write(&file, &other).unwrap();
    assert_says(&failure(&file), &["32-bit"]);
}

/// Damages one byte of the headers at a time. The linker runs in a child, so that a file which is
/// accepted and crashes it fails this test by name instead of ending it.
#[test]
fn damaged_headers_crash_nothing() {
    let bench = Bench::new();
    let whole = fs::read(bench.table("whole", FIVE, &[])).unwrap();
    let program_headers = 64..64 + 56 * usize::from(u16::from_le_bytes([whole[56], whole[57]]));
    let file = bench.path("damaged.so");
    // A linear congruential generator: the same damage in every run.
    let mut state = 0x2545_f491_u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut accepted = 0;
    for _ in 0..4000 {
        let mut damaged = whole.clone();
        let at = random() % program_headers.end;
        damaged[at] ^= 1 << (random() % 8);
        fs::write(&file, &damaged).unwrap();
        if soundness::check(&file, &damaged).is_err() {
            continue;
        }
        accepted += 1;
        if accepted > 60 {
            break;
        }
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "open_what_the_parent_names"])
            .env(CHILD_FILE, &file)
            .output()
            .unwrap()
            .status;
        assert_eq!(status.signal(), None, "byte {at} is {:#x}", damaged[at]);
    }
    assert!(accepted > 0, "some damage does not matter and must reach the linker");
}

#[test]
#[ignore = "the child of damaged_headers_crash_nothing"]
fn open_what_the_parent_names() {
    if let Some(file) = std::env::var_os(CHILD_FILE) {
        let _ = load_path(Path::new(&file));
    }
}
