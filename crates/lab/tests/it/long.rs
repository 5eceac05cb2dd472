// SPDX-License-Identifier: BSD-3-Clause
//! Tests with a short and a long form. `cargo xtask test --full` sets `BECKET_TEST_LONG`, which asks for
//! the long one.

pub(crate) fn is_long() -> bool {
    std::env::var_os("BECKET_TEST_LONG").is_some()
}

/// The value for the form that is asked for.
pub(crate) fn or_long<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}
