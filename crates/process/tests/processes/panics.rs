// SPDX-License-Identifier: BSD-3-Clause
//! The part of `crashes.c` that is in Rust: panics that end the process. It is built with `rustc` alone.

struct PanicsToo;

impl Drop for PanicsToo {
    fn drop(&mut self) {
        panic!("and again");
    }
}

/// A panic that would leave a function of C.
#[unsafe(no_mangle)]
pub extern "C" fn panics() -> i32 {
    finds_nothing(None)
}

#[inline(never)]
fn finds_nothing(number: Option<i32>) -> i32 {
    number.expect("a number")
}

/// A panic while another unwinds.
#[unsafe(no_mangle)]
pub extern "C" fn panics_twice() -> i32 {
    let caught = std::panic::catch_unwind(|| {
        let _panics_too = PanicsToo;
        finds_nothing(None)
    });
    caught.unwrap_or(7)
}
