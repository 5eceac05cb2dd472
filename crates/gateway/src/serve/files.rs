// SPDX-License-Identifier: BSD-3-Clause
//! Files of a folder.
//!
//! The kernel itself keeps the path inside the folder (`openat2` with `RESOLVE_BENEATH`, Linux 5.6): `..`, absolute
//! symlinks and symlinks that leave the folder end in an error while it is walked, so nothing can be moved in between.
//!
//! # Invariants
//!
//! 1. Only regular files are served, of which no part of the path begins with a dot.
//! 2. A file is read in pieces of [`PIECE_BYTES`], one at a time, when the client takes one.
//! 3. Files are opened and read on threads that may block, never on those that serve requests.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use becket_host::Body as HostBody;
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use tokio::task::{JoinHandle, spawn_blocking};

use super::body::{Body, Data};
use super::guard::Busy;
use super::request::Arrived;
use super::stream::Truncated;
use crate::TARGET;
use crate::problem::Problem;
use crate::repeats::Repeats;
use crate::shared::Shared;
use crate::stats::{EntryStats, InFlight, Refusal};

/// How much of a file is read at once.
const PIECE_BYTES: usize = 64 << 10;
/// What a folder is answered with.
const INDEX: &str = "index.html";

/// The folder of a route.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    /// What the paths of requests begin with.
    prefix: String,
    failures: Repeats,
}

/// A file that is to be sent.
#[derive(Debug)]
struct Found {
    file: File,
    len: u64,
    modified: Option<SystemTime>,
}

/// What a path leads to.
enum Opened {
    File(Found),
    Folder,
    Nothing,
}

impl Files {
    pub(crate) fn new(folder: PathBuf, prefix: String) -> Self {
        Self { folder, prefix, failures: Repeats::default() }
    }

    /// The path inside the folder, decoded, and whether it is one of a folder. `None`: there is no such file.
    fn inside(&self, path: &str) -> Option<(String, bool)> {
        let rest = path.strip_prefix(self.prefix.as_str())?;
        let rest = match self.prefix.ends_with('/') {
            true => rest,
            false if rest.is_empty() => return Some((String::new(), false)),
            false => rest.strip_prefix('/')?,
        };
        let decoded = percent_decode_str(rest).decode_utf8().ok()?;
        let is_folder = decoded.is_empty() || decoded.ends_with('/');
        let name = decoded.strip_suffix('/').unwrap_or(&decoded);
        let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.');
        let is_named = name.is_empty() && decoded.is_empty() || name.split('/').all(is_plain);
        (is_named && !name.contains('\0')).then(|| (name.to_owned(), is_folder))
    }
}

/// Opens what is at `path` below `folder`. A symlink may lead to another place below it.
fn open(folder: PathBuf, mut path: String, is_folder: bool) -> io::Result<Opened> {
    if is_folder {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(INDEX);
    }
    let path = if path.is_empty() { ".".to_owned() } else { path };
    let root =
        openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // Not waiting: the other end of a pipe may never come.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = loop {
        match openat2(&root, &path, flags, Mode::empty(), resolve) {
            // A rename elsewhere raced with the walk.
            Err(Errno::AGAIN) => {}
            other => break other,
        }
    };
    let file = match opened {
        Ok(file) => File::from(file),
        // Not there, outside (`XDEV`), not for this user, or a device.
        Err(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::XDEV
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::ACCESS
            | Errno::NXIO
            | Errno::NODEV,
        ) => return Ok(Opened::Nothing),
        Err(error) => return Err(error.into()),
    };
    let meta = file.metadata()?;
    Ok(match meta.is_file() {
        true => Opened::File(Found { file, len: meta.len(), modified: meta.modified().ok() }),
        false if meta.is_dir() && !is_folder => Opened::Folder,
        false => Opened::Nothing,
    })
}

pub(super) async fn answer(
    shared: &Shared,
    files: &Files,
    request: Arrived,
) -> Result<Response<Body>, Problem> {
    let head = request.head;
    if !matches!(head.method, Method::GET | Method::HEAD) {
        shared.stats.refuse(Refusal::Method);
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "files are only read")
            .hint("use GET or HEAD")
            .allow(HeaderValue::from_static("GET, HEAD")));
    }
    let nothing = || Problem::new(StatusCode::NOT_FOUND, "there is no such file");
    let (path, is_folder) = files.inside(head.uri.path()).ok_or_else(nothing)?;
    let folder = files.folder.clone();
    let opening = spawn_blocking(move || {
        let media = media_type(if is_folder { INDEX } else { &path });
        match open(folder, path, is_folder)? {
            Opened::File(found) => send(&head.method, &head.headers, found, media).map(Some),
            Opened::Folder => Ok(to_folder(&head.uri)),
            Opened::Nothing => Ok(None),
        }
    });
    match opening.await.map_err(io::Error::other).flatten() {
        Ok(response) => response.ok_or_else(nothing),
        Err(error) => {
            if let Some(left_out) = files.failures.pass() {
                tracing::warn!(target: TARGET,
                    folder = %files.folder.display(),
                    %error,
                    not_logged = left_out,
                    "a file cannot be read"
                );
            }
            let what = "the file cannot be read";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what)
                .hint("the log of the gateway says why"))
        }
    }
}

/// By the name's extension.
fn media_type(name: &str) -> HeaderValue {
    let media = mime_guess::from_path(name).first_or_octet_stream();
    let is_text = media.type_() == "text" || media.subtype() == "javascript";
    let charset = if is_text { "; charset=utf-8" } else { "" };
    HeaderValue::from_str(&format!("{}{charset}", media.essence_str()))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// To the same path with a `/`, so that relative links in the folder's page lead below it.
fn to_folder(uri: &Uri) -> Option<Response<Body>> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::from_str(&format!("{}/{query}", uri.path())).ok()?;
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    Some(response)
}

/// What tells two versions of a file apart.
struct Validators {
    etag: HeaderValue,
    /// Whole seconds, as a header has them.
    modified: SystemTime,
}

impl Validators {
    fn of(found: &Found) -> Option<Self> {
        let since = found.modified?.duration_since(UNIX_EPOCH).ok()?;
        let etag = format!("\"{:x}-{:x}\"", found.len, since.as_nanos());
        let modified = UNIX_EPOCH + Duration::from_secs(since.as_secs());
        Some(Self { etag: HeaderValue::from_str(&etag).ok()?, modified })
    }

    /// RFC 9110, section 13.2.2: a date counts only where there is no tag.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_none() {
            let since = headers.get(IF_MODIFIED_SINCE).and_then(date);
            return since.is_some_and(|since| self.modified <= since);
        }
        let own = self.etag.to_str().unwrap_or_default();
        let is_own = |tag: &str| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own
        };
        tags.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).any(is_own)
    }

    /// Whether a range may be of this version.
    fn is_range_of(&self, headers: &HeaderMap) -> bool {
        match headers.get(IF_RANGE) {
            None => true,
            Some(condition) => condition == self.etag || date(condition) == Some(self.modified),
        }
    }
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// The bytes that are asked for: the first one and how many. `Err`: the file has none of them.
fn range(headers: &HeaderMap, len: u64) -> Result<Option<(u64, u64)>, ()> {
    let Some(value) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let ranges = http_range_header::parse_range_header(value).map_err(drop)?;
    let ranges = ranges.validate(len).map_err(drop)?;
    match &ranges[..] {
        [one] => Ok(Some((*one.start(), one.end() - one.start() + 1))),
        // Several would need a body in parts; the whole is an answer too.
        _ => Ok(None),
    }
}

fn send(
    method: &Method,
    request: &HeaderMap,
    found: Found,
    media: HeaderValue,
) -> io::Result<Response<Body>> {
    let validators = Validators::of(&found);
    let mut response = Response::new(Body::default());
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(Validators { etag, modified }) = &validators {
        headers.insert(ETAG, etag.clone());
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(*modified)) {
            headers.insert(LAST_MODIFIED, date);
        }
    }
    if validators.as_ref().is_some_and(|it| it.is_known(request)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let is_ranged = validators.as_ref().is_some_and(|it| it.is_range_of(request));
    let asked = if is_ranged { range(request, found.len) } else { Ok(None) };
    let (start, len) = match asked {
        Ok(None) => (0, found.len),
        Ok(Some((start, len))) => {
            let shown = format!("bytes {start}-{}/{}", start + len - 1, found.len);
            if let Ok(shown) = HeaderValue::from_str(&shown) {
                headers.insert(CONTENT_RANGE, shown);
            }
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            (start, len)
        }
        Err(()) => {
            if let Ok(shown) = HeaderValue::from_str(&format!("bytes */{}", found.len)) {
                headers.insert(CONTENT_RANGE, shown);
            }
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok(response);
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    *response.body_mut() = match method {
        &Method::HEAD => Body::default(),
        _ if len <= PIECE_BYTES as u64 => Body::full(read(&found.file, start, len)?),
        _ => Body::File(Box::new(FileBody::new(found.file, start, len))),
    };
    Ok(response)
}

/// Reads so many bytes, or fails: the file has become shorter.
fn read(file: &File, start: u64, len: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; len.min(PIECE_BYTES as u64) as usize];
    file.read_exact_at(&mut piece, start)?;
    Ok(piece.into())
}

/// A part of a file that is sent piece by piece.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<File>,
    at: u64,
    rest: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// It could not be read; the error follows once what came before is sent.
    is_cut: bool,
    in_flight: Option<InFlight<Arc<EntryStats>>>,
    busy: Option<Busy>,
}

impl FileBody {
    fn new(file: File, at: u64, rest: u64) -> Self {
        let file = Arc::new(file);
        Self { file, at, rest, reading: None, is_cut: false, in_flight: None, busy: None }
    }

    pub(super) fn count(&mut self, in_flight: InFlight<Arc<EntryStats>>) {
        self.in_flight = Some(in_flight);
    }

    pub(super) fn keep(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    pub(super) fn rest(&self) -> u64 {
        self.rest
    }

    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Data, Truncated>>> {
        if self.is_cut {
            return Poll::Ready(Some(Err(Truncated)));
        }
        if self.rest == 0 {
            return Poll::Ready(None);
        }
        let reading = self.reading.get_or_insert_with(|| {
            let (file, at, rest) = (Arc::clone(&self.file), self.at, self.rest);
            spawn_blocking(move || read(&file, at, rest))
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        match read.map_err(io::Error::other).flatten() {
            Ok(piece) => {
                self.at += piece.len() as u64;
                self.rest -= piece.len() as u64;
                if let Some(in_flight) = &self.in_flight {
                    in_flight.add_bytes_out(piece.len());
                }
                if let Some(busy) = &self.busy {
                    busy.hands_over();
                }
                Poll::Ready(Some(Ok(Data::new(HostBody::from(piece)))))
            }
            Err(error) => {
                tracing::debug!(target: TARGET, %error, "a file was cut off");
                // As in `stream`: what is buffered is flushed before the connection is cut.
                self.is_cut = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(prefix: &str, path: &str) -> Option<(String, bool)> {
        Files::new(PathBuf::from("/x"), prefix.to_owned()).inside(path)
    }

    #[test]
    fn a_path_is_that_below_the_prefix() {
        let found = |path: &str, is_folder| Some((path.to_owned(), is_folder));
        assert_eq!(inside("/", "/"), found("", true));
        assert_eq!(inside("/", "/a/b.txt"), found("a/b.txt", false));
        assert_eq!(inside("/s", "/s"), found("", false));
        assert_eq!(inside("/s", "/s/"), found("", true));
        assert_eq!(inside("/s", "/s/a%20b/"), found("a b", true));
        assert_eq!(inside("/s/", "/s/a..b"), found("a..b", false));
        for path in [
            "/sx",
            "/",
            "/s//",
            "/s/a//b",
            "/s/..",
            "/s/../a",
            "/s/%2e%2e/a",
            "/s/a/..%2fb",
            "/s/.git",
            "/s/a/.b",
            "/s/%00",
            "/s/%ff",
        ] {
            assert_eq!(inside("/s", path), None, "{path}");
        }
    }

    #[test]
    fn types_follow_the_extension() {
        for (name, media) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.CSS", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.png", "image/png"),
            ("a.wasm", "application/wasm"),
            ("a", "application/octet-stream"),
        ] {
            assert_eq!(media_type(name), media, "{name}");
        }
    }
}
