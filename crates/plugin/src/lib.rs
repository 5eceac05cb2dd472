// SPDX-License-Identifier: BSD-3-Clause
//! Write plugins in Rust.
//!
//! A plugin is a type that implements [`Plugin`]: its handlers are a constant table, and no `unsafe`
//! is needed. [`define_plugin!`] makes a shared library of it, and a constant for hosts that link it.
//! A bare-ABI plugin made of `unsafe` functions goes through the same macro.
//!
//! ```standalone_crate
//! use becket_plugin::{
//!     define_plugin, Answered, Call, Entry, Failure, Host, Level, Plugin, Sink, Context, log,
//! };
//!
//! struct Words {
//!     host: Host,
//!     calls: becket_plugin::Counter,
//! }
//!
//! impl Plugin for Words {
//!     const NAME: &'static str = "words";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!     const ENTRIES: &'static [Entry<Self>] = &[
//!         Entry::unary("count", "counts the words of the payload", Self::count),
//!         Entry::stream("split", "one frame a word", Self::split),
//!     ];
//!
//!     fn start(host: Host) -> Result<Self, Failure> {
//!         Ok(Self { host, calls: host.counter("words_calls_total", "Calls of count") })
//!     }
//! }
//!
//! impl Words {
//!     fn count(&self, call: Call<'_>) -> Result<Answered, Failure> {
//!         let text = std::str::from_utf8(call.payload())?; // answered as `Err` with its message
//!         self.calls.add(1);
//!         log!(self.host, Level::Debug, "{} bytes", text.len());
//!         Ok(call.answer_owned(text.split_whitespace().count().to_string()))
//!     }
//!
//!     fn split(&self, call: Context<'_>, sink: Sink) -> Result<(), Failure> {
//!         for word in call.payload().split(|byte| *byte == b' ') {
//!             sink.send(word)?;
//!         }
//!         sink.finish();
//!         Ok(())
//!     }
//! }
//!
//! define_plugin! { plugin: Words }
//!
//! # fn main() {
//! // A test of it, without loading anything:
//! use becket_plugin::testing::FakeHost;
//! let host = FakeHost::of::<Words>();
//! assert_eq!(host.call("count", b"to be or not").body, b"4");
//! assert_eq!(host.stream("split", b"to be").collect(), [b"to".to_vec(), b"be".to_vec()]);
//! assert_eq!(host.metric("words_calls_total"), Some(1.0));
//! host.finish().assert_clean();
//! # }
//! ```
//!
//! # Which handler
//!
//! | entry | handler | runs on |
//! |---|---|---|
//! | [`Entry::unary`] | answers inside, or keeps a [`Responder`] | the host's thread: return at once |
//! | [`Entry::future`] | `async fn` | the plugin's own threads |
//! | [`Entry::stream`] | sends inside, or keeps the [`Sink`] | the host's thread |
//! | [`Entry::stream_future`] | `async fn` | the plugin's own threads |
//! | [`Entry::bidirectional`] | opens a [`Session`] | the host's threads, one at a time |
//! | [`Entry::coroutine`] | answers inside, and may wait | a coroutine of the host |
//! | [`Entry::session`] | a loop over a [`SessionStream`] | a coroutine of the host |
//!
//! # What is too long
//!
//! A host bounds the length of an answer or frame (`payload_bytes_max`). An answer or a last frame
//! beyond it ends its call with `TooLong`, without bytes; a handler that still runs gets
//! [`SendError::TooLong`]. Any other frame beyond it is not sent, with the same error, and leaves
//! the stream open.
//!
//! # What it costs
//!
//! A unary call that is answered inside its handler costs the vtable call, an index into the table
//! of entries, and the panic boundary: no allocation, no lock, no map (`tests/zero_alloc.rs`).
//! Streams and futures are registered in a table, which is a lock and an allocation each.
//!
//! # Modules
//!
//! | module | what lives there |
//! |---|---|
//! | `plugin`, `entry` | [`Plugin`], [`Entry`] |
//! | `call`, `responder` | [`Call`], [`Context`], [`Request`]; [`Responder`], [`OwnedCall`], [`Reply`] |
//! | `stream`, `sink`, `room` | [`Session`], [`Sink`]; what waits for room in a full queue |
//! | `wait`, `session`, `channel` | [`WaitError`], [`Message`]; [`SessionStream`]; [`Channel`] |
//! | `host`, `log`, `metrics`, `timer` | [`Host`] and what it gives |
//! | `owned`, `lease` | answers without a copy |
//! | `executor` | drives futures |
//! | `instance`, `vtable` | instances, and the functions that the host calls |
//! | `lock`, `thread` | locks and threads that leave no trace on the host's threads |
//! | `boundary`, `fallback` | the panic boundary; hosts that offer less |
//! | `define`, `raw` | [`define_plugin!`] |
//! | [`testing`] | a host for tests |

mod boundary;
mod call;
mod channel;
mod define;
mod entry;
mod error;
mod executor;
mod fallback;
mod host;
mod instance;
mod lease;
mod lock;
mod log;
mod metrics;
mod owned;
mod plugin;
mod raw;
mod responder;
mod room;
mod session;
mod sink;
mod stream;
pub mod testing;
mod thread;
mod timer;
mod vtable;
mod wait;

pub use becket_abi as abi;
pub use becket_abi::{
    BK_PLUGIN_MAY_UNLOAD, BK_PLUGIN_MULTI_INSTANCE, BK_PLUGIN_NEVER_BLOCKS, BK_PLUGIN_THREAD_SAFE,
    BkEntryInfo, BkHostApi, LinkedPlugin, NrBytes, NrHeader, NrHostVTable, NrOwnedBytes,
    NrPluginInfo, NrPluginVTable, NrRequest, NrStatus, NrStr,
};

pub use crate::boundary::panics_caught;
pub use crate::call::{Answered, Call, CallHandle, Context, Request};
pub use crate::channel::Channel;
pub use crate::entry::Entry;
pub use crate::error::{ConfigError, Failure, SendError, SessionError, StateError, TimerError};
pub use crate::host::Host;
pub use crate::lease::LeaseWriter;
pub use crate::log::Level;
pub use crate::metrics::{Counter, Gauge, Histogram};
pub use crate::owned::OwnedBytes;
pub use crate::plugin::Plugin;
pub use crate::responder::{OwnedCall, Reply, Responder};
pub use crate::session::SessionStream;
pub use crate::sink::Sink;
pub use crate::stream::Session;
pub use crate::timer::{Sleep, Timer};
pub use crate::wait::{Message, WaitError};

/// What [`define_plugin!`] needs at the place it is used; not for authors.
#[doc(hidden)]
pub mod __private {
    pub use crate::instance::Slots;
    pub use crate::raw::{Definition, Link, RawEntry};
}
