// SPDX-License-Identifier: BSD-3-Clause
//! Calls whose answer is not awaited, and on which thread their `handle` runs.
//!
//! ```text
//!   notify ─▶ enter ─┬─ lent: handle, here ──────────────────▶ Ok, or what handle refused
//!                    ├─ not lent ─▶ pending + 1, queued ─────▶ Ok   a worker: handle, pending − 1
//!                    └─ handing over its state ─▶ kept ──────▶ Ok   back: queued, as above
//! ```
//!
//! # Invariants
//!
//! 1. A notification that waits for a worker counts as pending, from before the thread leaves the
//!    instance until it was handled or given up: it is bounded with the calls, and a drain waits
//!    for it.
//! 2. A notification is handled once, or counted as refused.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tracing::Span;

use crate::{
    counters::Count,
    dispatch::{HandleArgs, Input, Offload, Offloaded},
    error::CallError,
    instance::Instance,
    jobs,
    placement::Placement,
    plugin::{self, CanaryCall, Entered, EnteringFor, Named, NotEntered, Shared},
    routing::Route,
    thread,
};

/// Calls an entry whose answer is not awaited.
#[inline]
pub(crate) fn notify(
    shared: &Arc<Shared>,
    entry: &impl Named,
    payload: &[u8],
) -> Result<(), CallError> {
    if let Ok(entered) = shared.enter()
        && entered.instance().route() == Route::Caller
    {
        return here(shared, &entered, entry, payload);
    }
    not_here(shared, entry, payload)
}

/// The same where the thread is not lent without being counted.
#[cold]
fn not_here(shared: &Arc<Shared>, entry: &impl Named, payload: &[u8]) -> Result<(), CallError> {
    let (entered, canary) = match shared.enter_for(EnteringFor::Call(None)) {
        Ok(entered) => entered,
        Err(why) => return later(shared, entry, payload, why),
    };
    let Some(_lent) = entered.instance().lend() else {
        return offload(&entered, entry, payload, canary);
    };
    let result = here(shared, &entered, entry, payload);
    if let Some(canary) = canary {
        drop(entered);
        canary.taken(result.as_ref().copied());
    }
    result
}

/// Runs `handle` on this thread.
#[inline(always)]
fn here(
    shared: &Arc<Shared>,
    entered: &Entered,
    entry: &impl Named,
    payload: &[u8],
) -> Result<(), CallError> {
    let instance = entered.instance();
    let tally = shared.counters.of(entered.record());
    tally.one(Count::Notifies);
    instance.admit_len(payload.len(), Count::NotifiesRefused)?;
    tally.add(Count::BytesIn, payload.len() as u64);
    let sid = entered.record().next_local_sid();
    let status = instance.placement.handle(entry.at(instance), sid, None, payload);
    if status.is_ok() {
        return Ok(());
    }
    tally.one(Count::NotifiesRefused);
    Err(plugin::refused(shared, entry, status))
}

/// Queues it for a worker.
fn offload(
    entered: &Entered,
    entry: &impl Named,
    payload: &[u8],
    canary: Option<CanaryCall>,
) -> Result<(), CallError> {
    let queued = queue(entered, entry, payload, canary.clone());
    if let (Err(error), Some(canary)) = (&queued, canary) {
        canary.taken(Err(error));
    }
    queued
}

fn queue(
    entered: &Entered,
    entry: &impl Named,
    payload: &[u8],
    canary: Option<CanaryCall>,
) -> Result<(), CallError> {
    let instance = entered.instance();
    let counters = &instance.plugin.counters;
    counters.one(Count::Notifies);
    instance.admit(payload.len(), Count::NotifiesRefused)?;
    counters.add(Count::BytesIn, payload.len() as u64);
    instance.pending.fetch_add(1, Ordering::SeqCst);
    let args = Input::Raw(payload).take(entry);
    let notification = Notification { instance, args, canary, seen: false };
    let offloaded = Offloaded { work: notification, instance, span: Span::none() };
    // Dropped, it counts itself as refused.
    instance.offload(Box::new(offloaded)).map_err(|_full| instance.too_much_pending())
}

/// A notification that waits for a worker.
struct Notification {
    instance: &'static Instance,
    args: HandleArgs,
    canary: Option<CanaryCall>,
    /// The plugin has seen it.
    seen: bool,
}

impl Offload for Notification {
    const IS_UNATTENDED: bool = true;

    /// Looked at inside: the end of the instance sees that, or is seen here.
    fn is_wanted(&self) -> bool {
        !self.instance.is_given_up()
    }

    fn run(&mut self, instance: &'static Instance) {
        let sid = thread::current().next_local_sid();
        let status = self.args.handle(instance, sid);
        self.seen = true;
        if !status.is_ok() {
            instance.plugin.counters.one(Count::NotifiesRefused);
            let entry = self.args.entry.name();
            tracing::debug!(target: "becket::call", entry, %status, "a notification was refused");
        }
        if let Some(canary) = &self.canary {
            let refused = CallError::Refused { status };
            canary.taken(if status.is_ok() { Ok(()) } else { Err(&refused) });
        }
    }
}

impl Drop for Notification {
    fn drop(&mut self) {
        if !self.seen {
            self.instance.plugin.counters.one(Count::NotifiesRefused);
        }
        self.instance.pending.fetch_sub(1, Ordering::SeqCst);
        self.instance.notify_drain();
    }
}

/// Notifications that were kept while a plugin hands its state over.
#[derive(Debug, Default)]
pub(crate) struct Kept(AtomicU64);

/// Not entered: keeps it if the plugin comes back.
fn later(
    shared: &Arc<Shared>,
    entry: &impl Named,
    payload: &[u8],
    why: NotEntered,
) -> Result<(), CallError> {
    if why != NotEntered::Paused {
        return Err(why.into());
    }
    let refuse = |error| {
        shared.counters.one(Count::Notifies);
        shared.counters.one(Count::NotifiesRefused);
        Err(error)
    };
    let spec = shared.spec();
    let limits = &spec.limits;
    let (len, len_max) = (payload.len() as u64, limits.payload_bytes_max);
    if len > len_max {
        return refuse(CallError::PayloadTooLarge { len, len_max });
    }
    let limit = u64::from(limits.pending_max);
    if shared.kept.0.fetch_add(1, Ordering::Relaxed) >= limit {
        shared.kept.0.fetch_sub(1, Ordering::Relaxed);
        return refuse(CallError::Quota { quota: "pending_max", limit });
    }
    let (shared, entry, payload) =
        (shared.clone(), entry.to_owned_name(), Box::<[u8]>::from(payload));
    jobs::run_where_woken(async move {
        let entered = loop {
            let is_back = |context: &mut Context<'_>| match shared.wake_when_back(context.waker()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            };
            poll_fn(is_back).await;
            match shared.enter_for(EnteringFor::Call(None)) {
                // It was reloaded again at once.
                Err(NotEntered::Paused) => {}
                entered => break entered,
            }
        };
        shared.kept.0.fetch_sub(1, Ordering::Relaxed);
        let given = match entered {
            Ok((entered, canary)) => offload(&entered, &entry, &payload, canary),
            Err(why) => {
                shared.counters.one(Count::Notifies);
                shared.counters.one(Count::NotifiesRefused);
                Err(why.into())
            }
        };
        if let Err(error) = given {
            let entry = entry.name();
            tracing::debug!(target: "becket::call", entry, %error, "a notification was refused");
        }
    });
    Ok(())
}
