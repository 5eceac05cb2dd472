// SPDX-License-Identifier: BSD-3-Clause
//! `becket_zcopy`'s failures as C's numbers, and back.

use becket_zcopy::Failure;
use libc::c_int;

use crate::errno;

pub(super) fn code(failure: Failure) -> c_int {
    match failure {
        Failure::WouldBlock => errno::EAGAIN,
        Failure::TimedOut => errno::ETIME,
        Failure::Cancelled => errno::ECANCELED,
        Failure::Closed => errno::EPIPE,
        Failure::Unsupported => errno::ENOTSUP,
        Failure::Other { code } => code,
        _ => errno::EINVAL,
    }
}

/// The result of a backend's function.
pub(super) fn answer(code: c_int) -> Result<(), Failure> {
    if code == errno::OK { Ok(()) } else { Err(of(code)) }
}

pub(super) fn of(code: c_int) -> Failure {
    match code {
        errno::EAGAIN => Failure::WouldBlock,
        errno::ETIME => Failure::TimedOut,
        errno::ECANCELED => Failure::Cancelled,
        errno::EPIPE => Failure::Closed,
        errno::ENOTSUP => Failure::Unsupported,
        code => Failure::Other { code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_as_it_was() {
        for number in -200..200 {
            assert_eq!(answer(number).map_or_else(code, |()| errno::OK), number);
        }
    }
}
