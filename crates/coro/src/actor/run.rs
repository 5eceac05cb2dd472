// SPDX-License-Identifier: BSD-3-Clause
//! An actor's coroutine: one life after another, then the end. A life is the time of one actor
//! value, from `make` to a failure or to the end.
//!
//! ```text
//!   make ─► started ─► receive ─► handle ─┬─► receive ...
//!    ▲                                    ├─► stop, closed, halt ─► stopped ─► the end
//!    │                                    └─► panic, error ─► restart allowed? ─ no ─► the end
//!    └─────────────────── delay ◄──────────────────────────── yes ─┘
//! ```
//!
//! The end is the drop of [`Run`], field by field: whether the coroutine ran to its end, was
//! unwound by its runtime or never started, the code and the mailbox are dropped first, and
//! [`Ending`] records the exit last.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use becket_chan::{Receiver, RecvError};

use super::{
    Actor, Context, Next,
    exit::{Core, Exit},
    restart::History,
};
use crate::{
    foreign::is_ending,
    job::{Body, BoxError, Failure, enter},
};

/// The state of the coroutine. The order of the fields matters.
pub(super) struct Run<M, F> {
    make: F,
    rx: Receiver<M>,
    cx: Context<M>,
    history: History,
    ending: Ending,
}

impl<M, F, A> Run<M, F>
where
    M: Send + 'static,
    F: FnMut() -> Option<A>,
    A: Actor<Message = M>,
{
    pub(super) const fn new(
        make: F,
        rx: Receiver<M>,
        cx: Context<M>,
        history: History,
        ending: Ending,
    ) -> Self {
        Self { make, rx, cx, history, ending }
    }

    pub(super) fn run(mut self) {
        let entered = enter(&self.cx.core.job);
        let exit = self.lives();
        self.ending.exit = Some(exit);
        drop(entered);
    }

    fn lives(&mut self) -> Exit {
        let core = Arc::clone(&self.cx.core);
        loop {
            if core.halt.is_cancelled() {
                return core.why();
            }
            let mut decided = None;
            let life = catch_unwind(AssertUnwindSafe(|| self.life(&mut decided)));
            let was_to_end = decided.is_some() || core.halt.is_cancelled();
            let failure = match (life, decided) {
                (Ok(Ok(())), Some(exit)) => return exit,
                (Ok(Ok(())), None) => return core.why(),
                (Ok(Err(error)), _) if core.job.is_cancelled_above() => {
                    // The error is a consequence of the cancellation.
                    core.note_failure(Failure::error(core.job.of(), error));
                    return core.why();
                }
                (Ok(Err(error)), _) => Failure::error(core.job.of(), error),
                (Err(payload), _) if is_ending(&*payload) => resume_unwind(payload),
                (Err(payload), _) => Failure::panicked(core.job.of(), payload),
            };
            core.note_failure(failure.clone());
            core.job.cancel_children("their actor has failed");
            let restarts = core.restarts();
            let delay = match self.history.failed(crate::now()) {
                // An actor that was to end ends, with this failure.
                Some(delay) if !was_to_end => delay,
                _ => return Exit::Failed { failure, restarts },
            };
            let at = crate::now().checked_add(delay);
            if at.is_some_and(|at| core.halt.cancelled().deadline(at).wait()) {
                return core.why();
            }
            core.note_restart();
        }
    }

    /// One life. Stores the exit in `decided` before it calls the actor's `stopped`.
    fn life(&mut self, decided: &mut Option<Exit>) -> Result<(), BoxError> {
        let Some(mut actor) = (self.make)() else {
            return Ok(());
        };
        let (cx, halt) = (&self.cx, &self.cx.core.halt);
        actor.started(cx)?;
        let exit = loop {
            match self.rx.recv().cancel_on(halt).wait() {
                Ok(message) => match actor.handle(message, cx)? {
                    Next::Continue => {}
                    Next::Stop => break Exit::Stopped,
                },
                Err(RecvError::Cancelled) if !cx.core.job.is_cancelled() => break Exit::Stopped,
                Err(_) => break cx.core.why(),
            }
        };
        actor.stopped(decided.insert(exit));
        Ok(())
    }
}

/// Records the exit of the actor, when it is dropped.
pub(super) struct Ending {
    core: Arc<Core>,
    /// `None`: it was unwound, or never started.
    exit: Option<Exit>,
    body: Body,
}

impl Ending {
    pub(super) const fn new(core: Arc<Core>, body: Body) -> Self {
        Self { core, exit: None, body }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let exit = self.exit.take().unwrap_or_else(|| {
            self.core.job.cancel("its runtime has ended");
            self.core.why()
        });
        if let Exit::Failed { failure, .. } = &exit {
            self.body.failed(failure);
        } else {
            self.body.will_complete();
        }
        self.core.job.cancel_children("their actor has ended");
        self.core.settle(&exit);
    }
}
