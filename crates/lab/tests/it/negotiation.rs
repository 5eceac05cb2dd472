// SPDX-License-Identifier: BSD-3-Clause
//! What adapters claim: agreed on before a check, tried if it is not claimed, and judged.

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::check::{self, Make, Options};
use becket_lab::contract::{Capabilities, Capability, Limits};
use becket_lab::gate::Gate;
use becket_lab::mutant;
use becket_lab::report::Report;

fn healthy(limits: Limits) -> Pair {
    (HEALTHY[0].make)(limits)
}

fn with(require: &[&str], make: Make<'_>) -> Report {
    check::run(&Options { require, ..Options::quick("pair", make) })
}

/// The same, without what is about the lab.
fn alone(require: &[&str], make: Make<'_>) -> Report {
    let quick = Options::quick("pair", make);
    check::run(&Options { require, gates_of_lab: false, ..quick })
}

fn mutant(name: &str) -> fn(Limits) -> Pair {
    mutant::of_name(name).expect("a mutant with this name").make
}

fn integration(report: &Report) -> (&'static str, Option<&str>) {
    let gate = report.gate(Gate::RuntimeIntegration).unwrap();
    (gate.verdict, gate.reason.as_deref())
}

#[test]
fn what_is_agreed_on_is_in_the_report() {
    let report = with(&["flow_reset", "adapter_egress", "adapter_ingress"], &healthy);
    assert_eq!((report.verdict, integration(&report)), ("pass", ("pass", None)));
    let [ingress, egress] = &report.agreements[..] else { panic!("{:?}", report.agreements) };
    assert_eq!((ingress.place, egress.place), ("ingress", "egress"));
    assert_eq!(ingress.claims_not, ["adapter_egress"]);
    let all = Capabilities::ALL.without(Capability::AdapterEgress);
    let hash: String = all.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&ingress.hash, &ingress.error), (&hash, &None));
    assert_ne!(ingress.hash, egress.hash);
}

#[test]
fn what_is_required_must_be_claimed() {
    let make = &mutant("half_closes_without_a_claim");
    let report = alone(&["flow_half_close"], make);
    let said = "the capability flow_half_close is required, and not offered";
    assert_eq!((report.verdict, report.exit_code), ("fail", 1));
    assert_eq!(report.agreements[0].error.as_deref(), Some(said));
    assert_eq!((report.agreements[0].hash.as_str(), &report.agreements[1].error), ("", &None));
}

#[test]
fn what_cannot_be_read_is_a_mistake_of_the_caller() {
    for (require, said) in [
        (&["flow_rest"][..], "what is required cannot be read"),
        (&["flow_reset", "flow_reset"], "what is required cannot be read"),
        (&["adapter_egress", "adapter_egress"], "what is required cannot be read"),
    ] {
        let report = alone(require, &healthy);
        assert_eq!((report.verdict, report.exit_code), ("inconclusive", 2), "{require:?}");
        assert_eq!(integration(&report).0, "inconclusive");
        assert_eq!(report.agreements[0].error.as_deref(), Some(said));
    }
}

#[test]
fn what_is_not_claimed_is_tried_in_quick_mode_too() {
    let quick = alone(&[], &healthy);
    assert!(quick.profiles.iter().all(|profile| profile.runs.len() == 3));
    for (name, scenario, rule) in [
        ("half_closes_without_a_claim", "half_close", "CAP-01"),
        ("resets_without_a_claim", "reset_isolation", "CAP-02"),
    ] {
        let report = alone(&[], &mutant(name));
        assert_eq!((report.verdict, integration(&report).0), ("fail", "fail"), "{name}");
        let failure = report.failures.iter().find(|it| it.rule == Some(rule)).expect(rule);
        assert_eq!(failure.rule, Some(rule));
        let runs = report.profiles.iter().flat_map(|profile| &profile.runs);
        assert!(runs.clone().any(|run| run.scenario == scenario), "{name}");
    }
}

/// Healthy, and claims less than it could: it refuses what it does not claim.
mod modest {
    use becket_lab::adapters::Pair;
    use becket_lab::contract::{
        Adapter, AdapterError, Capability, Cause, Chunk, Context, Descriptor, EgressAdapter,
        FlowId, IngressAdapter, Manifest, Outlet,
    };

    pub(super) struct Modest<A: ?Sized>(Box<A>);

    pub(super) fn pair((ingress, egress): Pair) -> Pair {
        (Box::new(Modest(ingress)), Box::new(Modest(egress)))
    }

    impl<A: Adapter + ?Sized> Adapter for Modest<A> {
        fn manifest(&self) -> Manifest {
            let manifest = self.0.manifest();
            let capabilities = manifest.capabilities.without(Capability::FlowHalfClose);
            Manifest { capabilities: capabilities.without(Capability::FlowReset), ..manifest }
        }

        fn open(
            &mut self,
            cx: &mut Context<'_>,
            flow: FlowId,
            descriptor: &Descriptor,
        ) -> Result<(), AdapterError> {
            self.0.open(cx, flow, descriptor)
        }

        fn half_close(&mut self, _: &mut Context<'_>, _: FlowId) -> Result<(), AdapterError> {
            Err(AdapterError::Unsupported("half-close"))
        }

        fn reset(&mut self, _: &mut Context<'_>, _: FlowId, _: Cause) -> Result<(), AdapterError> {
            Err(AdapterError::Unsupported("reset"))
        }

        fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
            self.0.close(cx, flow)
        }

        fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
            self.0.poll(cx, outlet);
        }

        fn buffered_bytes(&self) -> u64 {
            self.0.buffered_bytes()
        }

        fn summary(&self) -> String {
            self.0.summary()
        }
    }

    impl IngressAdapter for Modest<dyn IngressAdapter> {
        fn offer(
            &mut self,
            cx: &mut Context<'_>,
            chunk: &Chunk,
            bytes: &[u8],
        ) -> Result<usize, AdapterError> {
            self.0.offer(cx, chunk, bytes)
        }
    }

    impl EgressAdapter for Modest<dyn EgressAdapter> {
        fn accept(
            &mut self,
            cx: &mut Context<'_>,
            chunk: &Chunk,
            bytes: &[u8],
        ) -> Result<usize, AdapterError> {
            self.0.accept(cx, chunk, bytes)
        }
    }
}

#[test]
fn a_clean_refusal_of_an_unclaimed_capability_is_unsupported_and_passes() {
    let make = |limits: Limits| modest::pair(healthy(limits));
    for start_seed in 1..5 {
        // Without the gates about the lab a check does not pass: they were not exercised.
        let gates_of_lab = start_seed == 1;
        let passed = if gates_of_lab { "pass" } else { "not-exercised" };
        let quick = Options::quick("modest", &make);
        let report = check::run(&Options { start_seed, gates_of_lab, ..quick });
        let wrong: Vec<_> = report.failures.iter().map(|failure| failure.text()).collect();
        assert_eq!(report.verdict, passed, "{start_seed}: {wrong:#?}");
        let runs = || report.profiles.iter().flat_map(|profile| &profile.runs);
        assert!(runs().any(|run| run.verdict == "unsupported" && run.scenario == "half_close"));
    }
}
