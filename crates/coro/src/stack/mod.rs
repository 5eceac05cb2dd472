// SPDX-License-Identifier: BSD-3-Clause
//! Stacks.

use thiserror::Error;

/// Why there is no stack.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StackError {}
