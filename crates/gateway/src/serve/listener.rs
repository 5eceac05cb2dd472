// SPDX-License-Identifier: BSD-3-Clause
//! The two listeners as one type, so that everything below it, hyper's HTTP/1 and HTTP/2 above all, is
//! compiled once.

use http::Response;

use super::{Arrived, Body, Peer, Public, Serve};
use crate::admin::Admin;
use crate::clients::{Seat, TooMany};
use crate::config::HttpLimits;
use crate::stats::Stats;

/// Whose requests a connection carries.
#[derive(Debug, Clone)]
pub(crate) enum Listener {
    Public(Public),
    Admin(Admin),
}

impl Serve for Listener {
    fn of(&self, peer: Peer) -> Self {
        match self {
            Self::Public(public) => Self::Public(public.of(peer)),
            Self::Admin(admin) => Self::Admin(admin.of(peer)),
        }
    }

    fn seat(&self, peer: &Peer) -> Result<Option<Seat>, TooMany> {
        match self {
            Self::Public(public) => public.seat(peer),
            Self::Admin(admin) => admin.seat(peer),
        }
    }

    async fn answer(&self, request: Arrived) -> Response<Body> {
        match self {
            Self::Public(public) => public.answer(request).await,
            Self::Admin(admin) => admin.answer(request).await,
        }
    }

    fn error_hints(&self) -> bool {
        match self {
            Self::Public(public) => public.error_hints(),
            Self::Admin(admin) => admin.error_hints(),
        }
    }

    fn limits(&self) -> HttpLimits {
        match self {
            Self::Public(public) => public.limits(),
            Self::Admin(admin) => admin.limits(),
        }
    }

    fn stats(&self) -> &Stats {
        match self {
            Self::Public(public) => public.stats(),
            Self::Admin(admin) => admin.stats(),
        }
    }

    fn refresh(&self) {
        match self {
            Self::Public(public) => public.refresh(),
            Self::Admin(admin) => admin.refresh(),
        }
    }
}
