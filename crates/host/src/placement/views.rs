// SPDX-License-Identifier: BSD-3-Clause
//! Empty views as plugins of the first builds want them.
//!
//! Those in Rust make a slice of a view without a look at its length, and a build with debug
//! assertions ends the process when the pointer of an empty one is `NULL`. So a plugin that carries no
//! mark of what it was built with gets an address in place of `NULL`, never read behind. Every other
//! gets `NULL`.

use becket_abi::{NrBytes, NrHeader, NrRequest, NrStr};
use smallvec::SmallVec;

/// What an empty view points to: aligned for whatever it is a view of.
static NOTHING: u64 = 0;

/// Headers that are copied on the stack.
const HEADERS_ON_STACK: usize = 16;

/// The view, never `NULL`.
pub(crate) fn bytes(view: NrBytes) -> NrBytes {
    if view.len == 0 { NrBytes { ptr: (&raw const NOTHING).cast(), len: 0 } } else { view }
}

fn text(view: NrStr) -> NrStr {
    if view.len == 0 { NrStr { ptr: (&raw const NOTHING).cast(), ..NrStr::EMPTY } } else { view }
}

/// Runs `f` with the request's copy in which no view is `NULL`.
///
/// # Safety
/// `request` is the host's own: its headers can be read.
pub(super) unsafe fn with_request<R>(request: &NrRequest, f: impl FnOnce(&NrRequest) -> R) -> R {
    let mut headers = SmallVec::<[NrHeader; HEADERS_ON_STACK]>::new();
    let mut filled = NrRequest {
        path: text(request.path),
        method: text(request.method),
        query: text(request.query),
        headers: (&raw const NOTHING).cast(),
        ..*request
    };
    if request.headers_len > 0 {
        // SAFETY: the caller's promise; not empty, so the pointer is that of its headers.
        let given =
            unsafe { std::slice::from_raw_parts(request.headers, request.headers_len as usize) };
        let fill =
            |header: &NrHeader| NrHeader { key: text(header.key), value: text(header.value) };
        headers.extend(given.iter().map(fill));
        filled.headers = headers.as_ptr();
    }
    f(&filled)
}
