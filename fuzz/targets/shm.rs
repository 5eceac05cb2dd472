// SPDX-License-Identifier: BSD-3-Clause
//! What is believed of a peer's shared memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|case: becket_fuzz::shm::Case| becket_fuzz::shm::check(&case));
