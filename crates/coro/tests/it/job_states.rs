// SPDX-License-Identifier: BSD-3-Clause
//! The states of a tree of jobs, against a model that computes them anew each time.

use becket_coro::job::{Body, Job, JobState};
use proptest::prelude::*;

/// An operation on a tree. A number chooses a job, modulo the number of jobs.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin { parent: usize, supervisor: bool },
    Complete(usize),
    Fail(usize),
    Drop(usize),
    Cancel(usize),
    CancelChildren(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let job = 0..64_usize;
    prop_oneof![
        4 => (job.clone(), proptest::bool::weighted(0.3))
            .prop_map(|(parent, supervisor)| Step::Begin { parent, supervisor }),
        3 => job.clone().prop_map(Step::Complete),
        1 => job.clone().prop_map(Step::Fail),
        1 => job.clone().prop_map(Step::Drop),
        1 => job.clone().prop_map(Step::Cancel),
        1 => job.prop_map(Step::CancelChildren),
    ]
}

/// A job of the model: the operations on it. All other state follows from the tree.
#[derive(Debug, Clone)]
struct Node {
    parent: Option<usize>,
    supervisor: bool,
    open: bool,
    cause: Option<Cause>,
    ended: Option<JobState>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    Cancelled,
    Failed,
}

#[derive(Debug, Default)]
struct Model(Vec<Node>);

impl Model {
    fn begin(&mut self, parent: Option<usize>, supervisor: bool) {
        let orphan = parent.is_some_and(|parent| self.0[parent].ended.is_some());
        self.0.push(Node {
            parent: parent.filter(|_| !orphan),
            supervisor,
            open: true,
            cause: orphan.then_some(Cause::Cancelled),
            ended: None,
        });
    }

    /// Whether it, or any above it, has a cause.
    fn is_stopped(&self, job: usize) -> bool {
        let node = &self.0[job];
        node.cause.is_some() || node.parent.is_some_and(|parent| self.is_stopped(parent))
    }

    fn live_children(&self, job: usize) -> Vec<usize> {
        (0..self.0.len())
            .filter(|&child| self.0[child].parent == Some(job) && self.0[child].ended.is_none())
            .collect()
    }

    fn cancel(&mut self, job: usize) -> bool {
        let does = self.0[job].ended.is_none() && !self.is_stopped(job);
        if does {
            self.0[job].cause = Some(Cause::Cancelled);
        }
        does
    }

    fn fail(&mut self, job: usize) {
        if self.is_stopped(job) || self.0[job].ended.is_some() {
            return;
        }
        self.0[job].cause = Some(Cause::Failed);
        if let Some(parent) = self.0[job].parent.filter(|&parent| !self.0[parent].supervisor) {
            // The parent is notified before the child has a cause.
            self.fail(parent);
        }
    }

    /// Ends every job that can end, until none is left that can.
    fn settle(&mut self) {
        while let Some(job) = (0..self.0.len()).find(|&job| {
            let node = &self.0[job];
            node.ended.is_none() && !node.open && self.live_children(job).is_empty()
        }) {
            let ended = match self.0[job].cause {
                Some(Cause::Failed) => JobState::Failed,
                Some(Cause::Cancelled) => JobState::Cancelled,
                None if self.is_stopped(job) => JobState::Cancelled,
                None => JobState::Completed,
            };
            self.0[job].ended = Some(ended);
        }
    }

    fn state(&self, job: usize) -> JobState {
        match self.0[job].ended {
            Some(ended) => ended,
            None if self.is_stopped(job) => JobState::Cancelling,
            None => JobState::Active,
        }
    }
}

struct Both {
    model: Model,
    jobs: Vec<Job>,
    bodies: Vec<Option<Body>>,
}

impl Both {
    fn begin(&mut self, parent: Option<usize>, supervisor: bool) {
        self.model.begin(parent, supervisor);
        let mut builder = Job::builder();
        if let Some(parent) = parent {
            builder = builder.parent(&self.jobs[parent]);
        }
        if supervisor {
            builder = builder.supervisor();
        }
        let body = builder.begin();
        self.jobs.push(body.job().clone());
        self.bodies.push(Some(body));
    }

    fn apply(&mut self, step: Step) {
        let pick = |number: usize| number % self.jobs.len();
        match step {
            Step::Begin { parent, supervisor } => self.begin(Some(pick(parent)), supervisor),
            Step::Complete(number) => {
                let job = pick(number);
                if let Some(body) = self.bodies[job].take() {
                    self.model.0[job].open = false;
                    body.complete();
                }
            }
            Step::Fail(number) => {
                let job = pick(number);
                if let Some(body) = self.bodies[job].take() {
                    self.model.fail(job);
                    self.model.0[job].open = false;
                    body.fail("as the test wants it");
                }
            }
            Step::Drop(number) => {
                let job = pick(number);
                if let Some(body) = self.bodies[job].take() {
                    self.model.cancel(job);
                    self.model.0[job].open = false;
                    drop(body);
                }
            }
            Step::Cancel(number) => {
                let job = pick(number);
                assert_eq!(self.jobs[job].cancel("as the test wants it"), self.model.cancel(job));
            }
            Step::CancelChildren(number) => {
                let job = pick(number);
                for child in self.model.live_children(job) {
                    self.model.cancel(child);
                }
                self.jobs[job].cancel_children("as the test wants it");
            }
        }
        self.model.settle();
    }

    fn check(&self) {
        for (number, job) in self.jobs.iter().enumerate() {
            let state = job.state();
            assert_eq!(state, self.model.state(number), "job {number} of {:#?}", self.model);
            assert_eq!(job.children_len(), self.model.live_children(number).len());
            assert_eq!(job.children().len(), job.children_len());
            assert_eq!(job.ended().deadline(std::time::Instant::now()).wait(), state.is_ended());
            assert_eq!(job.failure().is_some(), self.model.0[number].cause == Some(Cause::Failed));
            assert_eq!(
                job.reason().is_some(),
                !matches!(state, JobState::Active | JobState::Completed)
            );
            if state.is_ended() {
                assert!(job.children().is_empty(), "a child ends before its parent");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_of_jobs_is_as_its_model(
        supervisor: bool,
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut both = Both { model: Model::default(), jobs: Vec::new(), bodies: Vec::new() };
        both.begin(None, supervisor);
        both.check();
        for step in steps {
            both.apply(step);
            both.check();
        }
        // Whatever the steps were: when every body is over, everything has ended.
        for number in 0..both.jobs.len() {
            both.apply(Step::Complete(number));
        }
        both.check();
        assert!(both.jobs.iter().all(|job| job.state().is_ended()));
    }
}
