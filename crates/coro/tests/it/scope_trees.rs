// SPDX-License-Identifier: BSD-3-Clause
//! Random trees of scopes whose leaves succeed, fail, panic or wait: a scope's result is what its
//! children imply, and when it returns, nothing of them is left.

use std::sync::atomic::{AtomicUsize, Ordering};

use becket_coro::job::BoxError;
use becket_coro::scope::current_token;
use becket_coro::{Runtime, Scope, ScopeError, yield_now};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Plan {
    Leaf { yields: usize, end: End },
    Scope { supervisor: bool, children: Vec<Plan> },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Well,
    Error,
    Panic,
    /// Waits until it is cancelled, and returns an error.
    Cancelled,
}

fn plan(waits: bool) -> impl Strategy<Value = Plan> {
    let ends = [End::Well, End::Well, End::Well, End::Error, End::Panic, End::Cancelled];
    let ends = ends[..if waits { 6 } else { 5 }].to_vec();
    let leaf = (0..5_usize, proptest::sample::select(ends))
        .prop_map(|(yields, end)| Plan::Leaf { yields, end });
    leaf.prop_recursive(4, 40, 5, |inner| {
        (proptest::bool::weighted(0.3), proptest::collection::vec(inner, 0..6))
            .prop_map(|(supervisor, children)| Plan::Scope { supervisor, children })
    })
}

impl Plan {
    fn fails(&self) -> bool {
        match self {
            Self::Leaf { end, .. } => *end != End::Well,
            Self::Scope { supervisor, children } => !supervisor && children.iter().any(Self::fails),
        }
    }
}

/// The number of leaves that started, and that ended. Every coroutine borrows it.
#[derive(Default)]
struct Count {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

struct Counted<'a>(&'a Count);

impl<'a> Counted<'a> {
    fn begin(count: &'a Count) -> Self {
        count.begun.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

fn run(plan: &Plan, all: &Count) -> Result<(), BoxError> {
    let _counted = Counted::begin(all);
    match plan {
        Plan::Leaf { yields, end } => {
            (0..*yields).for_each(|_| yield_now());
            match end {
                End::Well => Ok(()),
                End::Error => Err("as planned".into()),
                End::Panic => std::panic::resume_unwind(Box::new("as planned")),
                End::Cancelled => {
                    current_token().unwrap().cancelled().wait();
                    Err("cancelled, as planned".into())
                }
            }
        }
        Plan::Scope { supervisor, children } => {
            let own = Count::default();
            let mut builder = Scope::builder();
            if *supervisor {
                builder = builder.supervisor();
            }
            let result = builder.run(|s| {
                for (number, child) in children.iter().enumerate() {
                    let own = &own;
                    s.launch().name(number.to_string()).spawn_try(move || {
                        let _counted = Counted::begin(own);
                        run(child, all)
                    });
                }
            });
            assert_eq!(own.begun.into_inner(), own.ended.into_inner(), "nothing is left");
            if let Err(ScopeError::Failed(failure)) = &result {
                assert!(!supervisor);
                let number: usize = failure.name().unwrap().parse().unwrap();
                assert!(children[number].fails(), "{number} of {children:?}");
            }
            Ok(result?)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_scope_fails_if_one_of_its_children_does(plan in plan(false), workers in 1..3_usize) {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let fails = plan.fails();
        let result = runtime.spawn(move || {
            let all = Count::default();
            let result = Scope::builder()
                .run(|s| s.spawn_try(|| run(&plan, &all)).join().is_ok());
            assert_eq!(all.begun.into_inner(), all.ended.into_inner());
            result
        });
        let result = result.join().unwrap();
        prop_assert_eq!(result.is_err(), fails, "{:?}", result);
        prop_assert!(runtime.handle().wait_idle(None));
    }

    #[test]
    fn what_is_cancelled_ends_whatever_it_does(plan in plan(true), after in 0..200_usize) {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let result = runtime.spawn(move || {
            let all = Count::default();
            let result = Scope::builder().supervisor().run(|s| {
                s.spawn_try(|| run(&plan, &all));
                (0..after).for_each(|_| yield_now());
                s.cancel("enough");
            });
            assert_eq!(all.begun.into_inner(), all.ended.into_inner());
            result
        });
        let result = result.join().unwrap();
        prop_assert!(matches!(result, Err(ScopeError::Cancelled { .. })), "{:?}", result);
        prop_assert!(runtime.handle().wait_idle(None));
    }

    #[test]
    fn what_its_runtime_ends_ends_whatever_it_does(plan in plan(true), after in 0..50_usize) {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let all: &'static Count = Box::leak(Box::default());
        let owner = runtime.spawn(move || Scope::builder().run(|s| {
            s.spawn_try(|| run(&plan, all));
        }));
        // At some point of the run.
        (0..after).for_each(|_| std::thread::yield_now());
        drop(runtime);
        prop_assert!(owner.is_finished());
        let counts = [&all.begun, &all.ended].map(|count| count.load(Ordering::SeqCst));
        prop_assert_eq!(counts[0], counts[1]);
    }
}
