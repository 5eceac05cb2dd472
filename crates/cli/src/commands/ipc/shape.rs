// SPDX-License-Identifier: BSD-3-Clause
//! The kind and capacity of a channel on the command line: `bounded:64`, `jobs:rendezvous`.

use std::fmt;
use std::str::FromStr;

use becket_chan::Kind;
use becket_ipc::channels::CAPACITY_MAX;
use becket_ipc::{Info, kind_name, kind_of};

/// `KIND[:CAPACITY]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// Of a bounded one; zero otherwise.
    pub(super) capacity: usize,
}

/// `NAME:KIND[:CAPACITY]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) shape: Shape,
}

/// The default capacity of a bounded channel.
const CAPACITY: usize = 64;

impl Shape {
    /// Whether an existing channel has this shape.
    pub(super) fn is_of(&self, info: &Info) -> bool {
        let bounded = self.kind == Kind::Bounded;
        info.kind == kind_name(self.kind) && (!bounded || info.capacity == Some(self.capacity))
    }
}

/// A channel's shape, as the server described it.
pub(super) fn of(info: &Info) -> String {
    match info.capacity {
        Some(capacity) if info.kind == "bounded" => format!("bounded:{capacity}"),
        _ => info.kind.clone(),
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(kind_name(self.kind))?;
        if self.kind == Kind::Bounded {
            write!(f, ":{}", self.capacity)?;
        }
        Ok(())
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, capacity) = match text.split_once(':') {
            Some((kind, capacity)) => (kind, Some(capacity)),
            None => (text, None),
        };
        let kind = kind_of(kind).ok_or_else(|| {
            format!("{kind:?} is none of rendezvous, bounded:N, conflated, unlimited")
        })?;
        let capacity = match (kind, capacity) {
            (Kind::Bounded, None) => CAPACITY,
            (Kind::Bounded, Some(text)) => text
                .parse()
                .ok()
                .filter(|capacity| (1..=CAPACITY_MAX).contains(capacity))
                .ok_or_else(|| format!("a bounded channel holds 1 to {CAPACITY_MAX} elements"))?,
            (_, None) => 0,
            (_, Some(_)) => return Err("only a bounded channel has a capacity".into()),
        };
        Ok(Self { kind, capacity })
    }
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, shape)) = text.split_once(':').filter(|(name, _)| !name.is_empty()) else {
            return Err("write it as NAME:KIND, such as jobs:bounded:64".into());
        };
        Ok(Self { name: name.to_owned(), shape: shape.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_as_they_are_written() {
        for text in ["rendezvous", "bounded:1", "bounded:1048576", "conflated", "unlimited"] {
            assert_eq!(text.parse::<Shape>().unwrap().to_string(), text);
        }
        assert_eq!("bounded".parse::<Shape>().unwrap().to_string(), "bounded:64");
        for wrong in ["", "queue", "bounded:0", "bounded:x", "bounded:1048577", "unlimited:4"] {
            assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
        }
        let named: Named = "jobs:bounded:8".parse().unwrap();
        assert_eq!((named.name.as_str(), named.shape.capacity), ("jobs", 8));
        for wrong in ["jobs", ":bounded", "jobs:", "jobs:bounded:8:9"] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }
}
