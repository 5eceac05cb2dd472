// SPDX-License-Identifier: BSD-3-Clause
//! Request metadata, as the plugin sees it.

use crate::{NrStr, ViewError};

/// One header: a name and a value.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct NrHeader {
    /// The name, as the caller spelt it.
    pub key: NrStr,
    /// The value.
    pub value: NrStr,
}

impl NrHeader {
    /// A header over borrowed text.
    #[inline]
    #[must_use]
    pub const fn new(key: &str, value: &str) -> Self {
        Self { key: NrStr::from_str(key), value: NrStr::from_str(value) }
    }
}

/// What accompanies a payload: path, method, query, headers. Borrowed for the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NrRequest {
    /// The path, without the query.
    pub path: NrStr,
    /// The method, in upper case for HTTP.
    pub method: NrStr,
    /// The query, without its `?`.
    pub query: NrStr,
    /// `headers_len` headers; `NULL` when there are none.
    pub headers: *const NrHeader,
    /// How many headers.
    pub headers_len: u32,
    /// Zero.
    pub _reserved0: u32,
    /// Zero.
    pub _reserved1: u64,
}

impl NrRequest {
    /// A request without anything in it.
    pub const EMPTY: Self = Self {
        path: NrStr::EMPTY,
        method: NrStr::EMPTY,
        query: NrStr::EMPTY,
        headers: core::ptr::null(),
        headers_len: 0,
        _reserved0: 0,
        _reserved1: 0,
    };

    /// A request over borrowed parts, which must outlive every use of it. Headers beyond
    /// `u32::MAX` are left out.
    #[inline]
    #[must_use]
    pub const fn build(method: &str, path: &str, query: &str, headers: &[NrHeader]) -> Self {
        let (ptr, len) = if headers.is_empty() {
            (core::ptr::null(), 0)
        } else if headers.len() > u32::MAX as usize {
            (headers.as_ptr(), u32::MAX)
        } else {
            (headers.as_ptr(), headers.len() as u32)
        };
        Self {
            path: NrStr::from_str(path),
            method: NrStr::from_str(method),
            query: NrStr::from_str(query),
            headers: ptr,
            headers_len: len,
            _reserved0: 0,
            _reserved1: 0,
        }
    }

    /// The headers as a slice.
    ///
    /// # Errors
    /// [`ViewError::TooLong`] for more than `headers_max`; [`ViewError::Null`] if the pointer is
    /// `NULL` or misaligned and the count is not 0.
    ///
    /// # Safety
    /// If `headers` is not `NULL` and `headers_len <= headers_max`, that many headers are readable
    /// for `'a`.
    pub unsafe fn headers_checked<'a>(
        &self,
        headers_max: u32,
    ) -> Result<&'a [NrHeader], ViewError> {
        if self.headers_len == 0 {
            return Ok(&[]);
        }
        if self.headers.is_null() || !self.headers.is_aligned() {
            return Err(ViewError::Null);
        }
        if self.headers_len > headers_max {
            return Err(ViewError::TooLong {
                len: u64::from(self.headers_len),
                len_max: u64::from(headers_max),
            });
        }
        // SAFETY: not NULL, aligned, within the limit, so the caller promised it readable for `'a`.
        Ok(unsafe { core::slice::from_raw_parts(self.headers, self.headers_len as usize) })
    }

    /// The value of the first header of this name, compared without regard to ASCII case.
    ///
    /// # Safety
    /// The request and everything it points to is valid for `'a`.
    #[must_use]
    pub unsafe fn header<'a>(&self, name: &str) -> Option<&'a str> {
        // SAFETY: the caller's promise, for the array and for each view in it.
        let headers = unsafe { self.headers_checked(u32::MAX) }.ok()?;
        headers
            .iter()
            // SAFETY: as above.
            .find(|header| unsafe { header.key.as_str() }.eq_ignore_ascii_case(name))
            // SAFETY: as above.
            .map(|header| unsafe { header.value.as_str() })
    }
}

impl Default for NrRequest {
    fn default() -> Self {
        Self::EMPTY
    }
}

crate::assert_layout!(NrHeader, 32, { key: 0, value: 16 });
crate::assert_layout!(NrRequest, 72, {
    path: 0, method: 16, query: 32, headers: 48, headers_len: 56, _reserved0: 60, _reserved1: 64,
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_without_regard_to_case() {
        let headers = [NrHeader::new("Accept", "a"), NrHeader::new("x-id", "7")];
        let request = NrRequest::build("GET", "/p", "q=1", &headers);
        // SAFETY: `headers` outlives the borrows.
        unsafe {
            assert_eq!(request.header("X-ID"), Some("7"));
            assert_eq!(request.header("absent"), None);
            assert_eq!(request.path.as_str(), "/p");
        }
    }

    #[test]
    fn too_many_headers_are_refused() {
        let request =
            NrRequest { headers: core::ptr::dangling(), headers_len: 9, ..NrRequest::EMPTY };
        // SAFETY: refused before the memory is touched.
        let refused = unsafe { request.headers_checked(8) };
        assert_eq!(refused.err(), Some(ViewError::TooLong { len: 9, len_max: 8 }));
    }
}
