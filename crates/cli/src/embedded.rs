// SPDX-License-Identifier: BSD-3-Clause
//! The files of the repository that this binary contains: templates, headers, SDKs.

/// Path in the repository, content.
pub(crate) type File = (&'static str, &'static [u8]);

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files under `folder`, with paths relative to it.
pub(crate) fn folder(folder: &str) -> impl Iterator<Item = File> {
    FILES.iter().filter_map(move |(path, content)| {
        let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
        Some((rest, *content))
    })
}

/// One file's text; empty if there is none.
pub(crate) fn text(path: &str) -> &'static str {
    FILES
        .iter()
        .find(|(name, _)| *name == path)
        .and_then(|(_, content)| std::str::from_utf8(content).ok())
        .unwrap_or_default()
}
