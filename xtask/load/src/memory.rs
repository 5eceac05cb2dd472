// SPDX-License-Identifier: BSD-3-Clause
//! Whether memory stays flat: samples of one phase, the beginning against the end.

/// How much more the end may use than the settled beginning, in KiB: allocators round, tables grow
/// to their working size. At 50 000 requests a second a leak of 23 bytes a request shows within
/// 15 s.
const GROWTH_KIB_MAX: u64 = 16 * 1024;

/// Samples of resident memory, in KiB, at equal intervals.
#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<u64>);

impl Memory {
    pub(crate) fn sample(&mut self, resident_kib: u64) {
        self.0.push(resident_kib);
    }

    /// How far the peak of the last quarter is above that of the first half, in KiB.
    pub(crate) fn growth_kib(&self) -> u64 {
        let half = self.0.len() / 2;
        let quarter = self.0.len() - self.0.len() / 4;
        let peak = |samples: &[u64]| samples.iter().copied().max().unwrap_or_default();
        let first = peak(self.0.get(..half).unwrap_or_default());
        let last = peak(self.0.get(quarter..).unwrap_or_default());
        last.saturating_sub(first)
    }

    pub(crate) fn is_flat(&self) -> bool {
        self.growth_kib() <= GROWTH_KIB_MAX
    }

    pub(crate) fn peak_mib(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or_default() / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: impl IntoIterator<Item = u64>) -> Memory {
        let mut memory = Memory::default();
        samples.into_iter().for_each(|sample| memory.sample(sample));
        memory
    }

    #[test]
    fn a_plateau_is_flat() {
        let warm = of([10_000, 20_000, 30_000, 30_500].into_iter().chain([30_400; 8]));
        assert_eq!(warm.growth_kib(), 0);
        assert!(warm.is_flat());
    }

    #[test]
    fn a_slope_is_not() {
        let leak = of((0..60).map(|second| 50_000 + second * 1_000));
        assert_eq!(leak.growth_kib(), 30_000);
        assert!(!leak.is_flat());
    }
}
