// SPDX-License-Identifier: BSD-3-Clause
//! What is counted of one filter.

use super::Counter;

/// How a call of a filter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterResult {
    Continue,
    Respond,
    Failed,
    Skipped,
}

impl FilterResult {
    /// Each with its name in metrics, in the order of the enum.
    const ALL: [(Self, &'static str); 4] = [
        (Self::Continue, "continue"),
        (Self::Respond, "respond"),
        (Self::Failed, "failed"),
        (Self::Skipped, "skipped"),
    ];

    /// Its name in metrics and spans.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.get(self as usize).map_or("", |(_, name)| name)
    }
}

/// The counters of one filter, over all routes.
#[derive(Debug, Default)]
pub(crate) struct FilterStats([Counter; FilterResult::ALL.len()]);

impl FilterStats {
    pub(crate) fn count(&self, result: FilterResult) {
        if let Some(counter) = self.0.get(result as usize) {
            counter.add(1);
        }
    }

    pub(crate) fn results(&self) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
        FilterResult::ALL.iter().zip(&self.0).map(|((_, name), counter)| (*name, counter.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_under_their_own_name() {
        let stats = FilterStats::default();
        for (at, (result, name)) in FilterResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, at);
            stats.count(result);
            assert!(stats.results().any(|counted| counted == (name, 1)));
        }
    }
}
