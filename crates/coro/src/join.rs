// SPDX-License-Identifier: BSD-3-Clause
//! A coroutine's code, its result, and the handle that waits for it.
//!
//! One allocation holds both: the closure until the coroutine runs, the result once it has ended.
//! Access follows from `done`: the coroutine has it until it is done, the handle from then on.

use std::{
    any::Any,
    cell::UnsafeCell,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use becket_chan::park::Unparker;

use crate::{
    context,
    done::Done,
    error::JoinError,
    local,
    slot::{CoroutineKey, Run},
    unwinding::{contain, is_ending},
    wait, worker,
};

enum Stage<F, T> {
    Code(F),
    Running,
    Result(Result<T, JoinError>),
    Taken,
}

/// The one allocation of a coroutine.
pub(crate) struct Packet<F, T> {
    done: Done,
    stage: UnsafeCell<Stage<F, T>>,
}

// SAFETY: the stage passes from the spawner to the coroutine to the handle, never two at once: see
// the module's documentation.
unsafe impl<F: Send, T: Send> Send for Packet<F, T> {}
// SAFETY: as above.
unsafe impl<F: Send, T: Send> Sync for Packet<F, T> {}

impl<F: FnOnce() -> T + Send, T: Send> Packet<F, T> {
    pub(crate) fn new(code: F) -> Self {
        Self { done: Done::new(), stage: UnsafeCell::new(Stage::Code(code)) }
    }

    fn end(&self, result: Result<T, JoinError>) {
        // SAFETY: not DONE, and this is the only caller: the coroutine, or the holder of a slot
        // that will never run.
        let code = unsafe { std::mem::replace(&mut *self.stage.get(), Stage::Running) };
        // As for one that ran: its captures are dropped before its joiner is woken.
        contain(|| drop(code));
        // SAFETY: as above. `Running` needs no drop.
        unsafe { self.stage.get().write(Stage::Result(result)) };
        self.complete();
    }

    fn complete(&self) {
        if let Some(waker) = self.done.complete() {
            // User code.
            contain(|| waker.wake());
        }
    }
}

impl<F: FnOnce() -> T + Send, T: Send> Run for Packet<F, T> {
    #[inline]
    fn run(&self) {
        // SAFETY: the coroutine has the stage until it completes.
        let code = unsafe { std::mem::replace(&mut *self.stage.get(), Stage::Running) };
        let result = match code {
            Stage::Code(code) => catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
                if is_ending(&*payload) {
                    JoinError::Cancelled
                } else {
                    JoinError::Panicked(payload)
                }
            }),
            Stage::Running | Stage::Result(_) | Stage::Taken => Err(JoinError::Cancelled),
        };
        local::clear(context::slot());
        // SAFETY: as above. `Running` needs no drop.
        unsafe { self.stage.get().write(Stage::Result(result)) };
        self.complete();
    }

    fn never(&self, why: JoinError) {
        self.end(Err(why));
    }
}

/// The part of a packet that a handle uses, independent of its closure.
trait Outcome<T>: Send + Sync {
    fn is_done(&self) -> bool;

    /// # Safety
    ///
    /// One caller at a time, and not again after it returned `Ready`.
    unsafe fn poll(&self, waker: &Waker) -> Poll<Result<T, JoinError>>;
}

impl<F: Send, T: Send> Outcome<T> for Packet<F, T> {
    fn is_done(&self) -> bool {
        self.done.is_done()
    }

    unsafe fn poll(&self, waker: &Waker) -> Poll<Result<T, JoinError>> {
        // SAFETY: the caller's promise.
        if !unsafe { self.done.poll(waker) } {
            return Poll::Pending;
        }
        // SAFETY: DONE, so the stage is the handle's.
        match unsafe { std::mem::replace(&mut *self.stage.get(), Stage::Taken) } {
            Stage::Result(result) => Poll::Ready(result),
            Stage::Code(_) | Stage::Running | Stage::Taken => Poll::Pending,
        }
    }
}

/// The id of a coroutine: unique among living ones, and not reused for a very long time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(pub(crate) CoroutineKey);

impl Id {
    /// As a number.
    pub fn get(self) -> u64 {
        self.0.bits() as u64
    }

    /// The id of which [`get`](Self::get) returned the number. Any other number is the id of no
    /// coroutine, or of another one.
    pub fn from_number(number: u64) -> Self {
        Self(CoroutineKey::from_bits(number as usize))
    }

    /// Wakes the coroutine from [`park`](crate::park), or lets its next park return at once. Does
    /// nothing if the coroutine has ended. Any thread.
    pub fn unpark(self) {
        worker::unpark(self.0.bits());
    }

    /// An unparker of the coroutine, for wait functions of other libraries.
    pub fn unparker(self) -> Unparker {
        Unparker::new(worker::unpark, self.0.bits())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, generation) = (self.0.index(), self.0.generation());
        // Without a width nothing is allocated: a signal handler formats it too.
        match f.width() {
            None => write!(f, "{index}.{generation}"),
            Some(_) => f.pad(&format!("{index}.{generation}")),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Waits for a coroutine's result. Dropping it lets the coroutine continue by itself.
///
/// It is a future as well: a task waits with `.await`, a thread or a coroutine with [`Self::join`].
/// Dropping the future discards only the result.
pub struct JoinHandle<T> {
    outcome: Option<Arc<dyn Outcome<T>>>,
    id: Id,
}

impl<T: Send + 'static> JoinHandle<T> {
    pub(crate) fn new<F: FnOnce() -> T + Send + 'static>(
        packet: Arc<Packet<F, T>>,
        key: CoroutineKey,
    ) -> Self {
        Self { outcome: Some(packet), id: Id(key) }
    }
}

impl<T> JoinHandle<T> {
    /// Waits until the coroutine has ended: a calling coroutine is parked, a thread sleeps.
    ///
    /// # Errors
    ///
    /// The coroutine panicked, its runtime ended before it did, or it was never started.
    pub fn join(self) -> Result<T, JoinError> {
        wait::block_on(self)
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.outcome.as_ref().is_none_or(|outcome| outcome.is_done())
    }

    /// The coroutine's id.
    pub fn id(&self) -> Id {
        self.id
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// If it is polled again after it was ready, it stays pending.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(outcome) = &self.outcome else { return Poll::Pending };
        // SAFETY: `&mut self`, and the outcome is dropped once it was ready.
        let polled = unsafe { outcome.poll(context.waker()) };
        if polled.is_ready() {
            self.outcome = None;
        }
        polled
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id)
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// The message of a panic, if its payload is a text.
pub fn panic_message(payload: &(dyn Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}
