// SPDX-License-Identifier: BSD-3-Clause
//! The committed corpus, without a fuzzer: on stable Rust, in no time.

use std::fs;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};

/// Calls `check` with each input of a target; there are some.
fn each(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("a folder of inputs") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        check(&fs::read(&path).expect("an input"));
        count += 1;
    }
    assert!(count > 0, "no inputs in {}", folder.display());
}

/// As a fuzzer does it: what the bytes do not suffice for is made of zeros.
fn made<T: for<'a> Arbitrary<'a>>(bytes: &[u8], check: impl Fn(&T)) {
    if let Ok(case) = T::arbitrary_take_rest(Unstructured::new(bytes)) {
        check(&case);
    }
}

#[test]
fn v1() {
    each("v1", becket_fuzz::v1::check);
}

#[test]
fn decode() {
    each("decode", becket_fuzz::decode::check);
}

#[test]
fn session() {
    each("session", becket_fuzz::session::check);
}

#[test]
fn pair() {
    each("pair", |bytes| made(bytes, becket_fuzz::pair::check));
}

#[test]
fn shm() {
    each("shm", |bytes| made(bytes, becket_fuzz::shm::check));
}
