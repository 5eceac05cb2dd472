// SPDX-License-Identifier: BSD-3-Clause
//! Sessions that begin anew: nothing of what they were about before is left. What they say to one
//! another meanwhile is compared with new ones in `joined.rs`; here is what runs there do not come to.

use crate::support::Pair;
use becket_wire::{Credit, Limits, Priority, Refused};
use bytes::Bytes;

/// A session that is reset has empty queues: it accepts as much as a new one.
#[test]
fn there_is_room_for_all_that_may_be_queued() {
    let limits = Limits { control_frames_max: 3, ..Limits::default() };
    let Pair { mut client, server, .. } = Pair::new(limits.clone(), limits.clone());
    while client.notice(1, 1, Bytes::new()).is_ok() {}
    let mut pair = Pair::renewed(client, server, limits);
    for _ in 0..3 {
        pair.client.notice(1, 1, Bytes::new()).unwrap();
    }
    assert_eq!(pair.client.notice(1, 1, Bytes::new()), Err(Refused::Full));
    assert_eq!(pair.exchange().len(), 3);
}

/// Whatever two sessions were about, within whatever limits, and however they ended.
#[test]
fn no_limits_no_regions_and_no_end_are_remembered() {
    let small = Limits { frame_body_bytes_max: 2000, streams_max: 2, ..Limits::default() };
    let mut used = Pair::new(small.clone(), small);
    used.client.region(1, 7, 4096).unwrap();
    used.exchange();
    used.client.close(1, "enough");
    let fresh = Limits::default();
    let Pair { client, server, .. } = used;
    let mut renewed = Pair::renewed(client, server, fresh.clone());
    let mut new = Pair::new(fresh.clone(), fresh);
    let [new, renewed] = [&mut new, &mut renewed].map(|pair| {
        let region = pair.client.region(1, 1, 4096);
        let open = pair.client.open(1, Priority::Normal, Credit::NONE, Bytes::new());
        let limits = [&pair.client, &pair.server].map(|side| side.limits().clone());
        (limits, region, open, pair.exchange())
    });
    assert_eq!(new, renewed);
}
