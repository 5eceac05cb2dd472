// SPDX-License-Identifier: BSD-3-Clause
//! How the plugin blocks in Rust.

#[unsafe(no_mangle)]
pub extern "C" fn becket_block(ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(ms));
}
