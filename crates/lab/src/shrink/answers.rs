// SPDX-License-Identifier: BSD-3-Clause
//! Simpler recordings: shorter ones, with more zeros and smaller numbers.

use std::ops::Range;

use super::{Candidate, Failed, Progress, Shrinker, least};

/// Blocks of answers that are edited together.
#[derive(Clone, Copy)]
enum Blocks {
    /// Down to an eighth of the recording, or a little less.
    Long,
    /// All that are shorter, down to one answer.
    Short,
}

impl Blocks {
    /// The greatest length and the least, for a recording of this length.
    const fn lengths(self, recording: usize) -> (usize, usize) {
        let longest = recording.next_power_of_two();
        let short = longest / 16;
        match self {
            Self::Long => (longest, short + 1),
            Self::Short => (short, 1),
        }
    }
}

impl<F, P> Shrinker<'_, F, P>
where
    F: FnMut(&Candidate) -> Option<Failed>,
    P: FnMut(&Progress),
{
    /// One round. Long blocks first, with both edits, and then a small window: these cost few runs,
    /// and each answer that goes there is one less for the short blocks, which cost a run an answer.
    pub(super) fn answers(&mut self) {
        self.step = "fewer choices";
        self.cut();
        self.simplify(Blocks::Long);
        self.small_window();
        self.simplify(Blocks::Short);
        self.step = "smaller choices";
        self.numbers();
    }

    fn simplify(&mut self, which: Blocks) {
        self.step = "plain choices";
        self.blocks(which, |recording, block| {
            if let Some(block) = recording.get_mut(block) {
                block.fill(0);
            }
        });
        self.step = "choices left out";
        self.blocks(which, |recording, block| drop(recording.drain(block)));
    }

    /// The shortest prefix that fails.
    fn cut(&mut self) {
        let all = self.best.recording.clone();
        least(all.len() as u64, |length| {
            let mut recording = all.clone();
            recording.truncate(length as usize);
            self.try_recording(recording)
        });
    }

    /// Edits blocks of the recording, from the last to the first, since later answers matter less;
    /// long blocks first.
    fn blocks(&mut self, which: Blocks, edit: impl Fn(&mut Vec<u32>, Range<usize>)) {
        let (mut length, least) = which.lengths(self.best.recording.len());
        while length >= least {
            let mut end = self.best.recording.len();
            while end > 0 && !self.is_spent() {
                let block = end.saturating_sub(length)..end;
                end = block.start;
                if self.best.recording.len() < block.end {
                    continue;
                }
                let mut recording = self.best.recording.clone();
                edit(&mut recording, block);
                self.try_recording(recording);
            }
            length /= 2;
        }
    }

    /// Each number as small as it can be.
    fn numbers(&mut self) {
        for at in (0..self.best.recording.len()).rev() {
            let Some(answer) = self.best.recording.get(at).copied() else { continue };
            least(answer.into(), |smaller| {
                let mut recording = self.best.recording.clone();
                match recording.get_mut(at) {
                    Some(answer) if u64::from(*answer) > smaller => *answer = smaller as u32,
                    _ => return false,
                }
                self.try_recording(recording)
            });
        }
    }
}
