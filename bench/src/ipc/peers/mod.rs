// SPDX-License-Identifier: BSD-3-Clause
//! The peers. Their options are chosen for speed.

pub(crate) mod iceoryx2;
pub(crate) mod ipc_channel;
pub(crate) mod seqpacket;
pub(crate) mod shmem_ipc;
pub(crate) mod unix_stream;
