// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines, topic by topic. The book's chapters show these files; the tests run them.
//!
//! | file | contents |
//! |---|---|
//! | `hello` | ten thousand at once |
//! | `joining` | results, panics, settings |
//! | `meeting` | a thread, a coroutine and a task, with channels between them |
//! | `selecting` | select |
//! | `timing` | sleep, timeouts, cancel tokens, park |
//! | `asynchronous` | futures in straight-line code: any library's, and tokio's |
//! | `blocking` | calls that block their thread; dispatchers |
//! | `locals` | values per coroutine |
//! | `fibers` | coroutines resumed by hand |
//! | `clocks` | virtual time |
//! | `looking` | listings, counters, the watchdog |
//! | `scopes` | structured concurrency |
//! | `supervising` | children whose failures stay with them |
//! | `jobs` | a tree of running work, without a block around it |
//! | `deferring` | values that coroutines compute |
//! | `flows` | producers, fan-out, fan-in, pipelines |
//! | `actors` | tell, ask, stop, restarts, links |
//!
//! With the name of a topic as its argument, the program runs that topic alone.
#![forbid(unsafe_code)]

mod actors;
mod asynchronous;
mod blocking;
mod clocks;
mod deferring;
mod fibers;
mod flows;
mod hello;
mod jobs;
mod joining;
mod locals;
mod looking;
mod meeting;
mod scopes;
mod selecting;
mod supervising;
mod timing;

use std::error::Error;

/// A topic fails by an error or an assertion.
type Shown = Result<(), Box<dyn Error>>;

macro_rules! topics {
    ($($topic:ident),+) => {
        fn main() -> Shown {
            let wanted = std::env::args().nth(1);
            $(if wanted.as_deref().is_none_or(|wanted| wanted == stringify!($topic)) {
                $topic::show()?;
                println!("{}: as the book says", stringify!($topic));
            })+
            Ok(())
        }

        #[cfg(test)]
        mod tests {
            $(#[test]
            fn $topic() -> super::Shown {
                super::$topic::show()
            })+

            /// The book quotes outputs with the file and line of a spawn: they must be right.
            #[test]
            fn the_book_knows_the_places() {
                let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
                let mut places = 0;
                for page in ["actors", "seeing", "structured"] {
                    let page = format!("{root}/docs/src/coroutines/{page}.md");
                    let page = std::fs::read_to_string(page).unwrap();
                    let shown = page.split_whitespace().filter(|word| word.starts_with("crates/"));
                    for place in shown.filter(|word| word.contains(".rs:")) {
                        let place = place.trim_end_matches(|c: char| !c.is_ascii_digit());
                        let mut parts = place.split(':');
                        let file = parts.next().unwrap();
                        let line: usize = parts.next().unwrap().parse().unwrap();
                        let text = std::fs::read_to_string(format!("{root}/{file}")).unwrap();
                        let found = text.lines().nth(line - 1).unwrap();
                        let column = parts.next().map_or(0, |at| at.parse::<usize>().unwrap() - 1);
                        let there = found.get(column..).unwrap();
                        assert!(there.contains("spawn"), "{place}: {found}");
                        places += 1;
                    }
                }
                assert_eq!(places, 6);
            }
        }
    };
}

topics!(
    hello,
    joining,
    meeting,
    selecting,
    timing,
    asynchronous,
    blocking,
    locals,
    fibers,
    clocks,
    looking,
    scopes,
    supervising,
    jobs,
    deferring,
    flows,
    actors
);
