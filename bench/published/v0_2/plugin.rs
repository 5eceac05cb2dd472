// SPDX-License-Identifier: BSD-3-Clause
//! A plugin of the published `nylon-ring` 0.2.2, by the trait that its documentation shows first.
//!
//! | entry | kind |
//! |---|---|
//! | `echo` | unary: its payload |
//! | `upper` | raw: an answer from memory that stays the plugin's |
//! | `count` | state: how often it was called |
//! | `stream` | a stream: three frames, and one for each message until it is closed |

use std::sync::atomic::{AtomicU64, Ordering};

use nylon_ring::plugin::send_result;
use nylon_ring::{NrStatus, NrVec, Plugin, Reply, Session, export_plugin};

struct Published {
    calls: AtomicU64,
}

impl Plugin for Published {
    type Ctx = ();
    const ENTRIES: &'static [&'static str] = &["echo", "upper", "count", "stream"];

    fn new() -> Self {
        Self { calls: AtomicU64::new(0) }
    }

    fn new_ctx(&self) -> Self::Ctx {}

    fn on_call(&self, session: &mut Session<'_>, _ctx: &mut Self::Ctx) -> Reply {
        match session.entry() {
            "echo" => Reply::Bytes(session.payload().to_vec()),
            "upper" => Reply::Bytes(session.payload().to_ascii_uppercase()),
            "count" => {
                let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
                Reply::Text(calls.to_string())
            }
            "stream" => {
                for frame in ["one", "two", "three"] {
                    let _ = session.send_frame(frame.as_bytes().to_vec());
                }
                Reply::None
            }
            _ => Reply::Fail(NrStatus::Invalid),
        }
    }

    fn on_stream_data(&self, sid: u64, data: &[u8]) -> NrStatus {
        send_result(sid, NrStatus::Ok, NrVec::from_vec(data.to_vec()))
    }

    fn on_stream_close(&self, sid: u64) -> NrStatus {
        send_result(sid, NrStatus::StreamEnd, NrVec::from_vec(Vec::new()))
    }
}

export_plugin!(Published);
