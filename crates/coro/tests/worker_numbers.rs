// SPDX-License-Identifier: BSD-3-Clause
//! The numbers of workers, of which a process has 4095, in a process of its own.

use becket_coro::{BuildError, Runtime};

#[test]
fn a_runtime_that_is_refused_leaves_its_workers_numbers_to_others() {
    for _ in 0..5 {
        let refused = Runtime::builder().workers(4000).stack_size(usize::MAX).build();
        assert!(matches!(refused, Err(BuildError::Stack(_))), "{refused:?}");
    }
    assert!(matches!(
        Runtime::builder().workers(4096).build(),
        Err(BuildError::Workers { workers_max: 4095, .. })
    ));
    Runtime::builder().workers(2).build().unwrap();
}
