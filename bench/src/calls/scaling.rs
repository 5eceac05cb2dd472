// SPDX-License-Identifier: BSD-3-Clause
//! The throughput of two workers, relative to one.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::subject::Subject;
use crate::error::BenchError;
use crate::harness::{Figures, Plan, undisturbed};
use crate::machine::{FIRST_CPU, SECOND_CPU, pin, switches};

/// Unary calls per second of two workers on two CPUs, divided by those of one; for each subject,
/// in turns.
pub(crate) fn measure(plan: Plan, subjects: &[&dyn Subject]) -> Result<Vec<Figures>, BenchError> {
    let mut operations = 1024;
    while let Some(subject) = subjects.first() {
        if workers(*subject, &[FIRST_CPU], operations)?.0 >= plan.block {
            break;
        }
        operations *= 2;
    }
    let mut figures = vec![Vec::new(); subjects.len()];
    for repetition in 0..plan.repetitions {
        for turn in 0..subjects.len() {
            let index = (repetition + turn) % subjects.len();
            let (Some(subject), Some(figures)) = (subjects.get(index), figures.get_mut(index))
            else {
                continue;
            };
            let one =
                undisturbed(plan.tries_max(), || workers(*subject, &[FIRST_CPU], operations))?;
            let two = undisturbed(plan.tries_max(), || {
                workers(*subject, &[FIRST_CPU, SECOND_CPU], operations)
            })?;
            figures.push(2.0 * one.as_secs_f64() / two.as_secs_f64());
        }
    }
    Ok(figures.into_iter().map(Figures::new).collect())
}

/// The time until the last worker has done its operations, and whether one lost its CPU meanwhile;
/// all begin at once.
fn workers(
    subject: &dyn Subject,
    cpus: &[usize],
    operations: u64,
) -> Result<(Duration, bool), BenchError> {
    let start = Barrier::new(cpus.len());
    std::thread::scope(|scope| {
        let workers: Vec<_> = cpus
            .iter()
            .map(|&cpu| {
                let start = &start;
                scope.spawn(move || {
                    let pinned = pin(cpu);
                    start.wait();
                    pinned?;
                    let before = switches();
                    let begin = Instant::now();
                    subject.unary(operations)?;
                    Ok((begin.elapsed(), switches() != before))
                })
            })
            .collect();
        let mut last = Duration::ZERO;
        let mut disturbed = false;
        for worker in workers {
            let (taken, lost_cpu) = worker.join().map_err(|_| BenchError::Worker)??;
            last = last.max(taken);
            disturbed |= lost_cpu;
        }
        Ok((last, disturbed))
    })
}
