// SPDX-License-Identifier: BSD-3-Clause
//! What sources give: a plan for each flow, decided by the seed.
//!
//! All sources are presets of one plan: at which tick which chunk of how many bytes, and how the flow
//! ends. The same seed gives the same plan. How the chunks of several flows are interleaved is the
//! scheduler's.

use crate::config::Config;
use crate::contract::{Class, FlowId, Tick};

/// A preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// Each flow one chunk of 64 to 95 bytes.
    SmallBurst,
    /// One flow, four chunks of half the longest.
    LargeObject,
    /// One flow, twelve small chunks, one every second tick.
    SlowDrip,
    /// A bulk flow among interactive ones; the last is reset if there are more than two.
    MixedFlow,
    /// The first flow is reset after 128 bytes; the others run to their end.
    Resetting,
    /// The first flow ends its direction after 128 bytes, and is answered.
    HalfClose,
    /// Flows of one small chunk, one after another: each opens three ticks after the one before.
    LateOpen,
    /// The first flow offers more behind its final chunk; the others run to their end.
    LateWrite,
    /// The first flow offers 128 bytes, then a chunk whose offset has a gap before it; the others run
    /// to their end.
    Malformed,
}

/// How a flow ends at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its last chunk is final.
    Final,
    /// By a half-close behind its last chunk.
    HalfClose,
    /// It is broken off behind its last chunk.
    Reset,
    /// Its last chunk is final; then it offers [`STRAY_BYTES`] more, which must be refused.
    LateWrite,
    /// Behind its last chunk it offers [`STRAY_BYTES`] whose offset leaves out [`GAP_BYTES`]. They must
    /// be refused, and the flow has failed.
    Malformed,
}

/// Bytes of a chunk that may not be taken.
pub const STRAY_BYTES: u64 = 16;
/// What the offset of a malformed chunk leaves out.
pub const GAP_BYTES: u64 = 7;

impl End {
    /// Whether the last chunk is final.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Final | Self::LateWrite)
    }
}

/// A chunk that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Not before.
    pub at: Tick,
    /// How many bytes.
    pub bytes: u64,
}

/// What the source of one flow does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowPlan {
    /// Which flow.
    pub flow: FlowId,
    /// What it carries.
    pub class: Class,
    /// When it opens.
    pub opens_at: Tick,
    /// Its chunks, in order of their ticks.
    pub chunks: Vec<Planned>,
    /// How it ends.
    pub end: End,
}

impl FlowPlan {
    /// All its bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

impl Source {
    /// All presets.
    pub const ALL: [Self; 9] = [
        Self::SmallBurst,
        Self::LargeObject,
        Self::SlowDrip,
        Self::MixedFlow,
        Self::Resetting,
        Self::HalfClose,
        Self::LateOpen,
        Self::LateWrite,
        Self::Malformed,
    ];

    /// Its name, in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SmallBurst => "small_burst_source",
            Self::LargeObject => "large_object_source",
            Self::SlowDrip => "slow_drip_source",
            Self::MixedFlow => "mixed_flow_source",
            Self::Resetting => "resetting_source",
            Self::HalfClose => "half_close_source",
            Self::LateOpen => "late_open_source",
            Self::LateWrite => "late_write_source",
            Self::Malformed => "malformed_source",
        }
    }

    /// The plan of `flows` flows for the seed of the configuration. Presets of one flow have one,
    /// however many are asked for.
    #[must_use]
    pub fn plan(self, config: &Config, flows: u32) -> Vec<FlowPlan> {
        let (seed, chunk) = (config.deterministic_seed, config.max_chunk_bytes);
        let half = (chunk / 2).max(1);
        let at_once = |bytes| vec![Planned { at: Tick(0), bytes }];
        let plan = |number: u32, class, chunks, end| {
            let (flow, opens_at) = (FlowId::new(number), Tick(0));
            FlowPlan { flow, class, opens_at, chunks, end }
        };
        // A chunk is never longer than the longest.
        let small = |number: u32| (64 + seed.wrapping_add(u64::from(number - 1)) % 32).min(chunk);
        let short = |bytes: u64| bytes.min(chunk);
        // The first flow of 128 bytes ends in a way of its own.
        let first = |end| {
            let one = |number| match number {
                1 => plan(number, Class::Normal, at_once(short(128)), end),
                _ => plan(number, Class::Normal, at_once(small(number)), End::Final),
            };
            (1..=flows).map(one).collect()
        };
        match self {
            Self::SmallBurst => (1..=flows)
                .map(|number| plan(number, Class::Normal, at_once(small(number)), End::Final))
                .collect(),
            Self::LargeObject => {
                let chunks = vec![Planned { at: Tick(0), bytes: half }; 4];
                vec![plan(1, Class::Bulk, chunks, End::Final)]
            }
            Self::SlowDrip => {
                let drip = |at: u64| {
                    let bytes = short(24 + seed.wrapping_add(at) % 8);
                    Planned { at: Tick(2 * at), bytes }
                };
                vec![plan(1, Class::Interactive, (0..12).map(drip).collect(), End::Final)]
            }
            Self::MixedFlow => (1..=flows)
                .map(|number| match number {
                    1 => plan(number, Class::Bulk, at_once(half), End::Final),
                    _ => {
                        let is_last = number == flows && flows > 2;
                        let end = if is_last { End::Reset } else { End::Final };
                        plan(number, Class::Interactive, at_once(short(96)), end)
                    }
                })
                .collect(),
            Self::Resetting => first(End::Reset),
            Self::HalfClose => first(End::HalfClose),
            Self::LateWrite => first(End::LateWrite),
            Self::Malformed => first(End::Malformed),
            Self::LateOpen => (1..=flows)
                .map(|number| {
                    let opens_at = Tick(3 * u64::from(number - 1));
                    let chunks = vec![Planned { at: opens_at, bytes: small(number) }];
                    FlowPlan { opens_at, ..plan(number, Class::Normal, chunks, End::Final) }
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(seed: u64) -> Config {
        Config { deterministic_seed: seed, ..Config::default() }
    }

    #[test]
    fn plans_are_as_the_table_says() {
        let burst = Source::SmallBurst.plan(&config(33), 3);
        let bytes: Vec<_> = burst.iter().map(FlowPlan::bytes).collect();
        assert_eq!(bytes, [65, 66, 67]);

        let [large] = &Source::LargeObject.plan(&config(1), 5)[..] else { panic!("one flow") };
        assert_eq!((large.chunks.len(), large.bytes()), (4, 128 << 10));

        let [drip] = &Source::SlowDrip.plan(&config(2), 1)[..] else { panic!("one flow") };
        assert_eq!(drip.chunks.len(), 12);
        assert_eq!(drip.chunks[11], Planned { at: Tick(22), bytes: 24 + 13 % 8 });

        let mixed = Source::MixedFlow.plan(&config(1), 4);
        let ends: Vec<_> = mixed.iter().map(|plan| plan.end).collect();
        assert_eq!(ends, [End::Final, End::Final, End::Final, End::Reset]);
        assert_eq!((mixed[0].bytes(), mixed[1].bytes()), (32 << 10, 96));
        let two = Source::MixedFlow.plan(&config(1), 2);
        assert!(two.iter().all(|plan| plan.end == End::Final));

        let resetting = Source::Resetting.plan(&config(1), 3);
        assert_eq!((resetting[0].end, resetting[0].bytes()), (End::Reset, 128));
        assert!(resetting[1..].iter().all(|plan| plan.end == End::Final));
        assert_eq!(Source::HalfClose.plan(&config(1), 1)[0].end, End::HalfClose);
        let late = Source::LateOpen.plan(&config(1), 3);
        assert_eq!(late.iter().map(|plan| plan.opens_at.0).collect::<Vec<_>>(), [0, 3, 6]);
        for (source, end) in
            [(Source::LateWrite, End::LateWrite), (Source::Malformed, End::Malformed)]
        {
            let plans = source.plan(&config(1), 2);
            assert_eq!((plans[0].end, plans[0].bytes(), plans[1].end), (end, 128, End::Final));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_no_chunk_is_too_long() {
        for source in Source::ALL {
            for seed in 0..40 {
                let config = Config { max_chunk_bytes: 1 + seed * 7, ..config(seed) };
                let plan = source.plan(&config, 6);
                assert_eq!(plan, source.plan(&config, 6));
                let chunks = plan.iter().flat_map(|plan| &plan.chunks);
                assert!(chunks.clone().all(|chunk| chunk.bytes <= config.max_chunk_bytes));
                assert!(plan.iter().all(|plan| plan.chunks.is_sorted_by_key(|chunk| chunk.at)));
            }
        }
    }
}
