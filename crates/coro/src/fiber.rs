// SPDX-License-Identifier: BSD-3-Clause
//! Manually driven coroutines, without a scheduler.
//!
//! A fiber runs when it is resumed, on a stack of its own but on the thread of its resumer, and
//! returns control when it suspends, waits or ends. Channels and everything else that parks work
//! inside: the wait returns control to the resumer, and a wake only makes the fiber ready. Only its
//! owner resumes it. Fibers nest.

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
    free_list,
    join::Id,
    local,
    slot::{self, CoroutineKey, Slot, State},
    stack,
    switch::{Link, Switch},
    unwinding,
    wake_state::MANUAL,
    worker::HOOK,
};

/// A coroutine that its owner resumes.
///
/// Dropping a fiber that waits unwinds it, so that everything on its stack is dropped. If it then
/// waits again, a thousand times, in a destructor or because it catches the panic, it is abandoned
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
    body: Rc<dyn Outcome>,
    stage: Stage,
    /// Values on its stack may be bound to the thread.
    _thread: PhantomData<*mut ()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The switch is in the slot.
    Alive,
    Running,
    Over,
}

/// How a resumed fiber returned control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// It called [`suspend`].
    Suspended,
    /// It waits for a wake: see [`Fiber::is_ready`]. Resumed before that, it checks and waits
    /// again.
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
    /// It is running: it, or a fiber that it resumed, tries to resume it.
    #[error("the fiber is running")]
    Running,
}

/// The number of unwinds after which a fiber that does not end is abandoned.
const ENDINGS_MAX: u32 = 1000;
/// No deadline, in place of nanoseconds.
const NO_DEADLINE: u64 = u64::MAX;

/// The code, until it starts, and the panic, if it ended with one: the one allocation of a fiber.
struct Body<F> {
    code: Cell<Option<F>>,
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

/// The part of a body that its fiber uses, independent of the code.
trait Outcome {
    fn take_panic(&self) -> Option<Box<dyn Any + Send>>;
}

impl<F> Outcome for Body<F> {
    fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        self.panic.take()
    }
}

impl Fiber {
    /// A fiber that will run `code`, on a stack of `stack_size` bytes, rounded up to a power of two
    /// of at least 16 KiB; 0: 64 KiB.
    ///
    /// # Errors
    ///
    /// There is no stack for it, or too many coroutines live.
    #[track_caller]
    pub fn new(stack_size: usize, code: impl FnOnce() + 'static) -> Result<Self, SpawnError> {
        Self::of(stack_size, code, Location::caller())
    }

    fn of<F: FnOnce() + 'static>(
        stack_size: usize,
        code: F,
        site: &'static Location<'static>,
    ) -> Result<Self, SpawnError> {
        let size = if stack_size == 0 { stack::SIZE_DEFAULT_BYTES } else { stack_size };
        let stack = free_list::take_stack(size)?;
        let Some(slot) = free_list::take_slot() else {
            return Err(SpawnError::TooMany { coroutines_max: slot::COROUTINES_MAX });
        };
        let body = Rc::new(Body { code: Cell::new(Some(code)), panic: Cell::new(None) });
        let size = stack.size_bytes();
        let switch = Switch::new(stack, run::<F>, Rc::as_ptr(&body).cast_mut().cast());
        // SAFETY: just taken from the free list.
        unsafe {
            slot.fill(None, site, 0, size, 0);
            slot.set_switch(switch);
        }
        slot.set_manual();
        slot.wake.start(MANUAL);
        Ok(Self { slot, body, stage: Stage::Alive, _thread: PhantomData })
    }

    /// Runs it until it suspends, waits or ends. If it panicked, the panic continues here.
    ///
    /// # Errors
    ///
    /// It has ended before, or is running.
    // Inlined, so that no return lies between two resumes in a loop of the caller: one after a
    // switch is predicted by the calls on the other side of it, and costs as much as the switch.
    #[inline(always)]
    pub fn resume(&mut self) -> Result<Resumed, ResumeError> {
        let resumed = self.step()?;
        if resumed == Resumed::Finished {
            let panic = self.body.take_panic();
            if let Some(payload) = panic
                && !unwinding::is_ending(&*payload)
            {
                resume_unwind(payload);
            }
        }
        Ok(resumed)
    }

    #[inline(always)]
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
            // SAFETY: alive and not running; the thread is the one it was created on, for it is not
            // `Send`.
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

    /// Whether it has something to do when it is resumed: it does not wait, or was woken, or its
    /// deadline has passed.
    pub fn is_ready(&self) -> bool {
        self.stage != Stage::Over
            && (self.slot.state() != State::Parked
                || self.slot.wake.is_notified()
                || self.deadline().is_some_and(|deadline| clock::now() >= deadline))
    }

    /// The deadline of its wait, if it waits and has one.
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

    /// Its id, for wakes.
    pub fn id(&self) -> Id {
        Id(self.key())
    }

    fn key(&self) -> CoroutineKey {
        self.slot.key()
    }

    fn end(&mut self) {
        self.stage = Stage::Over;
        // SAFETY: alive until now, and not running: the switch is in the slot.
        if let Some(stack) = unsafe { self.slot.take_switch() }.into_stack() {
            free_list::give_stack(stack);
        }
        self.slot.set_state(State::Free);
        // Manually driven: never in an inbox, so this succeeds.
        if self.slot.wake.close() {
            free_list::give_slot(self.slot);
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
        // Each wait unwinds it; code that catches that and waits again is unwound again.
        for _ in 0..ENDINGS_MAX {
            if self.step() == Ok(Resumed::Finished) {
                return;
            }
        }
        // Other threads may point to where it waits: stack, slot and body stay.
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

/// Returns control to the resumer of the calling fiber; returns when the fiber is resumed again. In
/// a coroutine of a runtime it yields; on a plain thread, the thread yields.
pub fn suspend() {
    match context::slot() {
        Some(slot) if slot.is_manual() => leave(slot, State::Ready),
        _ => crate::yield_now(),
    }
}

/// Waits for a wake; called by the park hook of channels.
#[inline(never)]
pub(crate) fn park(slot: &'static Slot, deadline: Option<Instant>) {
    if slot.ending.get() {
        unwinding::end();
    }
    if slot.wake.take_notified() {
        return;
    }
    slot.set_since(deadline.map_or(NO_DEADLINE, clock::nanos_of));
    leave(slot, State::Parked);
    slot.wake.take_notified();
}

/// Suspends the fiber. No state of the thread (such as the address of a thread-local) may be kept
/// across the call.
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
/// `data` is the fiber's body, of this type, which the fiber keeps alive.
unsafe fn run<F: FnOnce()>(data: *mut (), link: Link) {
    // SAFETY: the caller's promise.
    let body = unsafe { &*data.cast::<Body<F>>() };
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
