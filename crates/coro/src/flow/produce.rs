// SPDX-License-Identifier: BSD-3-Clause
//! A coroutine that sends.

use std::panic::Location;

use becket_chan::{Receiver, SendError, Sender, Token};

use super::{Closing, On, Queue};
use crate::job::BoxError;

/// The sending side of a producer. Its waits end when the flow is cancelled.
#[derive(Debug)]
pub struct Output<'t, T> {
    tx: &'t Sender<T>,
    token: &'t Token,
}

impl<T> Output<'_, T> {
    /// Sends a value, and waits for room if it must.
    ///
    /// # Errors
    ///
    /// No receiver is left, or the flow is cancelled: the producer should stop; that is no failure.
    /// The value is inside.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.tx.send(value).cancel_on(self.token).wait()
    }

    /// The channel's sender, for other operations.
    #[must_use]
    pub const fn sender(&self) -> &Sender<T> {
        self.tx
    }

    /// Cancelled with the flow.
    #[must_use]
    pub const fn token(&self) -> &Token {
        self.token
    }
}

/// The result of a flow's code: nothing, an `Option` of nothing (`None` is a normal end too), or a
/// `Result`, whose error is a failure.
pub trait Verdict {
    /// The result in the form that a coroutine's work has.
    fn into_result(self) -> Result<(), BoxError>;
}

impl Verdict for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Verdict for Option<()> {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> Verdict for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// Spawns a coroutine that sends, and returns the receiver. The channel closes when it returns.
///
/// ```
/// use becket_coro::{flow, scope};
///
/// let words = ["to", "be"];
/// let received = scope(|s| {
///     let rx = flow::produce(s, 1, |out| {
///         for word in words {
///             if out.send(word).is_err() {
///                 break;
///             }
///         }
///     });
///     rx.iter().collect::<Vec<_>>()
/// });
/// assert_eq!(received.unwrap(), words);
/// ```
///
/// If it fails, the channel closes with a reason, and the scope or the job fails.
#[track_caller]
pub fn produce<'a, T, V>(
    on: impl On<'a>,
    queue: impl Queue<T>,
    work: impl FnOnce(&Output<'_, T>) -> V + Send + 'a,
) -> Receiver<T>
where
    T: Send + 'a,
    V: Verdict,
{
    let (tx, rx) = queue.make();
    let token = on.job().token().clone();
    let closing = Closing::new(tx, "the producer");
    let options = on.options().called(Location::caller(), "produce");
    let work = Box::new(move || {
        let result = work(&Output { tx: closing.sender(), token: &token }).into_result();
        closing.end(result.is_ok());
        result
    });
    drop(on.start(on.job(), &options, work));
    rx
}
