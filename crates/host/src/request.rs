// SPDX-License-Identifier: BSD-3-Clause
//! What a caller sends, and how it becomes the ABI's borrowed view.
//!
//! A request made for a call is a [`Request`]. An HTTP server has one already: as an [`HttpRequest`] its method,
//! path and headers are viewed where the server's parser left them, and none of them is copied.

use std::{borrow::Cow, fmt, mem};

use becket_abi::{NrHeader, NrRequest};
use bytes::Bytes;
use http::{HeaderName, request::Parts};
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

    /// The names and values of its headers, in order.
    #[inline]
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
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

/// A request as an HTTP server has it: its head, boxed so that moving it is cheap, and its whole body.
///
/// ```
/// use becket_host::HttpRequest;
///
/// let request = http::Request::get("/greet?x=1").header("accept", "*/*").body(()).unwrap();
/// let request = HttpRequest::new(Box::new(request.into_parts().0), "payload");
/// assert!(request.is_ok());
/// ```
pub struct HttpRequest {
    /// Its headers' values are UTF-8.
    head: Box<Parts>,
    body: Bytes,
}

impl HttpRequest {
    /// A request of this head and body.
    ///
    /// # Errors
    /// The name of a header whose value is not UTF-8: the ABI carries text.
    pub fn new(head: Box<Parts>, body: impl Into<Bytes>) -> Result<Self, HeaderName> {
        // Nearly all are ASCII, which is quicker to tell.
        let is_text = |bytes: &[u8]| bytes.is_ascii() || str::from_utf8(bytes).is_ok();
        match head.headers.iter().find(|(_, value)| !is_text(value.as_bytes())) {
            Some((name, _)) => Err(name.clone()),
            None => Ok(Self { head, body: body.into() }),
        }
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The names and values of its headers; those of one name stand together.
    #[inline]
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.headers.iter().map(|(name, value)| {
            // SAFETY: `new` checked each value, and the head has not changed since.
            (name.as_str(), unsafe { str::from_utf8_unchecked(value.as_bytes()) })
        })
    }
}

/// Shows the shape, as [`Request`] does.
impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.head.method)
            .field("path", &self.head.uri.path())
            .field("headers", &self.head.headers.len())
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
    /// Given away, as an HTTP server has it.
    Http(HttpRequest),
}

impl AnyRequest<'_> {
    /// The payload.
    #[inline]
    pub(crate) fn body(&self) -> &Bytes {
        match self {
            Self::Owned(request) => &request.body,
            Self::Borrowed(request) => &request.body,
            Self::Http(request) => &request.body,
        }
    }

    /// Given away if it was, else copied.
    pub(crate) fn take(&mut self) -> AnyRequest<'static> {
        match mem::replace(self, Self::Owned(Request::default())) {
            Self::Owned(request) => AnyRequest::Owned(request),
            Self::Borrowed(request) => AnyRequest::Owned(request.clone()),
            Self::Http(request) => AnyRequest::Http(request),
        }
    }

    /// Runs `f` with the ABI's view of this request, which is valid for that long.
    #[inline]
    pub(crate) fn with_view<R>(&self, f: impl FnOnce(&NrRequest) -> R) -> R {
        let request = match self {
            Self::Owned(request) => request,
            Self::Borrowed(request) => request,
            Self::Http(request) => {
                let Parts { method, uri, headers, .. } = &*request.head;
                let line = [method.as_str(), uri.path(), uri.query().unwrap_or_default()];
                return view(line, headers.len(), request.headers(), f);
            }
        };
        let line = [&*request.method, &*request.path, &*request.query];
        view(line, request.headers.len(), request.headers(), f)
    }
}

/// Runs `f` with the view of a request of this method, path and query, and these `len` headers.
#[inline(always)]
fn view<'a, R>(
    [method, path, query]: [&str; 3],
    len: usize,
    lines: impl Iterator<Item = (&'a str, &'a str)>,
    f: impl FnOnce(&NrRequest) -> R,
) -> R {
    let mut few = [NrHeader::new("", ""); HEADERS_FEW];
    let mut many = SmallVec::<[NrHeader; HEADERS_ON_STACK]>::new();
    let headers = match few.get_mut(..len) {
        Some(few) => few,
        None => {
            many.resize(len, NrHeader::new("", ""));
            &mut many
        }
    };
    for (header, (name, value)) in headers.iter_mut().zip(lines) {
        *header = NrHeader::new(name, value);
    }
    f(&NrRequest::build(method, path, query, headers))
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

impl From<HttpRequest> for AnyRequest<'_> {
    #[inline]
    fn from(request: HttpRequest) -> Self {
        Self::Http(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request both ways: as it is made for a call, and as an HTTP server has it.
    fn both(headers: usize) -> [AnyRequest<'static>; 2] {
        let mut made = Request::new("x").path("/p").query("q").method("GET");
        let mut served = http::Request::get("/p?q");
        for at in 0..headers {
            made = made.header(format!("h{at}"), format!("v{at}"));
            served = served.header(format!("h{at}"), format!("v{at}"));
        }
        let (head, ()) = served.body(()).unwrap().into_parts();
        [made.into(), HttpRequest::new(Box::new(head), "x").unwrap().into()]
    }

    #[test]
    fn the_view_has_every_header_on_the_stack_and_beyond() {
        for count in
            [0, 1, HEADERS_FEW, HEADERS_FEW + 1, HEADERS_ON_STACK, HEADERS_ON_STACK + 1, 200]
        {
            for mut request in both(count) {
                let taken = request.take();
                taken.with_view(|view| {
                    // SAFETY: `taken` outlives the closure.
                    let line =
                        unsafe { [view.method, view.path, view.query].map(|it| it.as_str()) };
                    assert_eq!(line, ["GET", "/p", "q"]);
                    assert_eq!(view.headers_len as usize, count);
                    for at in 0..count {
                        // SAFETY: as above.
                        let value = unsafe { view.header(&format!("H{at}")) };
                        assert_eq!(value, Some(format!("v{at}").as_str()));
                    }
                });
                assert_eq!(**taken.body(), b"x"[..]);
            }
        }
    }

    #[test]
    fn a_head_with_bytes_that_are_no_text_is_refused_with_the_headers_name() {
        let request =
            http::Request::get("/").header("fine", "caf\u{e9}").header("odd", &b"\xff"[..]);
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(HttpRequest::new(Box::new(head), "").unwrap_err(), "odd");
    }
}
