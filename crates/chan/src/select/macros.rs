// SPDX-License-Identifier: BSD-3-Clause
//! `select!`: a set of operations that is known when the program is written.

/// Waits for several operations; exactly one completes, and its block runs.
///
/// ```
/// use becket_chan::{bounded, select, unlimited};
/// # futures_lite::future::block_on(async {
/// let (work_in, work) = bounded::<u32>(8);
/// let (results, _results_out) = unlimited::<u32>();
/// work_in.try_send(7).unwrap();
///
/// let received = select! {
///     job = work.recv() => job.ok(),
///     sent = results.send(1) => { sent.unwrap(); None }
/// };
/// # drop(received);
/// # });
/// ```
///
/// # Arms
///
/// | arm | when it runs |
/// |---|---|
/// | `pattern = operation => block` | the send or receive completed, or its channel is closed; the pattern is its result |
/// | `default => block` | no operation could complete without waiting |
/// | `timeout(duration) => block` | no operation completed in that time |
/// | `deadline(instant) => block` | no operation completed by then |
/// | `cancelled(&token) => block` | the token was cancelled, which wins over everything |
///
/// Operations come first, then at most one of each of the other arms, in the order of the table. An
/// operation is a plain [`send`](crate::Sender::send) or [`recv`](crate::Receiver::recv), without
/// limits of its own; its value must be `Send`.
///
/// # Modes
///
/// `select! { … }` awaits; `select! { wait; … }` waits on a thread or in a coroutine. Of several
/// ready operations a random one completes; with `biased;` (or `wait, biased;`) the first.
///
/// # Cancel safety
///
/// Dropped while it waits, it has moved no value and leaves no trace. The value of a send that did
/// not complete goes to the undelivered hook, or is dropped.
#[macro_export]
macro_rules! select {
    (wait, biased; $($arms:tt)*) => { $crate::__select!(@ (wait) true, (), (), () ; $($arms)*) };
    (biased, wait; $($arms:tt)*) => { $crate::__select!(@ (wait) true, (), (), () ; $($arms)*) };
    (wait; $($arms:tt)*) => { $crate::__select!(@ (wait) false, (), (), () ; $($arms)*) };
    (biased; $($arms:tt)*) => { $crate::__select!(@ (await) true, (), (), () ; $($arms)*) };
    ($($arms:tt)*) => { $crate::__select!(@ (await) false, (), (), () ; $($arms)*) };
}

/// `@ (way) biased, (operations), (limits), (default) ; arms…`
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // The arms that are not operations.
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), () ; default => $block:block, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)*), ($block) ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), () ; default => $block:block $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)*), ($block) ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), () ; default => $block:expr) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)*), ($block) ; )
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), () ; default => $block:expr, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)*), ($block) ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; timeout($at:expr) => $block:block, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [timeout TimedOut $at => $block]), $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; timeout($at:expr) => $block:block $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [timeout TimedOut $at => $block]), $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; timeout($at:expr) => $block:expr) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [timeout TimedOut $at => $block]), $default ; )
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; timeout($at:expr) => $block:expr, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [timeout TimedOut $at => $block]), $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; deadline($at:expr) => $block:block, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [deadline TimedOut $at => $block]), $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; deadline($at:expr) => $block:block $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [deadline TimedOut $at => $block]), $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; deadline($at:expr) => $block:expr) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [deadline TimedOut $at => $block]), $default ; )
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; deadline($at:expr) => $block:expr, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [deadline TimedOut $at => $block]), $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; cancelled($token:expr) => $block:block, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [cancel_on Cancelled $token => $block]), $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; cancelled($token:expr) => $block:block $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [cancel_on Cancelled $token => $block]), $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; cancelled($token:expr) => $block:expr) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [cancel_on Cancelled $token => $block]), $default ; )
    };
    (@ $way:tt $biased:tt, $ops:tt, ($($limit:tt)*), $default:tt ; cancelled($token:expr) => $block:expr, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, $ops, ($($limit)* [cancel_on Cancelled $token => $block]), $default ; $($rest)*)
    };

    // One more operation. `arm` is a new name each time, by hygiene.
    (@ $way:tt $biased:tt, ($($ops:tt)*), $limit:tt, $default:tt ; $pattern:pat = $op:expr => $block:block, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, ($($ops)* [arm $pattern = $op => $block]), $limit, $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, ($($ops:tt)*), $limit:tt, $default:tt ; $pattern:pat = $op:expr => $block:block $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, ($($ops)* [arm $pattern = $op => $block]), $limit, $default ; $($rest)*)
    };
    (@ $way:tt $biased:tt, ($($ops:tt)*), $limit:tt, $default:tt ; $pattern:pat = $op:expr => $block:expr) => {
        $crate::__select!(@ $way $biased, ($($ops)* [arm $pattern = $op => $block]), $limit, $default ; )
    };
    (@ $way:tt $biased:tt, ($($ops:tt)*), $limit:tt, $default:tt ; $pattern:pat = $op:expr => $block:expr, $($rest:tt)*) => {
        $crate::__select!(@ $way $biased, ($($ops)* [arm $pattern = $op => $block]), $limit, $default ; $($rest)*)
    };

    // All arms are read.
    (@ ($($way:tt)*) $biased:tt, ($([$arm:ident $pattern:pat = $op:expr => $block:expr])+), ($([$limit:ident $stop:ident $by:expr => $stopped:expr])*), ($($default:expr)?) ;) => {{
        $( let mut $arm = ::std::pin::pin!($crate::__private::Arm::new($op)); )+
        let won = {
            let arms = [$( $arm.as_mut().arm() ),+];
            let race = $crate::__private::race(&arms, $biased, $crate::__limits!($([$limit $by])*));
            $crate::__drive!(($($way)*) ($($default)?) race)
        };
        match won {
            $( $crate::__private::SelectOutcome::$stop => $stopped, )*
            $( $crate::__private::SelectOutcome::Default => $default, )?
            _ => $crate::__take!(won $([$arm $pattern => $block])+),
        }
    }};
}

/// The first arm that has a result.
#[doc(hidden)]
#[macro_export]
macro_rules! __take {
    ($won:ident [$arm:ident $pattern:pat => $block:expr] $($rest:tt)*) => {
        if let ::std::option::Option::Some(result) = $arm.as_mut().take() {
            let $pattern = result;
            $block
        } else {
            $crate::__take!($won $($rest)*)
        }
    };
    ($won:ident) => { $won.never() };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __limits {
    () => { $crate::NoLimits };
    ($([$limit:ident $by:expr])+) => { $crate::Limits::none()$(.$limit($by))+ };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __drive {
    ((await) () $race:ident) => {
        $race.await
    };
    ((wait) () $race:ident) => {
        $race.wait()
    };
    ($way:tt ($default:expr) $race:ident) => {
        $race.try_now()
    };
}
