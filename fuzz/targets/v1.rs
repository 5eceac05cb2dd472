// SPDX-License-Identifier: BSD-3-Clause
//! Frames, attributes, requests and answers of protocol 1.0.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| becket_fuzz::v1::check(data));
