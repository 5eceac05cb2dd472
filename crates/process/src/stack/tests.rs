// SPDX-License-Identifier: BSD-3-Clause
use std::env;

use proptest::prelude::*;

use super::module::PluginFile;
use super::*;

#[test]
fn names_are_bounded_and_harmless() {
    assert_eq!(text("a\x1b[31mb"), escape_controls("a\x1b[31mb"));
    let long = text(&"é".repeat(NAME_BYTES_MAX));
    assert!(long.ends_with('…') && long.len() <= NAME_BYTES_MAX + 3);
    let frame = CrashFrame { function: Some("\x07".to_owned()), ..CrashFrame::default() };
    let frames = vec![frame; FRAMES_MAX + 1];
    let stack = bounded(CrashStack { frames, ..CrashStack::default() });
    assert_eq!(stack.frames.len(), FRAMES_MAX);
    assert!(stack.frames.iter().all(|frame| !frame.function.as_ref().unwrap().contains('\x07')));
}

#[test]
fn each_end_without_a_record_has_its_words() {
    let left = |bytes: &[u8]| Left(bytes.into());
    let why = |left: Option<&Left>, reason| why_none(left, reason);
    assert_eq!(why(Some(&left(b"x")), DeathReason::Signal), "it is being read");
    assert_eq!(why(Some(&left(b"")), DeathReason::Killed), "it was killed from outside");
    assert_eq!(why(None, DeathReason::Signal), "a program leaves none");
    assert_eq!(why(None, DeathReason::Exit), "it exited");
    let words = why(Some(&left(b"")), DeathReason::Signal);
    assert!(words.starts_with("it left no record"), "{words}");
}

/// A record of this process's program, with any registers and stack.
fn record(pc: u64, sp: u64, fp: u64, offset: u64, words: &[u64]) -> Vec<u8> {
    let machine: u32 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let mut bytes = b"bkcrash1".to_vec();
    [machine, 11, 1, 7].iter().for_each(|number| bytes.extend(number.to_ne_bytes()));
    [8, pc, sp, fp, pc ^ fp].iter().for_each(|number| bytes.extend(number.to_ne_bytes()));
    bytes.extend([b'n'; 16]);
    let program = env::current_exe().unwrap();
    let line = format!("10000-ffffffffff000000 r-xp {offset:x} 00:00 1 {}\n\0", program.display());
    bytes.extend(line.bytes());
    bytes.extend(sp.to_ne_bytes());
    words.iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Addresses that lie, in a file with real tables: there is an answer, and it is bounded.
    #[test]
    fn a_forged_record_is_read(
        pc in prop_oneof![any::<u64>(), 0x10000_u64..0x800_0000],
        sp in prop_oneof![any::<u64>(), Just(u64::MAX - 64)],
        fp in any::<u64>(),
        page in prop_oneof![Just(0_u64), 0..0x2000_u64],
        words in prop::collection::vec(prop_oneof![any::<u64>(), 0x10000_u64..0x800_0000], 0..64),
    ) {
        let plugin = {
            let path = env::current_exe().unwrap();
            let file = File::open(&path).unwrap();
            Some(PluginFile { path, file })
        };
        let record = record(pc, sp, fp, page * 4096, &words);
        let stack = reader::stack(&record, plugin.as_ref()).unwrap();
        prop_assert!((1..=FRAMES_MAX).contains(&stack.frames.len()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(reader::stack(&bytes, None).is_err());
    }
}
