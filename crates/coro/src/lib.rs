// SPDX-License-Identifier: BSD-3-Clause
//! Stackful coroutines: straight-line code that waits without holding a thread.

mod stack;
mod switch;

pub use self::stack::StackError;
