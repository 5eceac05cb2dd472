// SPDX-License-Identifier: BSD-3-Clause
//! Bridges over healthy things pass; over things that are broken they say by which rule.

use std::rc::Rc;

use becket_chan::Kind;
use becket_lab::bridge::blocks::Memory;
use becket_lab::bridge::{Spec, blocks, futures_io, io, stream};
use becket_lab::contract::Limits;
use becket_zcopy::ZChannel;

use crate::bridged;

fn bytes(limits: Limits) -> usize {
    limits.flow_buffered_bytes_max as usize
}

#[test]
fn a_duplex_passes() {
    let make = |limits: Limits| {
        io::pair(&Spec::new("duplex", limits), move || Ok(tokio::io::duplex(bytes(limits))))
    };
    bridged::passes("duplex", &make, 30);
}

#[test]
fn a_duplex_passes_through_the_traits_of_futures() {
    use tokio_util::compat::{TokioAsyncReadCompatExt as _, TokioAsyncWriteCompatExt as _};
    let make = |limits: Limits| {
        futures_io::pair(&Spec::new("duplex", limits), move || {
            let (one, other) = tokio::io::duplex(bytes(limits));
            Ok((one.compat_write(), other.compat()))
        })
    };
    bridged::passes("duplex", &make, 30);
}

/// Of a channel of so many items a flow holds two more.
fn item_bytes_max(limits: Limits, items: usize) -> usize {
    (bytes(limits) / (items + 2)).max(1)
}

#[test]
fn sinks_and_streams_of_channels_pass() {
    for capacity in [0, 1, 4] {
        let make = move |limits: Limits| {
            let most = item_bytes_max(limits, capacity);
            stream::pair(&Spec::new("sink-and-stream", limits), most, move || {
                let (tx, rx) = becket_chan::bounded(capacity);
                Ok((tx.into_sink(), rx.into_stream()))
            })
        };
        bridged::passes("sink-and-stream", &make, 16);
    }
}

#[test]
fn backends_pass() {
    for backend in blocks::backends() {
        bridged::passes(backend.name, &backend.make, 12);
    }
}

/// The template for backends of one's own, with credits that go back one by one and in batches.
#[test]
fn the_example_backend_passes() {
    for (capacity, grant) in [(1, 1), (4, 1), (4, 3)] {
        let make = move |limits: Limits| {
            let open: blocks::MakeChannel = Rc::new(move || {
                let backend = memory_ring::register().expect("it is the same each time");
                let channel = ZChannel::new(Kind::Bounded, Some(capacity as usize), None);
                channel.attach(backend, &memory_ring::Options { grant, ..Default::default() })?;
                Ok(channel)
            });
            blocks::pair(&Spec::new("memory-ring", limits), capacity, Memory::Heap, &open)
        };
        bridged::passes("memory-ring", &make, 12);
    }
}
