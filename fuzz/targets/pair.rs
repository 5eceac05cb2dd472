// SPDX-License-Identifier: BSD-3-Clause
//! Two sessions of protocol 2, and applications that do what they like.
#![no_main]

libfuzzer_sys::fuzz_target!(|case: becket_fuzz::pair::Case| becket_fuzz::pair::check(&case));
