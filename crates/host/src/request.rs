// SPDX-License-Identifier: BSD-3-Clause
//! What a caller sends, and how it becomes the ABI's borrowed view.

use std::{borrow::Cow, fmt};

use becket_abi::{NrHeader, NrRequest};
use bytes::Bytes;
use smallvec::SmallVec;

/// Requests with at most this many headers build their view in an array that costs next to nothing to clear.
const HEADERS_FEW: usize = 8;

/// Requests with at most this many build it on the stack.
const HEADERS_ON_STACK: usize = 32;

/// A request: metadata, a body, and extensions that never leave the host.
///
/// ```
/// use becket_host::Request;
///
/// let mut request = Request::new("payload").method("POST").path("/greet").header("accept", "*/*");
/// request.extensions.insert(7_u32);
/// ```
#[derive(Clone, Default)]
pub struct Request {
    /// The method, in upper case for HTTP.
    pub method: Cow<'static, str>,
    /// The path, without the query.
    pub path: Cow<'static, str>,
    /// The query, without its `?`.
    pub query: Cow<'static, str>,
    /// Header names and values, in order, repeated names allowed.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// The payload.
    pub body: Bytes,
    /// Values by their type, for the host's own code; the plugin does not see them.
    pub extensions: http::Extensions,
}

impl Request {
    /// A request with this payload and nothing else.
    #[must_use]
    #[inline]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            method: Cow::Borrowed(""),
            path: Cow::Borrowed(""),
            query: Cow::Borrowed(""),
            headers: Vec::new(),
            body: body.into(),
            extensions: http::Extensions::new(),
        }
    }

    /// Sets the method.
    #[must_use]
    #[inline]
    pub fn method(mut self, method: impl Into<Cow<'static, str>>) -> Self {
        self.method = method.into();
        self
    }

    /// Sets the path.
    #[must_use]
    #[inline]
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the query.
    #[must_use]
    #[inline]
    pub fn query(mut self, query: impl Into<Cow<'static, str>>) -> Self {
        self.query = query.into();
        self
    }

    /// Adds a header.
    #[must_use]
    #[inline]
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Runs `f` with the ABI's view of this request, which is valid for that long.
    #[inline]
    pub(crate) fn with_view<R>(&self, f: impl FnOnce(&NrRequest) -> R) -> R {
        let mut few = [NrHeader::new("", ""); HEADERS_FEW];
        let mut many = SmallVec::<[NrHeader; HEADERS_ON_STACK]>::new();
        let headers = match few.get_mut(..self.headers.len()) {
            Some(few) => few,
            None => {
                many.resize(self.headers.len(), NrHeader::new("", ""));
                &mut many
            }
        };
        for (header, (name, value)) in headers.iter_mut().zip(&self.headers) {
            *header = NrHeader::new(name, value);
        }
        f(&NrRequest::build(&self.method, &self.path, &self.query, headers))
    }
}

/// Shows the shape, not the payload, nor any value a header may keep secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A request that is given away or lent; what `call` takes.
#[derive(Debug)]
pub enum AnyRequest<'a> {
    /// Given away.
    Owned(Request),
    /// Lent until the call was dispatched.
    Borrowed(&'a Request),
}

impl AnyRequest<'_> {
    pub(crate) fn get(&self) -> &Request {
        match self {
            Self::Owned(request) => request,
            Self::Borrowed(request) => request,
        }
    }
}

impl From<Request> for AnyRequest<'_> {
    #[inline]
    fn from(request: Request) -> Self {
        Self::Owned(request)
    }
}

impl<'a> From<&'a Request> for AnyRequest<'a> {
    #[inline]
    fn from(request: &'a Request) -> Self {
        Self::Borrowed(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_has_every_header_on_the_stack_and_beyond() {
        for count in
            [0, 1, HEADERS_FEW, HEADERS_FEW + 1, HEADERS_ON_STACK, HEADERS_ON_STACK + 1, 200]
        {
            let mut request = Request::new("x").path("/p").query("q").method("GET");
            for at in 0..count {
                request = request.header(format!("h{at}"), format!("v{at}"));
            }
            request.with_view(|view| {
                assert_eq!(view.headers_len as usize, count);
                for at in 0..count {
                    // SAFETY: `request` outlives the closure.
                    let value = unsafe { view.header(&format!("H{at}")) };
                    assert_eq!(value, Some(format!("v{at}").as_str()));
                }
            });
        }
    }
}
