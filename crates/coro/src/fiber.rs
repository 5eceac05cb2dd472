// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines resumed by hand, without a scheduler.
//!
//! A fiber runs when it is resumed, on the stack of its own but on the thread of whoever resumes
//! it, and gives control back when it suspends, waits or ends. Channels and everything else that
//! parks work inside: the wait gives control back to the resumer, and a wake only makes the fiber
//! ready. Nobody resumes it but its owner. Fibers nest.

use std::{
    any::Any,
    cell::Cell,
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    rc::Rc,
    time::Instant,
};

use becket_chan::park;
use thiserror::Error;

use crate::{
    clock, context,
    error::SpawnError,
    gate::BY_HAND,
    join::Id,
    local,
    slot::{self, Flow, Slot, State},
    spare, stack,
    switch::{Link, Switch},
    unwinding,
    worker::HOOK,
};

/// A coroutine that its owner resumes.
///
/// Dropping one that waits unwinds it, so that everything on its stack is dropped. One that then
/// waits again, a thousand times, in a destructor or because it catches the panic, is left as it is,
/// with its stack, for good.
///
/// ```
/// use becket_coro::fiber::{self, Fiber, Resumed};
///
/// let mut fiber = Fiber::new(0, || {
///     for _ in 0..2 {
///         fiber::suspend();
///     }
/// })?;
/// assert_eq!(fiber.resume()?, Resumed::Suspended);
/// assert_eq!(fiber.resume()?, Resumed::Suspended);
/// assert_eq!(fiber.resume()?, Resumed::Finished);
/// assert!(fiber.resume().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// fn to_thread<T: Send>(_: T) {}
/// to_thread(becket_coro::fiber::Fiber::new(0, || {}));
/// ```
pub struct Fiber {
    slot: &'static Slot,
    body: Rc<Body>,
    stage: Stage,
    /// What is on its stack may be bound to the thread.
    _thread: PhantomData<*mut ()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The switch is in the slot.
    Alive,
    Running,
    Over,
}

/// How a resumed fiber gave control back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// It called [`suspend`].
    Suspended,
    /// It waits for a wake: see [`Fiber::is_ready`]. Resumed before that, it looks and waits again.
    Parked,
    /// It has ended.
    Finished,
}

/// Why a fiber was not resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// It has ended before.
    #[error("the fiber has ended")]
    Finished,
    /// It runs: it, or a fiber that it resumed, tries to resume it.
    #[error("the fiber is running")]
    Running,
}

type Code = Box<dyn FnOnce()>;

/// A fiber that does not end after so many panics is left as it is.
const ENDINGS_MAX: u32 = 1000;
/// In place of nanoseconds.
const NO_DEADLINE: u64 = u64::MAX;

/// The code, until it starts, and the panic, if it ended with one.
struct Body {
    code: Cell<Option<Code>>,
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

impl Fiber {
    /// A fiber that will run `code` on a stack of so many bytes; 0: 64 KiB.
    #[track_caller]
    pub fn new(stack_size: usize, code: impl FnOnce() + 'static) -> Result<Self, SpawnError> {
        let size = if stack_size == 0 { stack::SIZE_DEFAULT_BYTES } else { stack_size };
        let stack = spare::take_stack(size)?;
        let Some(slot) = spare::take_slot() else {
            return Err(SpawnError::TooMany { coroutines_max: slot::COROUTINES_MAX });
        };
        let body = Rc::new(Body { code: Cell::new(Some(Box::new(code))), panic: Cell::new(None) });
        let size = stack.size_bytes();
        let switch = Switch::new(stack, run, Rc::as_ptr(&body).cast_mut().cast());
        // SAFETY: just taken from the free ones.
        unsafe {
            slot.fill(None, Location::caller(), 0, size, 0);
            slot.set_switch(switch);
        }
        slot.set_by_hand();
        slot.gate.start(BY_HAND);
        Ok(Self { slot, body, stage: Stage::Alive, _thread: PhantomData })
    }

    /// Runs it until it suspends, waits or ends. If it panicked, so does this.
    #[inline(never)]
    pub fn resume(&mut self) -> Result<Resumed, ResumeError> {
        let resumed = self.step()?;
        if resumed == Resumed::Finished {
            let panic = self.body.panic.take();
            if let Some(payload) = panic
                && !unwinding::is_ending(&*payload)
            {
                resume_unwind(payload);
            }
        }
        Ok(resumed)
    }

    fn step(&mut self) -> Result<Resumed, ResumeError> {
        match self.stage {
            Stage::Alive => {}
            Stage::Running => return Err(ResumeError::Running),
            Stage::Over => return Err(ResumeError::Finished),
        }
        stack::overflow::prepare_thread();
        self.stage = Stage::Running;
        self.slot.set_state(State::Running);
        let outer = context::set_slot(self.slot);
        let hook = park::set_hook(Some(&HOOK));
        let finished = unwinding::leave(|| {
            // SAFETY: alive and not running; the thread is the one it was made on, for it is not
            // Send.
            unsafe { self.slot.switch().resume() }
        });
        park::set_hook(hook);
        context::set_slot(outer);
        if finished || self.slot.state() == State::Abandoned {
            self.end();
            return Ok(Resumed::Finished);
        }
        self.stage = Stage::Alive;
        Ok(if self.slot.state() == State::Parked { Resumed::Parked } else { Resumed::Suspended })
    }

    /// Whether it does not wait, or was woken, or the time has come until which it waits.
    pub fn is_ready(&self) -> bool {
        self.stage != Stage::Over
            && (self.slot.state() != State::Parked
                || self.slot.gate.is_notified()
                || self.deadline().is_some_and(|deadline| clock::now() >= deadline))
    }

    /// Until when it waits at most, if it waits and there is a limit.
    pub fn deadline(&self) -> Option<Instant> {
        let limited = self.stage == Stage::Alive
            && self.slot.state() == State::Parked
            && self.slot.since() != NO_DEADLINE;
        limited.then(|| clock::instant_of(self.slot.since()))
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Which it is: its name for wakes.
    pub fn id(&self) -> Id {
        Id(self.flow())
    }

    fn flow(&self) -> Flow {
        self.slot.flow()
    }

    fn end(&mut self) {
        self.stage = Stage::Over;
        // SAFETY: alive until now, and not running: the switch is in the slot.
        if let Some(stack) = unsafe { self.slot.take_switch() }.into_stack() {
            spare::give_stack(stack);
        }
        self.slot.set_state(State::Free);
        // By hand: never in an inbox, so this succeeds.
        if self.slot.gate.close() {
            spare::give_slot(self.slot);
        }
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        if self.stage != Stage::Alive {
            return;
        }
        if self.slot.state() == State::Fresh {
            self.end();
            return;
        }
        self.slot.ending.set(true);
        // Each wait unwinds it; what catches that and waits again is unwound again.
        for _ in 0..ENDINGS_MAX {
            if self.step() == Ok(Resumed::Finished) {
                return;
            }
        }
        // Others may point to where it waits: stack, slot and body stay.
        let _kept = ManuallyDrop::new(Rc::clone(&self.body));
    }
}

impl fmt::Debug for Fiber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fiber")
            .field("id", &self.id())
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// Gives control back to whoever resumed the calling fiber; returns when it is resumed again. In a
/// coroutine of a runtime it yields; on a plain thread, the thread yields.
pub fn suspend() {
    match context::slot() {
        Some(slot) if slot.is_by_hand() => leave(slot, State::Ready),
        _ => crate::yield_now(),
    }
}

/// Waits for a wake, as the channels ask for it.
#[inline(never)]
pub(crate) fn park(slot: &'static Slot, deadline: Option<Instant>) {
    if slot.ending.get() {
        unwinding::end();
    }
    if slot.gate.take_notified() {
        return;
    }
    slot.set_since(deadline.map_or(NO_DEADLINE, clock::nanos_of));
    leave(slot, State::Parked);
    slot.gate.take_notified();
}

/// What follows is a new life on the stack: nothing of the thread may be kept across it.
#[inline(never)]
fn leave(slot: &'static Slot, state: State) {
    slot.set_state(state);
    // SAFETY: the calling fiber is the slot's, on its stack.
    unwinding::leave(|| unsafe { slot.suspend() });
    if slot.ending.get() {
        unwinding::end();
    }
}

/// # Safety
///
/// `data` is the fiber's body, which the fiber keeps alive.
unsafe fn run(data: *mut (), link: Link) {
    // SAFETY: the caller's promise.
    let body = unsafe { &*data.cast::<Body>() };
    let slot = context::slot();
    if let Some(slot) = slot {
        // SAFETY: this is the slot's fiber, on its stack, at its start.
        unsafe { slot.set_link(link) };
    }
    let code = body.code.take();
    if let Some(code) = code
        && let Err(payload) = catch_unwind(AssertUnwindSafe(code))
    {
        body.panic.set(Some(payload));
    }
    local::clear(slot);
}
