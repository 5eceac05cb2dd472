// SPDX-License-Identifier: BSD-3-Clause
//! The operations of every host in this group: the same ones, each checked.

use crate::error::BenchError;

/// Bytes in the answers of the entries `owned` and `leased`.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Frames that the entry `chat` sends when it is opened.
pub(crate) const CHAT_FRAMES: usize = 5;
/// Bytes in each of them.
pub(crate) const CHAT_FRAME_BYTES: usize = 16;
/// Frames that a stream of the `stream` rows carries before its end.
pub(crate) const STREAM_FRAMES: u32 = 63;
/// What a chat session says, and gets back.
pub(crate) const CHAT_TEXT: &[u8] = b"are you there?";

/// The request of the row with a full request, in the parts that a server has it in.
pub(crate) const METHOD: &str = "GET";
/// Its path.
pub(crate) const PATH: &str = "/v1/users/1842/orders";
/// Its query.
pub(crate) const QUERY: &str = "page=3&size=50";
/// Its headers; the plugin looks for the last.
pub(crate) const HEADERS: [(&str, &str); 4] = [
    ("host", "api.example.com"),
    ("accept", "application/json"),
    ("user-agent", "bench/1.0"),
    ("x-request-id", "01890a5d-ac96-774b-bcce-b302099a8057"),
];

/// A host under test. Every method does its operation `n` times on the calling thread, and looks
/// at each result.
pub(crate) trait Subject: Sync {
    /// A call that expects no answer.
    fn notify(&self, n: u64) -> Result<(), BenchError>;
    /// A call answered inside `handle`, returned without an executor.
    fn inside_handle(&self, n: u64) -> Result<(), BenchError>;
    /// A call, awaited.
    fn unary(&self, n: u64) -> Result<(), BenchError>;
    /// The same by the entry's name.
    fn unary_by_name(&self, n: u64) -> Result<(), BenchError>;
    /// A call with method, path, query and four headers, made once and lent to each call.
    fn request(&self, n: u64) -> Result<(), BenchError>;
    /// The same, made for each call.
    fn request_made(&self, n: u64) -> Result<(), BenchError>;
    /// An answer of 4 KiB that stays the plugin's memory.
    fn owned(&self, n: u64) -> Result<(), BenchError>;
    /// An answer of 4 KiB that the plugin writes into a buffer of the host.
    fn leased(&self, n: u64) -> Result<(), BenchError>;
    /// A stream of [`STREAM_FRAMES`] frames of that many bytes, and its end.
    fn stream(&self, n: u64, frame_bytes: u32) -> Result<(), BenchError>;
    /// A session: open, five frames, data, echo, close, end.
    fn session(&self, n: u64) -> Result<(), BenchError>;
    /// An answer from a thread on another CPU. Both threads stay awake.
    fn other_thread(&self, n: u64) -> Result<(), BenchError>;

    /// Looks at everything that the methods above look at only in passing: every byte of every
    /// answer, and that notifications arrive.
    fn verify(&self) -> Result<(), BenchError>;

    /// The functions of the plugin's copy that belong to the harness.
    fn control(&self) -> &super::control::Control;
}

/// Awaits an operation `n` times. A macro, so that nothing stands between the host and the loop.
macro_rules! repeat {
    ($n:expr, $operation:expr) => {
        futures_lite::future::block_on(async {
            for _ in 0..$n {
                $operation;
            }
            Ok(())
        })
    };
}

pub(super) use repeat;

/// The payload that asks the entry `stream` for its frames.
pub(crate) fn stream_payload(frame_bytes: u32) -> [u8; 8] {
    let [a, b, c, d] = STREAM_FRAMES.to_ne_bytes();
    let [e, f, g, h] = frame_bytes.to_ne_bytes();
    [a, b, c, d, e, f, g, h]
}

/// The bytes that the plugin's answers and frames begin with.
pub(crate) fn block(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i as u8).wrapping_mul(7).wrapping_add(1)).collect()
}
