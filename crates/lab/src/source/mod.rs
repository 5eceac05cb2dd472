// SPDX-License-Identifier: BSD-3-Clause
//! Plans of sources: one per flow, decided by the seed.
//!
//! All sources are presets of one generator: they sketch each flow (the ticks and lengths of its
//! chunks, and its end), and the limits of a run turn a sketch into a plan. The same seed gives the
//! same plan. The scheduler decides how the chunks of several flows are interleaved.
//!
//! | source | flows | each |
//! |---|---|---|
//! | small_burst | F | one chunk of 64 to 95 bytes |
//! | large_object | 1, bulk | four chunks of half the longest |
//! | slow_drip | 1, interactive | twelve chunks of 24 to 31 bytes, every second tick |
//! | mixed_flow | F | the first: half the longest, bulk; others 96 bytes, interactive; of three or more the last resets |
//! | resetting | F | the first: 128 bytes and a reset; others as small_burst |
//! | half_close | F | the first: 128 bytes and a half-close; others as small_burst |
//! | late_open | F | as small_burst, three ticks after the one before |
//! | late_write | F | the first: 128 bytes, the end, and 16 bytes behind it; others as small_burst |
//! | malformed | F | the first: 128 bytes, and 16 behind a gap; others as small_burst |
//! | bidirectional | F | 4 and 12 chunks in turn, as small_burst, one each tick, while the target talks |
//! | zero_length | F | in turn: nothing but an empty final chunk; one behind bytes; one before them |
//! | one_byte_drip | 1, interactive | 300 chunks of one byte, one each tick |
//! | exact_limit | F | in turn: the longest chunk; it twice; one byte less, and that byte; as much as may lie between source and sink |
//! | many_flows | F | one chunk of 1 to 32 bytes |
//! | priority_inversion | F | the first: four of the longest chunks, bulk, one each tick; others 96 bytes, interactive, one after another from tick 1 on |
//! | crowd | F | one chunk as small_burst, and the last one 24 ticks later; of several the last opens at tick 12, with one chunk |
//! | early_and_late | F | the first: 64 chunks of 24 bytes, interactive, one each tick; others as small_burst, from tick 100 on, three ticks apart |
//! | elephant_and_mice | F | the first: sixteen of the longest chunks, bulk; others as small_burst, from tick 1000 on, three ticks apart |
//! | swarm | F | whatever the seed has left on, see [`Swarm`] |
//!
//! F may exceed the number of flows that may be open at once: then later flows reuse the numbers of
//! ended ones.
//!
//! | file | holds |
//! |---|---|
//! | `plan` | the plan of the source of one flow, and its sketch |
//! | `swarm` | what a seed switches off |

mod plan;
mod swarm;

pub use plan::{End, FlowPlan, GAP_BYTES, Planned, STRAY_BYTES};
use plan::{Sketch, of_lengths};
pub use swarm::{Feature, Swarm};

use strum::{IntoStaticStr, VariantArray};

use crate::all;
use crate::config::Config;
use crate::contract::Class;
use crate::world::planted::{self, Planted};

/// A preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", suffix = "_source")]
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
    /// Each flow some small chunks, one each tick: long enough for both ends to send at once.
    Bidirectional,
    /// Flows without a byte, and flows with an empty chunk behind their bytes, or before them.
    ZeroLength,
    /// One flow, 300 chunks of one byte, one each tick.
    OneByteDrip,
    /// Flows that carry as much as a limit allows, to the byte.
    ExactLimit,
    /// Flows of one very small chunk, as many as are asked for.
    ManyFlows,
    /// A long bulk flow, and interactive ones that come when it has begun.
    PriorityInversion,
    /// Flows that stay open, and one that comes when all others are.
    Crowd,
    /// A flow that begins at once, and others that come when that is long over.
    EarlyAndLate,
    /// A flow of more bytes than all windows and rooms hold, and small ones that come when it has begun.
    ElephantAndMice,
    /// The features that the seed has left on, see [`Swarm`].
    Swarm,
}

impl Source {
    /// All presets.
    pub const ALL: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name in scenarios and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether it always has one flow.
    #[must_use]
    pub const fn is_one_flow(self) -> bool {
        matches!(self, Self::LargeObject | Self::SlowDrip | Self::OneByteDrip)
    }

    /// Whether its runs take many steps: its chunks have the maximum length, or there are many.
    #[must_use]
    pub const fn is_long(self) -> bool {
        matches!(
            self,
            Self::LargeObject
                | Self::MixedFlow
                | Self::ExactLimit
                | Self::PriorityInversion
                | Self::OneByteDrip
                | Self::EarlyAndLate
                | Self::ElephantAndMice
                | Self::Swarm
        )
    }

    /// The plans of `flows` flows for the seed of the configuration. Presets of one flow ignore
    /// `flows`.
    #[must_use]
    pub fn plan(self, config: &Config, flows: u32) -> Vec<FlowPlan> {
        let other;
        let config = if planted::is(Planted::SourcePlan) {
            other = Config { deterministic_seed: u64::MAX, ..config.clone() };
            &other
        } else {
            config
        };
        let swarm = (self == Self::Swarm).then(|| Swarm::draw(config.deterministic_seed));
        let flows = if self.is_one_flow() { flows.min(1) } else { flows };
        let plan = |number| {
            let sketch = match &swarm {
                Some(swarm) => swarm.sketch(config, number),
                None => self.sketch(config, (number, flows)),
            };
            sketch.plan(number, config.max_chunk_bytes)
        };
        (1..=flows).map(plan).collect()
    }

    /// The sketch of one of the flows.
    fn sketch(self, config: &Config, (number, flows): (u32, u32)) -> Sketch {
        let (seed, longest) = (config.deterministic_seed, config.max_chunk_bytes);
        let half = (longest / 2).max(1);
        let small_at = |at: u64| 64 + seed.wrapping_add(at) % 32;
        let small = Sketch::of(small_at(u64::from(number - 1)));
        let is_first = number == 1;
        // The first flow of 128 bytes ends in a way of its own.
        let first = |end, others| if is_first { Sketch { end, ..Sketch::of(128) } } else { others };
        let interactive = || Sketch { class: Class::Interactive, ..Sketch::of(96) };
        match self {
            Self::SmallBurst => small,
            Self::LargeObject => {
                Sketch { class: Class::Bulk, chunks: of_lengths([half; 4]), ..small }
            }
            Self::SlowDrip => {
                let chunks = of_lengths((0..12).map(|at| 24 + seed.wrapping_add(at) % 8));
                Sketch { every: 2, chunks, ..interactive() }
            }
            Self::MixedFlow if is_first => Sketch { class: Class::Bulk, ..Sketch::of(half) },
            Self::MixedFlow => {
                let is_last = number == flows && flows > 2;
                let end = if is_last { End::Reset } else { End::Final };
                Sketch { end, ..interactive() }
            }
            Self::Resetting => first(End::Reset, small),
            Self::HalfClose => first(End::HalfClose, small),
            Self::LateWrite => first(End::LateWrite, small),
            Self::Malformed => first(End::Malformed, small),
            Self::LateOpen => Sketch { opens_at: 3 * u64::from(number - 1), ..small },
            Self::Bidirectional => {
                let chunks = if number % 2 == 1 { 4 } else { 12 };
                Sketch { every: 1, chunks: of_lengths((0..chunks).map(small_at)), ..small }
            }
            Self::ZeroLength => {
                let some = small_at(number.into());
                let bytes = match number % 3 {
                    1 => vec![0],
                    2 => vec![some, 0],
                    _ => vec![0, some],
                };
                Sketch { chunks: of_lengths(bytes), ..small }
            }
            Self::OneByteDrip => Sketch { every: 1, chunks: of_lengths([1; 300]), ..interactive() },
            Self::ExactLimit => {
                let bytes = match number % 4 {
                    1 => vec![longest],
                    2 => vec![longest; 2],
                    3 => vec![longest - 1, 1],
                    _ => {
                        let rest = config.max_buffered_bytes % longest;
                        let whole = (config.max_buffered_bytes / longest) as usize;
                        let rest = (rest > 0).then_some(rest);
                        std::iter::repeat_n(longest, whole).chain(rest).collect()
                    }
                };
                Sketch { chunks: of_lengths(bytes), ..small }
            }
            Self::ManyFlows => Sketch::of(1 + seed.wrapping_add(number.into()) % 32),
            Self::PriorityInversion if is_first => {
                Sketch { class: Class::Bulk, every: 1, chunks: of_lengths([longest; 4]), ..small }
            }
            Self::PriorityInversion => Sketch { opens_at: u64::from(number - 1), ..interactive() },
            Self::Crowd if number == flows && !is_first => Sketch { opens_at: 12, ..small },
            Self::Crowd => {
                let chunks = of_lengths([small_at(number.into()), small_at(0)]);
                Sketch { every: 24, chunks, ..small }
            }
            Self::EarlyAndLate if is_first => {
                Sketch { every: 1, chunks: of_lengths([24; 64]), ..interactive() }
            }
            Self::EarlyAndLate => Sketch { opens_at: 100 + 3 * u64::from(number - 2), ..small },
            Self::ElephantAndMice if is_first => {
                Sketch { class: Class::Bulk, chunks: of_lengths([longest; 16]), ..small }
            }
            Self::ElephantAndMice => Sketch { opens_at: 1000 + 3 * u64::from(number - 2), ..small },
            // Its flows are the swarm's.
            Self::Swarm => small,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Tick;

    fn config(seed: u64) -> Config {
        Config { deterministic_seed: seed, ..Config::default() }
    }

    fn lengths(plan: &FlowPlan) -> Vec<u64> {
        plan.chunks.iter().map(|chunk| chunk.bytes).collect()
    }

    #[test]
    fn plans_are_as_the_table_says() {
        let burst = Source::SmallBurst.plan(&config(33), 3);
        let bytes: Vec<_> = burst.iter().map(FlowPlan::bytes).collect();
        assert_eq!(bytes, [65, 66, 67]);

        let [large] = &Source::LargeObject.plan(&config(1), 5)[..] else { panic!("one flow") };
        assert_eq!((large.chunks.len(), large.bytes()), (4, 128 << 10));
        assert_eq!((large.class, large.end), (Class::Bulk, End::Final));

        let [drip] = &Source::SlowDrip.plan(&config(2), 1)[..] else { panic!("one flow") };
        assert_eq!((drip.chunks.len(), drip.class), (12, Class::Interactive));
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
    fn plans_at_the_edges_are_as_the_table_says() {
        let both = Source::Bidirectional.plan(&config(1), 2);
        assert_eq!((both[0].chunks.len(), both[1].chunks.len()), (4, 12));
        assert!(both[1].chunks.iter().zip(0..).all(|(chunk, at)| chunk.at == Tick(at)));

        let empty = Source::ZeroLength.plan(&config(1), 3);
        assert_eq!((lengths(&empty[0]), empty[0].bytes()), (vec![0], 0));
        assert_eq!((lengths(&empty[1])[1], lengths(&empty[2])[0]), (0, 0));
        assert!(empty[1..].iter().all(|plan| plan.bytes() >= 64 && plan.chunks.len() == 2));

        let [drip] = &Source::OneByteDrip.plan(&config(1), 9)[..] else { panic!("one flow") };
        assert_eq!((drip.chunks.len(), drip.bytes(), drip.chunks[299].at), (300, 300, Tick(299)));

        let odd = Config { max_chunk_bytes: 1000, max_buffered_bytes: 2500, ..config(1) };
        let exact = Source::ExactLimit.plan(&odd, 4);
        let exact: Vec<_> = exact.iter().map(lengths).collect();
        let expected = [vec![1000], vec![1000, 1000], vec![999, 1], vec![1000, 1000, 500]];
        assert_eq!(exact, expected);

        let many = Source::ManyFlows.plan(&config(1), 2000);
        assert!(many.len() == 2000 && many.iter().all(|plan| (1..=32).contains(&plan.bytes())));

        let crowd = Source::Crowd.plan(&config(1), 3);
        let opens: Vec<_> = crowd.iter().map(|plan| plan.opens_at.0).collect();
        assert_eq!(opens, [0, 0, 12]);
        assert!(crowd[..2].iter().all(|plan| plan.chunks[1].at == Tick(24)));
        assert_eq!(crowd[2].chunks.len(), 1);

        let late = Source::EarlyAndLate.plan(&config(1), 3);
        assert_eq!((late[0].chunks.len(), late[0].chunks[63].at), (64, Tick(63)));
        assert_eq!((late[1].opens_at, late[2].opens_at), (Tick(100), Tick(103)));

        let mice = Source::ElephantAndMice.plan(&config(1), 3);
        assert_eq!((mice[0].chunks.len(), mice[0].bytes()), (16, 1 << 20));
        assert_eq!((mice[1].opens_at, mice[2].opens_at), (Tick(1000), Tick(1003)));
        assert!(mice[1..].iter().all(|plan| plan.bytes() < 96));

        let inverted = Source::PriorityInversion.plan(&config(1), 3);
        assert_eq!((inverted[0].class, inverted[0].bytes()), (Class::Bulk, 256 << 10));
        for plan in &inverted[1..] {
            assert!(plan.class == Class::Interactive && plan.opens_at > Tick(0));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_no_chunk_is_too_long() {
        for source in Source::ALL {
            for seed in 0..40 {
                let config = Config { max_chunk_bytes: 1 + seed * 7, ..config(seed) };
                let plan = source.plan(&config, 6);
                assert_eq!(plan, source.plan(&config, 6));
                assert_eq!(plan.len(), if source.is_one_flow() { 1 } else { 6 });
                let numbers = plan.iter().map(|plan| plan.flow.number());
                assert!(numbers.eq(1..=plan.len() as u32));
                let chunks = plan.iter().flat_map(|plan| &plan.chunks);
                assert!(chunks.clone().all(|chunk| chunk.bytes <= config.max_chunk_bytes));
                for plan in &plan {
                    assert!(plan.chunks.is_sorted_by_key(|chunk| chunk.at));
                    assert!(plan.chunks.iter().all(|chunk| chunk.at >= plan.opens_at));
                    // Or it would never end.
                    assert!(!plan.chunks.is_empty() || !plan.end.is_final(), "{plan:?}");
                }
                let is_long = plan.iter().any(|plan| plan.bytes() > 2000);
                assert!(source.is_long() || !is_long, "{source:?}");
            }
        }
    }

    #[test]
    fn names_are_their_own() {
        let names: std::collections::BTreeSet<_> = Source::ALL.map(Source::name).into();
        assert_eq!(names.len(), Source::ALL.len());
        assert!(names.iter().all(|name| name.ends_with("_source")));
    }
}
