// SPDX-License-Identifier: BSD-3-Clause
//! What the property tests share.

use proptest::prelude::ProptestConfig;

/// Few cases under miri, which is slow and may write no file.
pub(crate) fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
