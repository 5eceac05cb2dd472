// SPDX-License-Identifier: BSD-3-Clause
//! A stage whose results leave in the order of its values.
//!
//! ```text
//!             ┌────────────── credits, one for each result that left ───────────────┐
//!             ▼                                                                     │
//!   rx ─► numbering ─► (number, value) ─► n workers ─► (number, result) ─► sorting ─┴─► tx
//! ```
//!
//! A value is taken only for a credit, and there are as many credits as the stage may hold. So the
//! sorting coroutine holds back fewer results than that, however unevenly the workers progress.
//!
//! Invariants: numbers are assigned without gaps; every number comes out of a worker once, or the
//! flow has failed; values in flight and results held back are at most `credits` together.

use std::{collections::VecDeque, sync::Arc};

use becket_chan::{Receiver, Sender, Token, bounded};

use super::Closing;
use crate::job::{BoxError, Work};

/// The coroutines of such a stage, to be spawned: `workers` of them run `work`.
pub(super) fn stage<'a, T, U, F>(
    rx: Receiver<T>,
    tx: Sender<U>,
    workers: usize,
    credits: usize,
    token: &Token,
    work: F,
) -> Vec<Work<'a>>
where
    T: Send + 'a,
    U: Send + 'a,
    F: Fn(T) -> Result<U, BoxError> + Send + Sync + 'a,
{
    let credits = credits.max(workers);
    let (give_credit, credit) = bounded(credits);
    for _ in 0..credits {
        let _fits = give_credit.try_send(());
    }
    let (numbered_tx, numbered) = bounded(workers);
    let (done_tx, done) = bounded(credits);

    let mut all: Vec<Work<'a>> = Vec::with_capacity(workers + 2);
    let stop = token.clone();
    all.push(Box::new(move || number(&rx, &credit, &numbered_tx, &stop)));
    let work = Arc::new(work);
    for _ in 0..workers {
        let (numbered, done, work) = (numbered.clone(), done_tx.clone(), Arc::clone(&work));
        let stop = token.clone();
        all.push(Box::new(move || {
            while let Ok((number, value)) = numbered.recv().cancel_on(&stop).wait() {
                let result = work(value)?;
                if done.send((number, result)).cancel_on(&stop).wait().is_err() {
                    break;
                }
            }
            Ok(())
        }));
    }
    let stop = token.clone();
    let closing = Closing::new(tx, "the stage");
    all.push(Box::new(move || {
        sort(&done, &give_credit, closing.sender(), &stop);
        closing.end(!stop.is_cancelled());
        Ok(())
    }));
    all
}

/// Takes a value for each credit, and numbers it.
fn number<T>(
    rx: &Receiver<T>,
    credit: &Receiver<()>,
    numbered: &Sender<(u64, T)>,
    stop: &Token,
) -> Result<(), BoxError> {
    let mut next = 0;
    while credit.recv().cancel_on(stop).wait().is_ok()
        && let Ok(value) = rx.recv().cancel_on(stop).wait()
        && numbered.send((next, value)).cancel_on(stop).wait().is_ok()
    {
        next += 1;
    }
    Ok(())
}

/// Sends results by their numbers, and returns a credit for each.
fn sort<U>(done: &Receiver<(u64, U)>, credit: &Sender<()>, tx: &Sender<U>, stop: &Token) {
    // The results from number `next` on, as far as they have arrived.
    let mut kept: VecDeque<Option<U>> = VecDeque::new();
    let mut next = 0;
    while let Ok((number, result)) = done.recv().cancel_on(stop).wait() {
        let ahead = usize::try_from(number - next).unwrap_or(usize::MAX);
        if kept.len() <= ahead {
            kept.resize_with(ahead + 1, || None);
        }
        if let Some(place) = kept.get_mut(ahead) {
            *place = Some(result);
        }
        while let Some(result) = kept.front_mut().and_then(Option::take) {
            kept.pop_front();
            next += 1;
            if tx.send(result).cancel_on(stop).wait().is_err() {
                return;
            }
            // There is room: a value has left for it.
            let _fits = credit.try_send(());
        }
    }
}
