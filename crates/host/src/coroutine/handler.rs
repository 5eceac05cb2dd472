// SPDX-License-Identifier: BSD-3-Clause
//! One call or stream that coroutines serve.
//!
//! The handler is shared by the coroutine that runs `handle`, by those that it spawned, and by the
//! host's side of a stream. It is found by its id until the last of its coroutines has ended, and
//! as long as its stream lasts.

use std::{
    cell::RefCell,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use becket_chan::Token;
use becket_coro::{coroutine_local, foreign};

use super::{NotStarted, inbound::Inbound, refused};
use crate::{instance::Instance, stream::StreamCell, thread};

/// After this many waits that were answered `Cancelled`, each takes [`SLOWED_DOWN`], so that a
/// handler that ignores the status does not spin.
const HEARD_MAX: u32 = 64;
const SLOWED_DOWN: Duration = Duration::from_millis(1);

/// Of the coroutines of all plugins.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

coroutine_local! {
    /// The handler that the calling coroutine serves.
    static HERE: RefCell<Option<Running>> = RefCell::new(None);
}

/// See the module's documentation.
pub(crate) struct Handler {
    instance: &'static Instance,
    sid: u64,
    cancelled: Token,
    /// Coroutines that serve it.
    running: AtomicU64,
    /// How often a wait was answered `Cancelled`.
    heard: AtomicU32,
    stream: Option<StreamSide>,
}

struct StreamSide {
    cell: &'static StreamCell,
    inbound: Inbound,
    opened: AtomicBool,
    /// The host's side has gone.
    over: AtomicBool,
}

impl Handler {
    pub(super) fn new(
        instance: &'static Instance,
        sid: u64,
        cell: Option<&'static StreamCell>,
    ) -> Self {
        let limits = &instance.limits;
        let stream = cell.map(|cell| StreamSide {
            cell,
            inbound: Inbound::new(sid, limits.stream_frames_max, limits.stream_bytes_max),
            opened: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        Self {
            instance,
            sid,
            cancelled: instance.coroutines.ending().child(),
            running: AtomicU64::new(0),
            heard: AtomicU32::new(0),
            stream,
        }
    }

    pub(crate) fn sid(&self) -> u64 {
        self.sid
    }

    /// Cancelled when the caller has left, or the plugin is about to end.
    pub(crate) fn token(&self) -> &Token {
        &self.cancelled
    }

    /// The caller has left.
    pub(crate) fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Frames on their way to it, if it is a stream, and the stream's cell.
    pub(crate) fn stream(&self) -> Option<(&Inbound, &'static StreamCell)> {
        self.stream.as_ref().map(|stream| (&stream.inbound, stream.cell))
    }

    /// A coroutine of it is about to wait, or `handle` has returned: the stream is open now.
    pub(crate) fn set_opened(&self) {
        if let Some(stream) = &self.stream
            && !stream.opened.load(Ordering::Relaxed)
            && !stream.opened.swap(true, Ordering::AcqRel)
        {
            stream.cell.set_opened(self.sid);
        }
    }

    /// The host's side of the stream is gone. `open`: the plugin had not ended it.
    pub(crate) fn stream_over(&self, open: bool) {
        if let Some(stream) = &self.stream {
            stream.over.store(true, Ordering::Release);
            stream.inbound.close();
        }
        if open {
            self.cancel();
        }
        self.instance.coroutines.forget(self.sid);
    }

    /// True if no frame can be received or sent any more.
    pub(crate) fn is_over(&self) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.over.load(Ordering::Acquire))
    }

    /// A coroutine of it ended.
    fn one_ended(&self) {
        // What is left of a call has no reader; a stream lasts as long as the host's side does.
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 && self.stream.is_none() {
            self.instance.coroutines.forget(self.sid);
        }
    }

    /// A wait was given up. Lets others run, and does not let a handler spin.
    fn heard(&self) {
        if self.heard.fetch_add(1, Ordering::Relaxed) < HEARD_MAX {
            becket_coro::yield_now();
        } else {
            becket_coro::sleep(SLOWED_DOWN);
        }
    }
}

/// One coroutine that is counted in its handler and its instance.
pub(super) struct Running {
    handler: Arc<Handler>,
    /// Names it to the plugin: never 0.
    id: u64,
    /// It runs the `handle` of a call.
    in_call: bool,
    /// It runs the `handle` of a stream.
    in_stream: bool,
}

impl Running {
    /// Counts one more. `main`: it is to run `handle`.
    pub(super) fn begin(handler: &Arc<Handler>, main: bool) -> Result<Self, NotStarted> {
        let coroutines = &handler.instance.coroutines;
        let in_call = main && handler.stream.is_none();
        let in_stream = main && handler.stream.is_some();
        coroutines.running.fetch_add(1, Ordering::SeqCst);
        coroutines.in_calls.fetch_add(u64::from(in_call), Ordering::SeqCst);
        coroutines.in_streams.fetch_add(u64::from(in_stream), Ordering::SeqCst);
        handler.running.fetch_add(1, Ordering::AcqRel);
        let running = Self {
            handler: handler.clone(),
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            in_call,
            in_stream,
        };
        // Handlers have their bounds as calls and streams; what they spawn has this one.
        if !main && coroutines.running.load(Ordering::SeqCst) > coroutines.coroutines_max {
            return Err(refused(handler.instance));
        }
        Ok(running)
    }

    /// Runs the coroutine. Also if it is abandoned, its values go, and with them this.
    pub(super) fn run(self, job: impl FnOnce()) {
        HERE.with(|here| *here.borrow_mut() = Some(self));
        job();
        let ended = HERE.with(|here| here.borrow_mut().take());
        drop(ended);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handler.one_ended();
        let instance = self.handler.instance;
        let coroutines = &instance.coroutines;
        coroutines.in_calls.fetch_sub(u64::from(self.in_call), Ordering::SeqCst);
        coroutines.in_streams.fetch_sub(u64::from(self.in_stream), Ordering::SeqCst);
        // Last: from here on the instance may go.
        coroutines.running.fetch_sub(1, Ordering::SeqCst);
        instance.notify_drain();
    }
}

/// Looks at the calling coroutine, if it is one of this plugin's.
fn with_here<R>(instance: &'static Instance, f: impl FnOnce(&Running) -> R) -> Option<R> {
    becket_coro::current()?;
    HERE.with(|here| {
        let here = here.borrow();
        here.as_ref().filter(|here| ptr::eq(here.handler.instance, instance)).map(f)
    })
}

/// The handler that the calling coroutine serves, if it is one of this plugin's.
pub(super) fn here(instance: &'static Instance) -> Option<Arc<Handler>> {
    with_here(instance, |here| here.handler.clone())
}

/// What names the calling coroutine, if it is one of this plugin's.
pub(crate) fn coroutine_id(instance: &'static Instance) -> Option<u64> {
    with_here(instance, |here| here.id)
}

/// What is about to wait in a function that the plugin called.
pub(crate) enum Waiter {
    /// A coroutine of the plugin.
    Handler(Arc<Handler>),
    /// A thread of the plugin's own.
    Thread(&'static Instance),
}

impl Waiter {
    /// `None` on a thread that may not wait: it is the host's.
    pub(crate) fn new(instance: &'static Instance) -> Option<Self> {
        if thread::current().is_busy() {
            return None;
        }
        Some(match here(instance) {
            Some(handler) => {
                handler.set_opened();
                if instance.coroutines.is_abandoning() {
                    abandon(instance, handler);
                }
                Self::Handler(handler)
            }
            None => Self::Thread(instance),
        })
    }

    /// What ends its wait early.
    pub(crate) fn token(&self) -> &Token {
        match self {
            Self::Handler(handler) => handler.token(),
            Self::Thread(instance) => instance.coroutines.ending(),
        }
    }

    /// Its wait was given up.
    pub(crate) fn heard(&self) {
        if let Self::Handler(handler) = self {
            handler.heard();
        }
    }
}

/// Ends the calling coroutine in a function that a plugin called.
pub(crate) fn abandon_here() -> ! {
    // SAFETY: what lies between the coroutine's start and this call are frames of the plugin, whose
    // contract says that they may be lost, this module's, and the dispatch of one call: it owns the
    // request and refers to what is never freed, so it is lost with them and nothing refers to it.
    unsafe { foreign::abandon() }
}

/// Ends a coroutine that waits although its plugin ends.
#[cold]
fn abandon(instance: &'static Instance, handler: Arc<Handler>) -> ! {
    tracing::warn!(
        target: "becket::host",
        plugin = %instance.plugin.name,
        sid = handler.sid,
        "a handler went on after it was cancelled: its coroutine was abandoned, what it held is lost",
    );
    drop(handler);
    abandon_here()
}
