// SPDX-License-Identifier: BSD-3-Clause
//! Errors of stack allocation.

use std::io;

use thiserror::Error;

/// Why a coroutine has no stack.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StackError {
    /// The kernel refused memory, or a guard for it. Fewer or smaller stacks may succeed; where
    /// guards are separate mappings (Linux before 6.13) `vm.max_map_count` bounds their number.
    #[error("no memory for a stack of {size_bytes} bytes: {}", os_error(*errno))]
    OutOfMemory {
        /// The usable size of the stack, in bytes.
        size_bytes: usize,
        /// The kernel's error number.
        errno: i32,
    },
    /// Stacks of this size are not possible.
    #[error("a stack of {size_bytes} bytes is too large: the most is {size_max_bytes} bytes")]
    TooLarge {
        /// The requested size, in bytes.
        size_bytes: usize,
        /// The largest possible size, in bytes.
        size_max_bytes: usize,
    },
    /// The address space reserved for stacks is used up. Free stacks are reused, so this passes as
    /// coroutines end.
    #[error("stacks of {size_bytes} bytes have used up their {limit_bytes} bytes of addresses")]
    AddressSpace {
        /// The usable size of the stack, in bytes.
        size_bytes: usize,
        /// The limit of the address space for stacks, in bytes.
        limit_bytes: usize,
    },
}

fn os_error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}
