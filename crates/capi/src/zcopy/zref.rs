// SPDX-License-Identifier: BSD-3-Clause
//! The built-in backend: a descriptor is passed on unchanged, within this process.

use std::sync::Arc;

use becket_zcopy::Event;
use libc::c_int;

use super::{count, failure};
use crate::chan::descriptor::Zdesc;
use crate::chan::operate::{self, Limits};
use crate::chan::{CLOSED, Chan};

pub(crate) fn send(chan: &Arc<Chan>, zdesc: Zdesc, limits: Limits<'_>) -> Result<(), c_int> {
    let _usable = chan.descriptor_pair()?;
    chan.turn_to_descriptors();
    let open = !chan.has(CLOSED);
    let mut share = None;
    let sent = operate::send_descriptor(chan, zdesc, limits, &mut share);
    if let Some(event) = Event::of_send(sent.map_err(failure::of), open) {
        count::descriptor(chan, event);
    }
    sent
}

pub(crate) fn recv(chan: &Arc<Chan>, limits: Limits<'_>) -> Result<Zdesc, c_int> {
    let _usable = chan.descriptor_pair()?;
    chan.turn_to_descriptors();
    let mut share = None;
    let received = operate::recv_descriptor(chan, limits, &mut share);
    if let Some(event) = Event::of_recv(&received.map_err(failure::of)) {
        count::descriptor(chan, event);
    }
    received
}
