// SPDX-License-Identifier: BSD-3-Clause
//! A session of protocol 2, and a peer that sends any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| becket_fuzz::session::check(data));
