// SPDX-License-Identifier: BSD-3-Clause
//! Bytes to frames of protocol 2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| becket_fuzz::decode::check(data));
