// SPDX-License-Identifier: BSD-3-Clause
//! What each client's address may have at once: connections, and requests in a second.
//!
//! Requests are counted by the generic cell rate algorithm (GCRA, as of ATM): an entry holds the time at which its
//! client would be back at rest, each request moves that by `1 s / rate`, and one that would move it further than a
//! second ahead is refused. So a second's worth may come at once, and then one for each that passes.
//!
//! # Invariants
//!
//! 1. An IPv6 client is its /64, which is what a customer has; an IPv4 address in IPv6 is the IPv4 address.
//! 2. There are at most `clients_max` entries. When a shard is full, entries at rest without a connection make room. An
//!    address for which there is none has no limits of its own: a flood from many addresses does not lock others
//!    out, and `connections_max` holds for all.
//! 3. A full shard is searched for entries at rest at most ten times a second.
//! 4. A [`Seat`] lives in the socket's own wrapper, as the permit does.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::HttpLimits;

const SHARDS: usize = 16;

const SECOND_NS: u64 = 1_000_000_000;

/// The pause between two searches of a full shard.
const SEARCH_PAUSE: Duration = Duration::from_millis(100);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Clients {
    shards: [Mutex<Shard>; SHARDS],
    hash: RandomState,
    began: Instant,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<IpAddr, Entry>,
    /// When a full shard may be searched again.
    search_due: Duration,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    /// When the client is at rest, in nanoseconds.
    rests_at_ns: u64,
}

/// The address has as many as it may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// One connection of an address; dropping it ends the count.
#[derive(Debug)]
pub(crate) struct Seat {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Default for Clients {
    fn default() -> Self {
        Self { shards: Default::default(), hash: RandomState::new(), began: Instant::now() }
    }
}

impl Clients {
    /// One more connection of an address. `Ok(None)`: it is not counted.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        limits: &HttpLimits,
    ) -> Result<Option<Seat>, TooMany> {
        let max = limits.client_connections_max;
        if max == 0 {
            return Ok(None);
        }
        let address = client_of(address);
        let entered = self.with(address, limits.clients_max, self.began.elapsed(), |entry| {
            let is_free = entry.connections < max;
            entry.connections += u32::from(is_free);
            is_free
        });
        match entered {
            Some(true) => Ok(Some(Seat { clients: Arc::clone(self), address })),
            Some(false) => Err(TooMany),
            None => Ok(None),
        }
    }

    /// One more request of an address.
    pub(crate) fn request(&self, address: IpAddr, limits: &HttpLimits) -> Result<(), TooMany> {
        self.request_at(address, limits, self.began.elapsed())
    }

    fn request_at(
        &self,
        address: IpAddr,
        limits: &HttpLimits,
        now: Duration,
    ) -> Result<(), TooMany> {
        let Some(cost_ns) = SECOND_NS.checked_div(limits.client_requests_per_second_max.into())
        else {
            return Ok(());
        };
        let now_ns = now.as_nanos() as u64;
        let taken = self.with(client_of(address), limits.clients_max, now, |entry| {
            let rests_at_ns = entry.rests_at_ns.max(now_ns) + cost_ns;
            let is_free = rests_at_ns - now_ns <= SECOND_NS;
            if is_free {
                entry.rests_at_ns = rests_at_ns;
            }
            is_free
        });
        if taken == Some(false) { Err(TooMany) } else { Ok(()) }
    }

    /// Changes the entry of an address; `None` if there is no room for one.
    fn with<T>(
        &self,
        address: IpAddr,
        clients_max: u32,
        now: Duration,
        change: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let mut shard = self.shard(address)?.lock();
        if let Some(entry) = shard.entries.get_mut(&address) {
            return Some(change(entry));
        }
        let max = (clients_max as usize).div_ceil(SHARDS);
        if shard.entries.len() >= max {
            if now < shard.search_due {
                return None;
            }
            shard.search_due = now + SEARCH_PAUSE;
            let now_ns = now.as_nanos() as u64;
            shard.entries.retain(|_, entry| entry.connections > 0 || entry.rests_at_ns > now_ns);
            if shard.entries.len() >= max {
                return None;
            }
        }
        Some(change(shard.entries.entry(address).or_default()))
    }

    fn shard(&self, address: IpAddr) -> Option<&Mutex<Shard>> {
        self.shards.get(self.hash.hash_one(address) as usize % SHARDS)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(shard) = self.clients.shard(self.address) else { return };
        if let Some(entry) = shard.lock().entries.get_mut(&self.address) {
            entry.connections -= 1;
        }
    }
}

/// Whom an address stands for.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: u32, requests: u32, clients: u32) -> HttpLimits {
        HttpLimits {
            client_connections_max: connections,
            client_requests_per_second_max: requests,
            clients_max: clients,
            ..HttpLimits::default()
        }
    }

    fn v4(last: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + last))
    }

    #[test]
    fn an_address_has_so_many_connections_at_once() {
        let (clients, limits) = (Arc::new(Clients::default()), limits(2, 0, 1024));
        let first = clients.enter(v4(1), &limits).unwrap().unwrap();
        let _second = clients.enter(v4(1), &limits).unwrap().unwrap();
        assert!(clients.enter(v4(1), &limits).is_err());
        assert!(clients.enter(v4(2), &limits).unwrap().is_some());
        drop(first);
        assert!(clients.enter(v4(1), &limits).unwrap().is_some());
        assert!(clients.enter(v4(1), &HttpLimits::default()).unwrap().is_none());
    }

    #[test]
    fn a_seconds_worth_may_come_at_once_and_then_one_by_one() {
        let (clients, limits) = (Clients::default(), limits(0, 4, 1024));
        let at = |ms| clients.request_at(v4(1), &limits, Duration::from_millis(ms)).is_ok();
        assert_eq!([0, 0, 0, 0, 0, 249].map(at), [true, true, true, true, false, false]);
        assert_eq!([250, 250, 500, 749].map(at), [true, false, true, false]);
        assert_eq!([5000, 5000, 5000, 5000, 5000].map(at), [true, true, true, true, false]);
        assert!(clients.request_at(v4(2), &limits, Duration::from_secs(5)).is_ok());
        // Off.
        let off = HttpLimits::default();
        assert!((0..100).all(|_| clients.request_at(v4(1), &off, Duration::ZERO).is_ok()));
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let of = |text: &str| client_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), v4(1));
    }

    #[test]
    fn a_full_table_makes_room_of_those_at_rest_and_locks_no_client_out() {
        let (clients, limits) = (Clients::default(), limits(0, 1, 64));
        let ask = |last, ms| clients.request_at(v4(last), &limits, Duration::from_millis(ms));
        let count = || clients.shards.iter().map(|shard| shard.lock().entries.len()).sum::<usize>();
        for last in 0..10_000 {
            assert_eq!(ask(last, 0), Ok(()));
        }
        // Each of them was busy, so the last had no room and no limit.
        assert_eq!(count(), 64);
        // A second later all are at rest.
        for last in 20_000..20_064 {
            assert_eq!(ask(last, 2000), Ok(()));
        }
        assert!(count() <= 64);
        assert!((20_000..20_064).any(|last| ask(last, 2000) == Err(TooMany)));
    }
}
