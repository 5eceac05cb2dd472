// SPDX-License-Identifier: BSD-3-Clause
//! Pipes of bytes of tokio and of piper, and tokio-util's codec over a duplex.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use becket_lab::adapters::Pair;
use becket_lab::bridge::{self, Spec, futures_io, stream};
use becket_lab::contract::Limits;
use tokio::io::{AsyncWrite, SimplexStream, WriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::flow_bytes;
use crate::bridged;

const PROFILES: u32 = 24;

#[test]
fn tokio_duplex() {
    let make = |limits: Limits| {
        bridge::io::pair(&Spec::new("tokio-duplex", limits), move || {
            Ok(tokio::io::duplex(flow_bytes(limits)))
        })
    };
    bridged::passes("tokio-duplex", &make, PROFILES);
}

/// A simplex whose writing half is dropped tells its reader nothing: only a shutdown does.
#[test]
fn tokio_simplex_hides_that_its_writer_is_gone() {
    let make = |limits: Limits| {
        bridge::io::pair(&Spec::new("tokio-simplex", limits), move || {
            let (reader, writer) = tokio::io::simplex(flow_bytes(limits));
            Ok((writer, reader))
        })
    };
    let rules = ["ERR-03", "LIV-01", "LIV-02", "LIV-06", "LIV-07", "ROB-01", "ROB-03"];
    bridged::breaks_only("tokio-simplex", &make, 20, &rules);
}

/// The writing half of a simplex, which is shut down before it goes.
struct ShutsDown(WriteHalf<SimplexStream>);

impl Drop for ShutsDown {
    fn drop(&mut self) {
        // A simplex never waits with its shutdown.
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut self.0).poll_shutdown(cx).is_ready());
    }
}

impl AsyncWrite for ShutsDown {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[test]
fn tokio_simplex_passes_if_it_is_shut_down() {
    let make = |limits: Limits| {
        bridge::io::pair(&Spec::new("tokio-simplex", limits), move || {
            let (reader, writer) = tokio::io::simplex(flow_bytes(limits));
            Ok((ShutsDown(writer), reader))
        })
    };
    bridged::passes("tokio-simplex", &make, PROFILES);
}

fn piper(limits: Limits) -> Pair {
    futures_io::pair(&Spec::new("piper", limits), move || {
        let (reader, writer) = piper::pipe(flow_bytes(limits));
        Ok((writer, reader))
    })
}

/// Its ends yield at random, by numbers that no seed of the lab decides.
#[test]
fn piper_is_nondeterministic() {
    let broken = bridged::broken(&bridged::full("piper", &piper, 1));
    assert!(broken.contains("DET-01"), "{broken:?}");
    // While it yields it takes nothing, though it holds nothing.
    assert!(broken.iter().all(|rule| ["DET-01", "BPR-05"].contains(rule)), "{broken:?}");
}

/// The numbers come from fastrand's generator of the thread, which can be seeded.
#[test]
fn piper_passes_if_its_numbers_are_seeded() {
    let make = |limits: Limits| {
        fastrand::seed(7);
        piper(limits)
    };
    bridged::passes("piper", &make, PROFILES);
}

/// Bytes before each frame.
const HEAD_BYTES: usize = 4;

/// Frames over a duplex that holds one of them. What is framed waits for `boundary` bytes, and what
/// is read lies in a buffer that has room for `capacity` at first.
fn framed(spec: &Spec, most: usize, (boundary, capacity): (usize, usize)) -> Pair {
    stream::pair(spec, most, move || {
        let (one, other) = tokio::io::duplex(most + HEAD_BYTES);
        let codec = LengthDelimitedCodec::new;
        let mut writer = FramedWrite::new(one, codec());
        writer.set_backpressure_boundary(boundary);
        Ok((writer, FramedRead::with_capacity(other, codec(), capacity)))
    })
}

/// What codecs have without another word.
const DEFAULT_BYTES: usize = 8192;

/// However small the duplex is, 8 KiB lie before it, and as much behind it.
#[test]
fn frames_hold_more_than_their_duplex() {
    let make = |limits: Limits| {
        let most = (flow_bytes(limits) / 4).max(1);
        framed(&Spec::new("frames", limits), most, (DEFAULT_BYTES, DEFAULT_BYTES))
    };
    bridged::breaks_only("frames", &make, 20, &["BPR-04", "RES-01", "RES-02", "RES-03"]);
}

#[test]
fn frames_pass_if_all_buffers_count() {
    let make = |limits: Limits| {
        let most = (flow_bytes(limits) / 4).max(1);
        let flow = limits.flow_buffered_bytes_max + 2 * DEFAULT_BYTES as u64;
        let limits = Limits {
            flow_buffered_bytes_max: flow,
            buffered_bytes_max: flow * u64::from(limits.flows_max),
            ..limits
        };
        framed(&Spec::new("frames", limits), most, (DEFAULT_BYTES, DEFAULT_BYTES))
    };
    bridged::passes("frames", &make, PROFILES);
}
