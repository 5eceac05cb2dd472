// SPDX-License-Identifier: BSD-3-Clause
//! Whether a stream is open, and why it is not.

use std::sync::Arc;
use std::task::{Poll, Waker};

use becket_chan::wakes;

use crate::connection::Ended;
use crate::streams::service::Info;

/// Why a stream has ended.
#[derive(Debug, Clone)]
pub(crate) enum Over {
    /// The channel is closed.
    Closed(Option<Arc<str>>),
    /// The server reset the stream.
    Reset { code: u16, why: Arc<str> },
    /// The connection ended.
    Ended(Ended),
}

impl Over {
    /// Closed, with these bytes as the reason, if there are any.
    pub(crate) fn closed(why: &[u8]) -> Self {
        Self::Closed((!why.is_empty()).then(|| String::from_utf8_lossy(why).into()))
    }
}

/// The state of a stream's opening.
#[derive(Default)]
pub(crate) enum Opening {
    #[default]
    Asked,
    Awaited(Waker),
    Open(Arc<Info>),
    Failed(Over),
}

impl Opening {
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Result<Arc<Info>, Over>> {
        match self {
            Self::Open(info) => Poll::Ready(Ok(info.clone())),
            Self::Failed(over) => Poll::Ready(Err(over.clone())),
            Self::Asked | Self::Awaited(_) => {
                *self = Self::Awaited(waker.clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn accepted(&mut self, info: Info) {
        if let Self::Awaited(waker) = std::mem::replace(self, Self::Open(Arc::new(info))) {
            wakes::wake(waker);
        }
    }

    /// The stream ended: if it was not open yet, opening it fails.
    pub(crate) fn over(&mut self, over: &Over) {
        if let Self::Open(_) | Self::Failed(_) = self {
            return;
        }
        if let Self::Awaited(waker) = std::mem::replace(self, Self::Failed(over.clone())) {
            wakes::wake(waker);
        }
    }

    pub(crate) fn info(&self) -> Option<&Arc<Info>> {
        match self {
            Self::Open(info) => Some(info),
            _ => None,
        }
    }
}
