// SPDX-License-Identifier: BSD-3-Clause
//! How often the I/O thread looks for events again before it sleeps.
//!
//! A sleep and a wake cost two switches and, where the waker is on another CPU, 20 µs until the
//! thread runs. While frames follow each other closely, the next ones come sooner than that. So the
//! thread first yields its CPU a few times, to the threads for which it has just worked, and looks
//! after each time. How often is learnt: twice as often after a success, half as often after a
//! failure, down to not at all, when one wait in [`PROBE_EVERY`] tries. Without events there are no
//! waits: an idle process uses no CPU.

/// A yield and a look take about a microsecond: at most half a sleep and a wake.
const YIELDS_MAX: u32 = 16;
/// The yields of a wait that tries although it has not paid off.
const YIELDS_PROBE: u32 = 4;
const PROBE_EVERY: u32 = 64;

#[derive(Debug)]
pub(super) struct Patience {
    yields: u32,
    /// Waits without yields since the last probe.
    waits: u32,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self { yields: YIELDS_PROBE, waits: 0 }
    }

    /// How often to yield in this wait. [`ended`](Self::ended) follows.
    pub(super) fn yields(&mut self) -> u32 {
        if self.yields == 0 {
            self.waits += 1;
            if self.waits >= PROBE_EVERY {
                self.waits = 0;
                self.yields = YIELDS_PROBE;
            }
        }
        self.yields
    }

    /// Whether an event came before the thread had to sleep.
    pub(super) fn ended(&mut self, found: bool) {
        self.yields = if found { (2 * self.yields).min(YIELDS_MAX) } else { self.yields / 2 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The yields of so many waits, of which none finds anything.
    fn in_vain(patience: &mut Patience, waits: u32) -> u32 {
        (0..waits)
            .map(|_| {
                let yields = patience.yields();
                patience.ended(false);
                yields
            })
            .sum()
    }

    #[test]
    fn it_yields_as_often_as_that_pays_off() {
        let mut patience = Patience::new();
        for _ in 0..10 {
            assert!((1..=YIELDS_MAX).contains(&patience.yields()));
            patience.ended(true);
        }
        assert_eq!(patience.yields(), YIELDS_MAX);
        patience.ended(false);
        assert_eq!(in_vain(&mut patience, 4), YIELDS_MAX - 1, "half as often each time");
        // A probe is halved away in two further waits.
        let probe = 2 * YIELDS_PROBE - 1;
        assert_eq!(in_vain(&mut patience, 10 * (PROBE_EVERY + 2)), 10 * probe);
    }
}
