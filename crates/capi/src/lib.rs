// SPDX-License-Identifier: BSD-3-Clause
//! `libkcoro`: the C surface over `becket-chan` and `becket-coro`.
