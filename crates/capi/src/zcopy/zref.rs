// SPDX-License-Identifier: BSD-3-Clause
//! The backend that is built in: a descriptor is handed over as it is, within this process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use libc::c_int;

use crate::chan::descriptor::Zdesc;
use crate::chan::operate::{self, Limits};
use crate::chan::{CLOSED, Chan};
use crate::errno;

pub(crate) fn send(chan: &Arc<Chan>, zdesc: Zdesc, limits: Limits<'_>) -> c_int {
    if let Err(code) = chan.descriptor_pair() {
        return code;
    }
    chan.turn_to_descriptors();
    let open = !chan.has(CLOSED);
    let mut share = None;
    let code = operate::send_descriptor(chan, zdesc, limits, &mut share);
    let zref = &chan.tally.zref;
    match code {
        errno::OK => zref.sent.fetch_add(1, Ordering::Relaxed),
        errno::ECANCELED => zref.cancelled.fetch_add(1, Ordering::Relaxed),
        errno::EPIPE if open => zref.aborted_close.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
    code
}

pub(crate) fn recv(chan: &Arc<Chan>, limits: Limits<'_>) -> Result<Zdesc, c_int> {
    let _usable = chan.descriptor_pair()?;
    chan.turn_to_descriptors();
    let mut share = None;
    let received = operate::recv_descriptor(chan, limits, &mut share);
    let zref = &chan.tally.zref;
    match received {
        Ok(_) => zref.received.fetch_add(1, Ordering::Relaxed),
        Err(errno::ECANCELED) => zref.cancelled.fetch_add(1, Ordering::Relaxed),
        Err(_) => 0,
    };
    received
}
