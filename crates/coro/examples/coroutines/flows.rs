// SPDX-License-Identifier: BSD-3-Clause
//! Producers, fan-out, fan-in, pipelines.

use std::sync::atomic::{AtomicUsize, Ordering};

use becket_coro::{flow, scope};

use crate::Shown;

pub(crate) fn show() -> Shown {
    fan()?;
    pipeline()?;
    failure()
}

// ANCHOR: fan
fn fan() -> Shown {
    let letters = AtomicUsize::new(0);
    let text = "the quick brown fox";
    scope(|s| {
        // A producer, at most 4 words ahead; three workers that share the words.
        let words = flow::produce(s, 4, |out| text.split(' ').try_for_each(|w| out.send(w)).ok());
        flow::fan_out(s, words, 3, |word| {
            letters.fetch_add(word.len(), Ordering::Relaxed);
        });
    })?;
    assert_eq!(letters.into_inner(), 16);

    let mut all = scope(|s| {
        let sources = (0..3).map(|n| flow::produce(s, 1, move |out| out.send(n).ok()));
        flow::fan_in(s, sources, 4).iter().collect::<Vec<_>>()
    })?;
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
    Ok(())
}
// ANCHOR_END: fan

// ANCHOR: pipeline
fn pipeline() -> Shown {
    let lines = ["3 4", "5", "6 7 8"];
    let sums = scope(|s| {
        let lines = flow::produce(s, 8, |out| lines.into_iter().try_for_each(|l| out.send(l)).ok());
        flow::pipeline(s, lines)
            // Two workers; results leave in the order of the lines.
            .try_ordered(2, |line: &str| {
                line.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>()
            })
            // Four workers; results leave as they become ready.
            .stage(4, |numbers: Vec<u32>| numbers.into_iter().sum::<u32>())
            // At most 100 values.
            .collect(100)
    });
    let mut sums = sums??;
    sums.sort_unstable();
    assert_eq!(sums, [5, 7, 21]);
    Ok(())
}
// ANCHOR_END: pipeline

// ANCHOR: failure
fn failure() -> Shown {
    let result = scope(|s| {
        let endless = flow::produce(s, 8, |out| (0u32..).try_for_each(|n| out.send(n)).ok());
        flow::pipeline(s, endless)
            .try_stage(2, |n| if n < 100 { Ok(n) } else { Err("a hundred is enough") })
            .for_each(drop)
    });
    // The stage's failure has stopped the producer, the pipeline and the scope.
    assert!(result.is_err_and(|error| error.to_string().ends_with("a hundred is enough")));
    Ok(())
}
// ANCHOR_END: failure
