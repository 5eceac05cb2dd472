// SPDX-License-Identifier: BSD-3-Clause
//! Sequence numbers and offsets of output, for mutants that put out wrong bytes under correct
//! numbers.

use std::collections::BTreeMap;

use crate::contract::{Chunk, FlowId, Outlet, Refused};

/// Chunks and bytes of each flow that were put out.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeMap<FlowId, (u64, u64)>);

impl Numbers {
    /// Bytes of a flow that were put out.
    pub(super) fn offset(&self, flow: FlowId) -> u64 {
        self.0.get(&flow).map_or(0, |known| known.1)
    }

    /// Puts out the next bytes of the flow.
    pub(super) fn put(
        &mut self,
        out: &mut Outlet<'_>,
        flow: FlowId,
        bytes: &[u8],
        is_final: bool,
    ) -> Result<(), Refused> {
        let (chunks, offset) = self.0.entry(flow).or_default();
        let count = bytes.len() as u64;
        let chunk = Chunk { flow, sequence: *chunks + 1, offset: *offset, bytes: count, is_final };
        out.data(&chunk, bytes)?;
        *chunks += 1;
        *offset += count;
        Ok(())
    }

    /// As [`put`](Self::put); without bytes it puts out only the end.
    pub(super) fn put_or_end(
        &mut self,
        out: &mut Outlet<'_>,
        flow: FlowId,
        bytes: &[u8],
        is_final: bool,
    ) -> Result<(), Refused> {
        match (bytes.is_empty(), is_final) {
            (false, _) => self.put(out, flow, bytes, is_final),
            (true, true) => {
                out.half_closed(flow);
                Ok(())
            }
            (true, false) => Ok(()),
        }
    }
}
