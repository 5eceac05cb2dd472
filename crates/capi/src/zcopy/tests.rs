// SPDX-License-Identifier: BSD-3-Clause
//! A backend that Rust registered, driven by the C functions: found by name, attached, counted.

use std::any::Any;
use std::ffi::CString;
use std::ptr;
use std::sync::Arc;

use becket_chan::{Receiver, Sender, bounded};
use becket_zcopy::{Backend, Carrier, Desc, Event, Failure, Limits, Link, Pending};

use super::dispatch::{kc_chan_recv_desc, kc_chan_send_desc, kc_chan_send_desc_c};
use super::registry::{kc_chan_enable_zero_copy_backend, kc_zcopy_caps, kc_zcopy_resolve};
use crate::cancel::{kc_cancel_create, kc_cancel_destroy, kc_cancel_trigger};
use crate::chan::descriptor::Zdesc;
use crate::chan::make::{kc_chan_close, kc_chan_destroy, kc_chan_make_ptr};
use crate::chan::pointer::{ChanZstats, kc_chan_get_zstats};
use crate::errno;
use crate::stats::{ChanSnapshot, kc_chan_snapshot};

/// Queues, and reports that each descriptor was few bytes.
struct Queue;

struct QueueLink {
    carrier: Arc<dyn Carrier>,
    tx: Sender<Desc>,
    rx: Receiver<Desc>,
}

impl Backend for Queue {
    fn attach(&self, carrier: &Arc<dyn Carrier>, _: &dyn Any) -> Result<Box<dyn Link>, Failure> {
        let (tx, rx) = bounded(carrier.capacity().ok_or(Failure::Unsupported)?);
        Ok(Box::new(QueueLink { carrier: carrier.clone(), tx, rx }))
    }
}

impl Link for QueueLink {
    fn try_send(&self, desc: Desc) -> Result<(), Failure> {
        self.carrier.count(Event::FallbackSmall, desc.len as u64);
        self.tx.try_send(desc).map_err(|error| Failure::from(&error))
    }

    fn try_recv(&self) -> Result<Desc, Failure> {
        Ok(self.rx.try_recv()?)
    }

    fn send<'a>(&'a self, desc: Desc, limits: Limits<'a>) -> Pending<'a, ()> {
        Box::pin(async move {
            limits.drive(self.tx.send(desc)).await.map_err(|error| Failure::from(&error))
        })
    }

    fn recv<'a>(&'a self, limits: Limits<'a>) -> Pending<'a, Desc> {
        Box::pin(async move { Ok(limits.drive(self.rx.recv()).await?) })
    }

    fn in_flight(&self) -> usize {
        self.tx.len()
    }

    fn close(&self) {
        self.tx.close();
    }

    fn detach(&self) {
        while let Ok(desc) = self.rx.try_recv() {
            self.carrier.undelivered(desc);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "the timer's thread outlives the test")]
fn a_backend_of_rust_serves_a_channel_of_c() {
    becket_zcopy::register("queue of rust", Queue, 9).unwrap();
    let name = CString::new("queue of rust").unwrap();
    let mut memory = [0_u8; 64];
    let sent = Zdesc { region_id: 7, ..Zdesc::plain(memory.as_mut_ptr().cast(), 64) };
    let (mut chan, mut caps, mut token) = (ptr::null_mut(), 0, ptr::null_mut());
    let mut got = Zdesc::plain(ptr::null_mut(), 0);
    // SAFETY: the handles are valid to their end, and the places too.
    unsafe {
        let id = kc_zcopy_resolve(name.as_ptr());
        assert_eq!((kc_zcopy_caps(id, &raw mut caps), caps), (errno::OK, 9));
        assert_eq!(kc_chan_make_ptr(&raw mut chan, 1, 2), errno::OK);
        assert_eq!(kc_chan_enable_zero_copy_backend(chan, id, ptr::null()), errno::OK);
        assert_eq!(kc_chan_recv_desc(chan, &raw mut got, 1), errno::ETIME);
        assert_eq!(kc_chan_send_desc(chan, &raw const sent, 0), errno::OK);
        assert_eq!(kc_chan_send_desc(chan, &raw const sent, -1), errno::OK);
        assert_eq!(kc_chan_send_desc(chan, &raw const sent, 0), errno::EAGAIN);
        assert_eq!(kc_cancel_create(&raw mut token, ptr::null_mut()), errno::OK);
        kc_cancel_trigger(token);
        let cancelled = kc_chan_send_desc_c(chan, &raw const sent, -1, token);
        assert_eq!(cancelled, errno::ECANCELED);
        kc_cancel_destroy(token);
        assert_eq!(kc_chan_recv_desc(chan, &raw mut got, 0), errno::OK);
        assert_eq!(got, sent);
        // Closed while it has one more: that is received, and then nothing.
        kc_chan_close(chan);
        assert_eq!(kc_chan_send_desc(chan, &raw const sent, -1), errno::EPIPE);
        assert_eq!(kc_chan_recv_desc(chan, &raw mut got, -1), errno::OK);
        assert_eq!(kc_chan_recv_desc(chan, &raw mut got, -1), errno::EPIPE);

        let mut zstats = std::mem::zeroed::<ChanZstats>();
        let mut stats = std::mem::zeroed::<ChanSnapshot>();
        assert_eq!(kc_chan_get_zstats(chan, &raw mut zstats), errno::OK);
        assert_eq!(kc_chan_snapshot(chan, &raw mut stats), errno::OK);
        assert_eq!((zstats.zref_sent, zstats.zref_received, zstats.zref_canceled), (2, 2, 1));
        assert_eq!(zstats.zref_fallback_small, 4);
        assert_eq!((stats.total_sends, stats.total_recvs), (2, 2));
        assert_eq!((stats.total_bytes_sent, stats.total_bytes_recv), (128, 128));
        assert_eq!((stats.send_eagain, stats.recv_etime), (1, 1));
        assert_eq!((stats.send_epipe, stats.recv_epipe), (1, 1));
        kc_chan_destroy(chan);
    }
}
