// SPDX-License-Identifier: BSD-3-Clause
//! How each peer does it. What can be chosen is chosen for speed.

pub(crate) mod iceoryx2;
pub(crate) mod ipc_channel;
pub(crate) mod seqpacket;
pub(crate) mod shmem_ipc;
pub(crate) mod unix_stream;
