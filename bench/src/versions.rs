// SPDX-License-Identifier: BSD-3-Clause
//! The peers' versions, as the manifest pins them.

/// Each pinned crate that is asked for, with its version.
pub(crate) fn pinned(asked_for: impl Fn(&str) -> bool) -> Vec<String> {
    const MANIFEST: &str = include_str!("../Cargo.toml");
    let pinned = MANIFEST.lines().filter_map(|line| {
        let (name, rest) = line.split_once(" = ")?;
        let (_, version) = rest.split_once("\"=")?;
        let (version, _) = version.split_once('"')?;
        asked_for(name).then(|| format!("{name} {version}"))
    });
    pinned.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_its_version() {
        let found = pinned(|name| name == "flume");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("flume 0."), "{found:?}");
    }
}
