// SPDX-License-Identifier: BSD-3-Clause
//! Receivers as iterators, for threads and coroutines.
//!
//! Each step is one receive, so an iterator may be dropped at any point, and several iterators, on
//! clones of a receiver, share the values of one channel.

use std::fmt;
use std::iter::FusedIterator;

use crate::handle::Receiver;

/// Receives until the channel is closed and drained, and waits for each value as
/// [`Operation::wait`](crate::Operation::wait) does. See [`Receiver::iter`].
#[must_use = "an iterator does nothing until `next` is called"]
pub struct Iter<'a, T> {
    /// `None` once the iterator has ended.
    receiver: Option<&'a Receiver<T>>,
}

/// Receives the values that are available. See [`Receiver::try_iter`].
#[must_use = "an iterator does nothing until `next` is called"]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// As [`Iter`], with a receiver of its own, which it drops at its end.
#[must_use = "an iterator does nothing until `next` is called"]
pub struct IntoIter<T> {
    receiver: Option<Receiver<T>>,
}

impl<T> Receiver<T> {
    /// The received values, until the channel is closed and drained. Waits for each value: for
    /// threads and coroutines; in a task, use [`stream`](Self::stream).
    ///
    /// ```
    /// let (tx, rx) = becket_chan::bounded(4);
    /// std::thread::scope(|scope| {
    ///     scope.spawn(move || (0..10).try_for_each(|n| tx.send(n).wait()));
    ///     assert!(rx.iter().eq(0..10));
    /// });
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: Some(self) }
    }

    /// The available values, without waiting. After it has returned `None`, it continues when more
    /// values have arrived.
    ///
    /// ```
    /// let (tx, rx) = becket_chan::unlimited();
    /// tx.try_send(1).unwrap();
    /// tx.try_send(2).unwrap();
    /// assert!(rx.try_iter().eq([1, 2]));
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let value = self.receiver?.recv().wait().ok();
        if value.is_none() {
            self.receiver = None;
        }
        value
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let value = self.receiver.as_ref()?.recv().wait().ok();
        if value.is_none() {
            self.receiver = None;
        }
        value
    }
}

impl<T> FusedIterator for IntoIter<T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: Some(self) }
    }
}

macro_rules! debug {
    ($($name:ident $(<$life:lifetime>)?),+) => {
        $(impl<T> fmt::Debug for $name<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("receiver", &self.receiver).finish()
            }
        })+
    };
}

debug!(Iter<'_>, TryIter<'_>, IntoIter);

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use crate::{Token, bounded, rendezvous, unlimited};

    #[test]
    fn what_is_queued_comes_before_the_end() {
        let (tx, rx) = unlimited();
        (0..5).for_each(|n| tx.try_send(n).unwrap());
        tx.close();
        let mut iter = rx.iter();
        assert!(iter.by_ref().eq(0..5));
        assert_eq!((iter.next(), iter.next()), (None, None));
    }

    #[test]
    fn a_loop_may_be_left_and_taken_up_again() {
        let (tx, rx) = unlimited();
        (0..6).for_each(|n| tx.try_send(n).unwrap());
        let mut seen = Vec::new();
        for n in &rx {
            seen.push(n);
            if n == 2 {
                break;
            }
        }
        drop(tx);
        seen.extend(rx);
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_is_there_is_taken_without_waiting() {
        let (tx, rx) = bounded(3);
        let mut now = rx.try_iter();
        assert_eq!(now.next(), None);
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        assert_eq!((now.next(), now.next(), now.next()), (Some(1), Some(2), None));
        tx.try_send(3).unwrap();
        tx.close();
        assert_eq!((now.next(), now.next()), (Some(3), None));
    }

    #[test]
    fn an_iterator_waits_for_each_value_and_for_the_end() {
        let (tx, rx) = rendezvous();
        std::thread::scope(|scope| {
            scope.spawn(move || (0..50).for_each(|n| tx.send(n).wait().unwrap()));
            assert!(rx.iter().eq(0..50));
        });
    }

    #[test]
    fn an_iterator_that_owns_its_receiver_closes_the_channel_when_it_is_dropped() {
        let (tx, rx) = bounded(2);
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        let mut values = rx.into_iter();
        assert_eq!(values.next(), Some(1));
        assert!(!tx.is_closed());
        drop(values);
        assert!(tx.try_send(3).unwrap_err().is_closed());
    }

    #[test]
    fn iterators_on_clones_share_the_values() {
        let (tx, rx) = bounded(4);
        let (counted, counts) = unlimited();
        let begin = Token::new();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (rx, counted, begin) = (rx.clone(), counted.clone(), &begin);
                scope.spawn(move || {
                    begin.cancelled().wait();
                    rx.iter().for_each(|n: u64| counted.try_send(n).unwrap());
                });
            }
            drop(counted);
            begin.cancel();
            (0..100).for_each(|n| tx.send(n).wait().unwrap());
            drop(tx);
            let mut seen: Vec<_> = counts.iter().collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..100));
        });
    }
}
