// SPDX-License-Identifier: BSD-3-Clause
//! Why there is no stack.

use std::io;

use thiserror::Error;

/// Why there is no stack for a coroutine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StackError {
    /// The kernel refused memory, or a guard for it. Fewer or smaller stacks may do; where guards
    /// are separate mappings (Linux before 6.13) `vm.max_map_count` bounds their number.
    #[error("no memory for a stack of {size_bytes} bytes: {}", os_error(*errno))]
    OutOfMemory {
        /// The usable size of the stack, in bytes.
        size_bytes: usize,
        /// The kernel's error number.
        errno: i32,
    },
    /// No stack of this size can be had, ever.
    #[error("a stack of {size_bytes} bytes is too large: the most is {size_max_bytes} bytes")]
    TooLarge {
        /// The size that was asked for, in bytes.
        size_bytes: usize,
        /// The largest size there is, in bytes.
        size_max_bytes: usize,
    },
    /// The address space set aside for stacks is used up. Stacks that are free now are reused, so
    /// that this passes as coroutines end.
    #[error("stacks of {size_bytes} bytes have used up their {limit_bytes} bytes of addresses")]
    AddressSpace {
        /// The usable size of the stack, in bytes.
        size_bytes: usize,
        /// What stacks may take of the address space, in bytes.
        limit_bytes: usize,
    },
}

fn os_error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}
