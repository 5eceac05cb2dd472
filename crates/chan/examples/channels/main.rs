// SPDX-License-Identifier: BSD-3-Clause
//! Channels, topic by topic. The book's chapter shows these files; the tests run them.
//!
//! | file | contents |
//! |---|---|
//! | `hello` | a thread and a task on one channel |
//! | `kinds` | the four kinds |
//! | `operations` | timeout, deadline, and the precedence of errors |
//! | `cancel` | trees of cancel tokens |
//! | `dropped` | what happens to a value whose operation is dropped |
//! | `closing` | close, reasons, draining, the undelivered hook |
//! | `overflow` | the policies of a full channel |
//! | `selecting` | `select!` and `Select` |
//! | `batches` | many values at a time |
//! | `spsc` | handles for one sender and one receiver |
//! | `flows` | iterators, streams, sinks |
//! | `counters` | snapshots, rates, metrics |
//! | `hook` | a custom scheduler behind the park hook |
#![forbid(unsafe_code)]

mod batches;
mod cancel;
mod closing;
mod counters;
mod dropped;
mod flows;
mod hello;
mod hook;
mod kinds;
mod operations;
mod overflow;
mod selecting;
mod spsc;

use std::error::Error;

/// A topic fails by an error or an assertion.
type Shown = Result<(), Box<dyn Error>>;

macro_rules! topics {
    ($($topic:ident),+) => {
        fn main() -> Shown {
            $($topic::show()?; println!("{}: as the book says", stringify!($topic));)+
            Ok(())
        }

        #[cfg(test)]
        mod tests {
            $(#[test]
            fn $topic() -> super::Shown {
                super::$topic::show()
            })+
        }
    };
}

topics!(
    hello, kinds, operations, cancel, dropped, closing, overflow, selecting, batches, spsc, flows,
    counters, hook
);
