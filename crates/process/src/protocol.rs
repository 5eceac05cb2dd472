// SPDX-License-Identifier: BSD-3-Clause
//! The messages between a host and a worker.
//!
//! They go over a session of `becket-wire`, protocol 2, of which the host is the client. Numbers are
//! little-endian; `text16` and `text32` are a length of 16 or 32 bits and so many bytes of UTF-8.
//!
//! | request of the host | number | body | reply |
//! |---|---|---|---|
//! | load | 1 | JSON [`Load`] | JSON [`Loaded`] |
//! | call | 2 | a call, below | status u32, body |
//! | export | 3 | – | status u32, state |
//! | import | 4 | state | status u32 |
//! | part of a load | 5 | the next bytes of a load | – |
//! | shutdown | 7 | – | – |
//!
//! A load that is longer than a frame comes in parts, of which the request `load` has the last; a worker joins parts
//! of at most [`LOAD_BYTES_MAX`] bytes, and answers any further part with [`reply::TOO_MUCH`].
//!
//! The status of a reply is [`reply::DONE`] or says why there is no answer. A call's caller that leaves is a
//! cancel of the request.
//!
//! A reload asks the worker that is replaced to export its state, if it announced
//! [`exports_state`](Loaded::exports_state), when its calls have ended; then the new one to import that.
//! Status `Unsupported` of an export: there is no state, and nothing is imported. [`reply::UNKNOWN_OPERATION`]
//! of an import: the state is dropped. Any other status than `Ok` fails the reload, and the worker that was
//! to be replaced goes on.
//!
//! ```text
//!   a call   entry u32 │ deadline_ms u32 │ shape u8 │ 0 0 0 │ metadata_bytes u32 │ metadata │ payload
//!   metadata method text16 │ path text32 │ query text32 │ count u16 │ count × (name text16, value text32)
//! ```
//!
//! `deadline_ms` 0: none. `shape`: [`HAS_METADATA`], [`HAS_NAME`], [`PAYLOAD_FOLLOWS`]. With [`HAS_NAME`] the metadata
//! begins with the entry's name, text16, and `entry` says nothing: the list of entries is not complete.
//!
//! | stream of the host | service | its name | elements to the worker | elements to the host |
//! |---|---|---|---|---|
//! | a stream | 1 | a call | data | status u32, body; the first that is not `Ok` is the last |
//! | a long call | 2 | a call | the payload | status u32, body: the answer |
//! | a long import | 4 | – | the state | status u32 |
//! | a long notification | 5 | a call | the payload | – |
//!
//! Of each with a payload or a state that is longer than a frame, the worker accepts the stream, takes one element, and answers. A
//! reset of code [`REFUSED`] + a reply's status stands for that reply.
//!
//! | stream of the worker | service | its name | elements to the host |
//! |---|---|---|---|
//! | a long answer | 3 | the request's number, u64 | status u32, body: the answer |
//!
//! The reply to that request, a call or an export, is [`reply::IN_STREAM`], after the stream was opened.
//!
//! A stream is accepted when `handle` has returned, or with its first frame; a reset before that, of code
//! [`REFUSED`] + status, is a refusal. After that a reset of the host's is a caller that left.
//!
//! | notice | from | number | body |
//! |---|---|---|---|
//! | notification | host | 1 | a call |
//! | log | worker | 16 | level u8, target text16, message |
//! | metrics | worker | 17 | one or more changes of metrics, below |
//! | watchdog | worker | 18 | level u8, 0 0, message: of the worker's own watchdog |
//! | counts | worker | 19 | JSON [`ReportedCounts`]: what was counted since the last one, and what is so now |
//! | data refused | worker | 20 | status u32, with which data of the stream of that number was refused |
//!
//! Levels are 1 error, 2 warn, 3 info, 4 debug, 5 trace. The number of a log's notice counts the messages that
//! the worker dropped before it; the host drops messages of a worker that logs too many.
//!
//! ```text
//!   a change  kind u8 │ name text16 │ help text16 │ value
//!   value     kind 0, a counter: what it grew by, u64
//!             kind 1, a gauge: what it was set to, f64
//!             kind 2, a histogram: what its sum grew by, f64 │ count u16 × (value f64, how often u64)
//! ```
//!
//! Changes, not totals: the host goes on counting when a worker is started again. A worker batches them: one
//! notice every 100 ms is enough.
//!
//! Loads, calls, shutdown and streams (if an entry streams) are what a worker has to know. It answers any other
//! request with [`reply::UNKNOWN_OPERATION`], refuses any other stream, and ignores any other notice and any
//! other field of the JSON.

use std::borrow::Cow;
use std::path::PathBuf;

#[cfg(doc)]
use becket_host::ReportedCounts;
use becket_host::{
    Dispatch, Layout, Limits, Metadata, MetricChange, NrStatus, RemoteEntry, Request,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// The version in [`Load`].
pub const VERSION: u32 = 1;

/// Operations of requests.
pub mod operation {
    /// Load the plugin.
    pub const LOAD: u16 = 1;
    /// Call an entry.
    pub const CALL: u16 = 2;
    /// Give the state for the next load.
    pub const EXPORT: u16 = 3;
    /// Take the state of the load before.
    pub const IMPORT: u16 = 4;
    /// The next bytes of a load that is longer than a frame.
    pub const LOAD_PART: u16 = 5;
    /// End the plugin.
    pub const SHUTDOWN: u16 = 7;
}

/// Statuses of replies.
pub mod reply {
    /// Done: the body is the answer.
    pub const DONE: u16 = 0;
    /// Failed: the body is JSON [`Failed`](super::Failed).
    pub const FAILED: u16 = 1;
    /// There is no such entry.
    pub const UNKNOWN_ENTRY: u16 = 2;
    /// `handle` refused the call: the body is its status, u32.
    pub const REFUSED: u16 = 3;
    /// The handler panicked, or raised: the body says what.
    pub const PANICKED: u16 = 4;
    /// The deadline passed there.
    pub const DEADLINE: u16 = 5;
    /// Too much at once.
    pub const TOO_MUCH: u16 = 6;
    /// No such operation.
    pub const UNKNOWN_OPERATION: u16 = 7;
    /// The answer comes in a stream.
    pub const IN_STREAM: u16 = 8;
}

/// Services of streams.
pub mod service {
    /// A stream.
    pub const STREAM: u16 = 1;
    /// A call whose payload is longer than a frame.
    pub const LONG_CALL: u16 = 2;
    /// An answer that is longer than a frame.
    pub const LONG_ANSWER: u16 = 3;
    /// A state to import that is longer than a frame.
    pub const LONG_IMPORT: u16 = 4;
    /// A notification that is longer than a frame.
    pub const LONG_NOTIFICATION: u16 = 5;
}

/// Kinds of notices.
pub mod notice {
    /// A call without an answer.
    pub const NOTIFICATION: u16 = 1;
    /// A message for the log.
    pub const LOG: u16 = 16;
    /// Changes of metrics.
    pub const METRICS: u16 = 17;
    /// A message of the worker's watchdog on the plugin.
    pub const WATCHDOG: u16 = 18;
    /// What the worker has counted of the plugin.
    pub const COUNTS: u16 = 19;
    /// The plugin has refused data of a stream.
    pub const DATA_REFUSED: u16 = 20;
}

/// The length of a load, at most: of its JSON, which is little more than the plugin's configuration.
pub const LOAD_BYTES_MAX: usize = 16 << 20;
/// Code of a reset: a refusal with the status that is added to it.
pub const REFUSED: u16 = 256;
/// A call's shape: it has metadata.
pub const HAS_METADATA: u8 = 1;
/// A call's shape: it names its entry.
pub const HAS_NAME: u8 = 2;
/// A stream's shape: its first element is the payload.
pub const PAYLOAD_FOLLOWS: u8 = 0x80;
/// Kinds of metrics.
const COUNTER: u8 = 0;
const GAUGE: u8 = 1;
const HISTOGRAM: u8 = 2;
/// The length of the status before an answer.
pub const ANSWER_HEAD_BYTES: usize = 4;
/// The length of a call's head.
pub const HEAD_BYTES: usize = 16;
/// Where its shape is.
const SHAPE_AT: usize = 8;

/// What is to be loaded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
    /// [`VERSION`].
    pub protocol: u32,
    /// The plugin's name in the host.
    pub name: String,
    /// Its configuration.
    pub config: serde_json::Value,
    /// The least severe level that the host logs; 0: none.
    #[serde(default)]
    pub log_level_max: u32,
    /// The file of a native plugin, and how it is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Native>,
}

/// A native plugin's file, and how a worker loads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Native {
    /// The file, or its name.
    pub path: PathBuf,
    /// Where a name is looked for.
    pub search_path: Vec<PathBuf>,
    /// The vtable's layout, instead of recognising it.
    pub layout: Option<Layout>,
    /// The digest that the file must have.
    pub sha256: Option<[u8; 32]>,
    /// On which threads it runs.
    pub dispatch: Dispatch,
    /// Its bounds.
    pub limits: Limits,
}

/// What was loaded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Loaded {
    /// The name that the plugin gives itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its entries; a call names one by its place.
    pub entries: Vec<Entry>,
    /// It has no others. One that has is asked for them by name.
    #[serde(default = "yes")]
    pub is_complete: bool,
    /// The layout of its vtable, for a native plugin whose vtable has no size of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// It has a state to hand over at a reload.
    #[serde(default)]
    pub exports_state: bool,
    /// Its streams take data.
    #[serde(default = "yes")]
    pub takes_data: bool,
}

fn yes() -> bool {
    true
}

/// One entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// `unary`, `stream` or `bidirectional`.
    pub kind: String,
    /// One line on what it does.
    #[serde(default)]
    pub help: String,
    /// It needs no coroutine, for a native plugin that wants them.
    #[serde(default)]
    pub never_waits: bool,
}

/// Why something failed there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failed {
    /// What.
    pub error: String,
    /// Why.
    #[serde(default)]
    pub cause: String,
    /// What to try.
    #[serde(default)]
    pub hint: String,
}

/// A message that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message that is cut off or is not text")]
pub struct Malformed;

/// How a call says which entry it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryRef {
    /// By its place in [`Loaded::entries`].
    Place(u32),
    /// By its name.
    Name(String),
}

/// A call, decoded.
#[derive(Debug)]
pub struct Call {
    /// The entry.
    pub entry: EntryRef,
    /// Milliseconds until its caller gives up; 0: never.
    pub deadline_ms: u32,
    /// [`HAS_METADATA`], [`PAYLOAD_FOLLOWS`].
    pub shape: u8,
    /// Its metadata, and its payload as the body.
    pub request: Request,
}

/// A call that is an entry, a deadline and a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawCall<'a> {
    /// The entry's place in [`Loaded::entries`].
    pub place: u32,
    /// As [`Call::deadline_ms`].
    pub deadline_ms: u32,
    /// The payload.
    pub payload: &'a [u8],
}

/// A call, encoded.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// All of it.
    pub whole: Bytes,
    payload_at: usize,
}

impl Encoded {
    /// The same in two parts, for a payload that is too long for a frame: without it, and the payload.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Bytes) {
        let payload = self.whole.slice(self.payload_at..);
        let mut name = BytesMut::from(self.whole.get(..self.payload_at).unwrap_or_default());
        if let Some(shape) = name.get_mut(SHAPE_AT) {
            *shape |= PAYLOAD_FOLLOWS;
        }
        (name.freeze(), payload)
    }
}

/// Encodes a call.
#[must_use]
pub fn encode_call(
    entry: RemoteEntry<'_>,
    remaining_ms: Option<u64>,
    metadata: Option<Metadata<'_>>,
    payload: &[u8],
) -> Encoded {
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + payload.len() + 64);
    let deadline_ms = deadline_ms(remaining_ms);
    let mut shape = if metadata.is_some() { HAS_METADATA } else { 0 };
    let (place, name) = match entry {
        RemoteEntry::Place(place) => (place, None),
        RemoteEntry::Name(name) => (0, Some(name)),
    };
    shape |= if name.is_some() { HAS_NAME } else { 0 };
    bytes.put_u32_le(place);
    bytes.put_u32_le(deadline_ms);
    bytes.put_u32_le(shape.into());
    let length_at = bytes.len();
    bytes.put_u32_le(0);
    if let Some(name) = name {
        put_text16(&mut bytes, name);
    }
    if let Some(metadata) = metadata {
        put_text16(&mut bytes, metadata.method());
        put_text32(&mut bytes, metadata.path());
        put_text32(&mut bytes, metadata.query());
        let headers = metadata.headers();
        bytes.put_u16_le(u16::try_from(headers.len()).unwrap_or(u16::MAX));
        for (name, value) in headers.take(u16::MAX.into()) {
            put_text16(&mut bytes, name);
            put_text32(&mut bytes, value);
        }
    }
    let length = (bytes.len() - HEAD_BYTES) as u32;
    if let Some(mut place) = bytes.get_mut(length_at..HEAD_BYTES) {
        place.put_u32_le(length);
    }
    let payload_at = bytes.len();
    bytes.put_slice(payload);
    Encoded { whole: bytes.freeze(), payload_at }
}

/// What precedes the payload of a call that has no metadata, for the entry at this place.
#[inline]
#[must_use]
pub fn encode_head(place: u32, remaining_ms: Option<u64>, shape: u8) -> [u8; HEAD_BYTES] {
    let words = [place, deadline_ms(remaining_ms), shape.into(), 0];
    let mut head = [0; HEAD_BYTES];
    for (bytes, word) in head.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    head
}

/// A deadline that has come is one of a millisecond: 0 is none.
fn deadline_ms(remaining_ms: Option<u64>) -> u32 {
    remaining_ms.map_or(0, |ms| u32::try_from(ms).unwrap_or(u32::MAX).max(1))
}

impl<'a> RawCall<'a> {
    /// Decodes a call, if it is one for an entry by its place, without metadata.
    #[inline]
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (head, payload) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let (words, _) = head.as_chunks();
        let mut fields = [0; 4];
        for (field, word) in fields.iter_mut().zip(words) {
            *field = u32::from_le_bytes(*word);
        }
        let [place, deadline_ms, shape, metadata_bytes] = fields;
        (shape == 0 && metadata_bytes == 0).then_some(Self { place, deadline_ms, payload })
    }
}

impl Call {
    /// Decodes a call.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut body = Bytes::copy_from_slice(bytes);
        if body.len() < HEAD_BYTES {
            return Err(Malformed);
        }
        let (entry, deadline_ms, shape) = (body.get_u32_le(), body.get_u32_le(), body.get_u32_le());
        let metadata_bytes = body.get_u32_le() as usize;
        if metadata_bytes > body.len() {
            return Err(Malformed);
        }
        let shape = (shape & 0xff) as u8;
        let mut metadata = body.split_to(metadata_bytes);
        let mut request = Request::new(body);
        let entry = match shape & HAS_NAME {
            0 => EntryRef::Place(entry),
            _ => EntryRef::Name(text16(&mut metadata)?),
        };
        if shape & HAS_METADATA != 0 {
            request.method = Cow::Owned(text16(&mut metadata)?);
            request.path = Cow::Owned(text32(&mut metadata)?);
            request.query = Cow::Owned(text32(&mut metadata)?);
            let count = metadata.try_get_u16_le().map_err(|_| Malformed)?;
            for _ in 0..count {
                let name = text16(&mut metadata)?;
                request = request.header(name, text32(&mut metadata)?);
            }
        }
        Ok(Self { entry, deadline_ms, shape, request })
    }
}

/// A status and a body.
#[must_use]
pub fn encode_answer(status: NrStatus, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + body.len());
    bytes.put_u32_le(status.0);
    bytes.put_slice(body);
    bytes.freeze()
}

/// A status and a body, decoded.
///
/// # Errors
/// [`Malformed`].
pub fn decode_answer(bytes: &[u8]) -> Result<(NrStatus, &[u8]), Malformed> {
    let (status, body) = bytes.split_first_chunk::<ANSWER_HEAD_BYTES>().ok_or(Malformed)?;
    Ok((NrStatus(u32::from_le_bytes(*status)), body))
}

/// A message for the log, cut to `bytes_max`.
#[must_use]
pub fn encode_log(level: u32, target: &str, message: &str, bytes_max: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(3 + target.len() + message.len());
    bytes.put_u8(u8::try_from(level).unwrap_or(u8::MAX));
    put_text16(&mut bytes, target);
    bytes.put_slice(message.as_bytes());
    bytes.truncate(bytes_max);
    bytes.freeze()
}

/// Level, target and message of a log's notice.
///
/// # Errors
/// [`Malformed`].
pub fn decode_log(bytes: &[u8]) -> Result<(u32, Cow<'_, str>, Cow<'_, str>), Malformed> {
    let (&level, rest) = bytes.split_first().ok_or(Malformed)?;
    let (length, rest) = rest.split_first_chunk().ok_or(Malformed)?;
    let (target, message) =
        rest.split_at_checked(u16::from_le_bytes(*length).into()).ok_or(Malformed)?;
    Ok((level.into(), String::from_utf8_lossy(target), String::from_utf8_lossy(message)))
}

/// Appends a change of a metric.
pub fn put_metric(bytes: &mut BytesMut, name: &str, help: &str, change: MetricChange<'_>) {
    let mut head = |kind| {
        bytes.put_u8(kind);
        put_text16(bytes, name);
        put_text16(bytes, help);
    };
    match change {
        MetricChange::Counter(added) => {
            head(COUNTER);
            bytes.put_u64_le(added);
        }
        MetricChange::Gauge(value) => {
            head(GAUGE);
            bytes.put_f64_le(value);
        }
        MetricChange::Histogram { sum, recorded } => {
            head(HISTOGRAM);
            bytes.put_f64_le(sum);
            bytes.put_u16_le(u16::try_from(recorded.len()).unwrap_or(u16::MAX));
            for (value, times) in recorded.iter().take(u16::MAX.into()) {
                bytes.put_f64_le(*value);
                bytes.put_u64_le(*times);
            }
        }
    }
}

/// Takes the changes of metrics from a notice, one after another, until `take` has had all.
///
/// # Errors
/// [`Malformed`]: those before it were taken.
pub fn decode_metrics(
    bytes: &[u8],
    mut take: impl FnMut(&str, &str, MetricChange<'_>),
) -> Result<(), Malformed> {
    let mut body = Bytes::copy_from_slice(bytes);
    let mut recorded = Vec::new();
    while !body.is_empty() {
        let kind = body.get_u8();
        let (name, help) = (text16(&mut body)?, text16(&mut body)?);
        let change = match kind {
            COUNTER => MetricChange::Counter(body.try_get_u64_le().map_err(|_| Malformed)?),
            GAUGE => MetricChange::Gauge(body.try_get_f64_le().map_err(|_| Malformed)?),
            HISTOGRAM => {
                let sum = body.try_get_f64_le().map_err(|_| Malformed)?;
                let count = body.try_get_u16_le().map_err(|_| Malformed)?;
                recorded.clear();
                for _ in 0..count {
                    let value = body.try_get_f64_le().map_err(|_| Malformed)?;
                    recorded.push((value, body.try_get_u64_le().map_err(|_| Malformed)?));
                }
                MetricChange::Histogram { sum, recorded: &recorded }
            }
            _ => return Err(Malformed),
        };
        take(&name, &help, change);
    }
    Ok(())
}

fn put_text16(bytes: &mut BytesMut, text: &str) {
    let length = text.len().min(u16::MAX.into());
    bytes.put_u16_le(length as u16);
    bytes.put_slice(text.as_bytes().get(..length).unwrap_or_default());
}

fn put_text32(bytes: &mut BytesMut, text: &str) {
    bytes.put_u32_le(text.len() as u32);
    bytes.put_slice(text.as_bytes());
}

fn text16(bytes: &mut Bytes) -> Result<String, Malformed> {
    let length = bytes.try_get_u16_le().map_err(|_| Malformed)?;
    text(bytes, length.into())
}

fn text32(bytes: &mut Bytes) -> Result<String, Malformed> {
    let length = bytes.try_get_u32_le().map_err(|_| Malformed)?;
    text(bytes, length as usize)
}

fn text(bytes: &mut Bytes, length: usize) -> Result<String, Malformed> {
    if length > bytes.len() {
        return Err(Malformed);
    }
    String::from_utf8(bytes.split_to(length).into()).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_metadata_is_the_same_by_either_way() {
        for (place, remaining_ms, payload) in
            [(7, None, &b"payload"[..]), (0, Some(0), b""), (u32::MAX, Some(u64::MAX), &[1; 99])]
        {
            let encoded = encode_call(RemoteEntry::Place(place), remaining_ms, None, payload);
            let mut parts = encode_head(place, remaining_ms, 0).to_vec();
            parts.extend_from_slice(payload);
            assert_eq!(encoded.whole, parts);
            let raw = RawCall::decode(&parts).unwrap();
            let call = Call::decode(&parts).unwrap();
            assert_eq!(
                (EntryRef::Place(raw.place), raw.payload),
                (call.entry, &call.request.body[..])
            );
            assert_eq!(raw.deadline_ms, call.deadline_ms);
            assert!((0..HEAD_BYTES).all(|length| RawCall::decode(&parts[..length]).is_none()));
        }
        let named = encode_call(RemoteEntry::Name("entry"), None, None, b"payload");
        assert_eq!(RawCall::decode(&named.whole), None);
    }

    #[test]
    fn a_log_is_read_back_and_one_that_is_cut_off_is_none() {
        let log = encode_log(3, "target", "a message", 1000);
        assert_eq!(decode_log(&log).unwrap(), (3, "target".into(), "a message".into()));
        assert_eq!(encode_log(3, "target", "a message", 10).len(), 10);
        for length in 0..9 {
            assert_eq!(decode_log(&log[..length]), Err(Malformed));
        }
    }

    #[test]
    fn metrics_are_read_back_and_those_that_are_cut_off_are_none() {
        let recorded = [(0.5, 3), (f64::INFINITY, 1)];
        let changes = [
            ("calls", MetricChange::Counter(7)),
            ("depth", MetricChange::Gauge(-1.5)),
            ("sizes", MetricChange::Histogram { sum: 9.0, recorded: &recorded }),
        ];
        let mut bytes = BytesMut::new();
        for (name, change) in changes {
            put_metric(&mut bytes, name, "its help", change);
        }
        let mut seen = 0;
        decode_metrics(&bytes, |name, help, change| {
            assert_eq!(((name, change), help), (changes[seen], "its help"));
            seen += 1;
        })
        .unwrap();
        assert_eq!(seen, 3);
        assert_eq!(decode_metrics(&bytes[..bytes.len() - 1], |_, _, _| {}), Err(Malformed));
        assert_eq!(decode_metrics(&[9, 0, 0, 0, 0], |_, _, _| {}), Err(Malformed));
    }
}
