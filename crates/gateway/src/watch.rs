// SPDX-License-Identifier: BSD-3-Clause
//! Notifies when a file has new content.
//!
//! The file's folder is watched, because tools replace files rather than rewrite them. Only an
//! event after which the content is complete counts, so there is no debounce timer:
//!
//! | event | seen when |
//! |---|---|
//! | closed after writing | `cp`, linkers |
//! | renamed to the file's name | `mv`, `install`, editors |
//! | created, and has another name or is a symbolic link | `ln`, cargo |
//!
//! # Invariants
//!
//! 1. Any number of events before the reader looks are one notice: nothing queues.
//! 2. A watch that takes another's place begins before that one ends, and has its notices: no event between the two is
//!    lost.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::TARGET;

/// Watches files until it is dropped.
#[derive(Debug)]
pub struct FileWatch {
    _watcher: RecommendedWatcher,
    notices: HashMap<PathBuf, Arc<Notify>>,
}

impl FileWatch {
    /// Begins to watch `paths`.
    ///
    /// # Errors
    /// The system's error, for instance that no inotify watches are left.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, notify::Error> {
        Self::after(None, paths)
    }

    /// Begins to watch `paths`, in the place of another watch: a path of both keeps its notice.
    pub(crate) fn after<'a>(
        before: Option<&Self>,
        paths: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Self, notify::Error> {
        let notice = |path: &Path| before.and_then(|before| before.notice(path));
        let notices: HashMap<PathBuf, Arc<Notify>> = paths
            .into_iter()
            .map(|path| (path.to_owned(), notice(path).unwrap_or_default()))
            .collect();
        // Events name paths below the folder as it was passed to `watch`.
        let by_place: HashMap<PathBuf, Arc<Notify>> =
            notices.iter().map(|(path, notice)| (place_of(path), Arc::clone(notice))).collect();
        let mut folders: Vec<PathBuf> =
            by_place.keys().filter_map(|place| place.parent().map(Path::to_owned)).collect();
        folders.sort();
        folders.dedup();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    tracing::warn!(target: TARGET, %error, "watching files");
                    return;
                }
            };
            let changed = event.paths.iter().filter(|path| is_whole(&event.kind, path));
            changed.filter_map(|path| by_place.get(path)).for_each(|notice| notice.notify_one());
        })?;
        for folder in folders {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        Ok(Self { _watcher: watcher, notices })
    }

    /// What is notified when the file at `path`, as it was given to [`Self::new`], has new content.
    #[must_use]
    pub fn notice(&self, path: &Path) -> Option<Arc<Notify>> {
        self.notices.get(path).cloned()
    }
}

/// The files of a program: those among the words of its command that are there, such as the script that an
/// interpreter is given, relative to `folder`. A program without a `/` is found on `PATH` and is not watched.
pub(crate) fn files_of_command(command: &[String], folder: Option<&Path>) -> Vec<PathBuf> {
    let place = |word: &String| folder.map_or_else(|| word.into(), |folder| folder.join(word));
    let words = command.iter().enumerate();
    let named = words.filter(|(at, word)| *at > 0 || word.contains('/'));
    named.map(|(_, word)| place(word)).filter(|path| path.is_file()).collect()
}

/// The file's name in its folder's canonical path.
fn place_of(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name))
}

/// Whether the content of `path` is whole after an event of this kind.
fn is_whole(kind: &EventKind, path: &Path) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => true,
        EventKind::Create(CreateKind::File | CreateKind::Any | CreateKind::Other) => {
            fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink() || meta.nlink() > 1)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn the_files_of_a_command_are_its_script_and_a_program_with_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("plugin.py").display().to_string();
        fs::write(&script, "").unwrap();
        let files_in = |words: &[&str], folder| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            files_of_command(&words, folder)
        };
        let files = |words: &[&str]| files_in(words, None);
        assert_eq!(files(&["python3", "-u", &script, "absent.py"]), [PathBuf::from(&script)]);
        assert_eq!(files(&[&script]), [PathBuf::from(&script)]);
        let relative = files_in(&["python3", "plugin.py"], Some(folder.path()));
        assert_eq!(relative, [PathBuf::from(&script)]);
        assert!(files(&["python3", folder.path().to_str().unwrap()]).is_empty());
    }

    async fn notices(change: impl FnOnce(&Path, &Path)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.so");
        let other = folder.path().join("other");
        fs::write(&other, "other").unwrap();
        fs::write(&path, "old").unwrap();
        let watch = FileWatch::new([path.as_path()]).unwrap();
        let notice = watch.notice(&path).unwrap();
        change(&path, &other);
        timeout(Duration::from_secs(10), notice.notified()).await.expect("a notice");
    }

    #[tokio::test]
    async fn a_rewritten_file_is_noticed() {
        notices(|path, _| fs::write(path, "new").unwrap()).await;
    }

    #[tokio::test]
    async fn a_replaced_file_is_noticed() {
        notices(|path, other| fs::rename(other, path).unwrap()).await;
    }

    #[tokio::test]
    async fn a_link_in_its_place_is_noticed() {
        notices(|path, other| {
            fs::remove_file(path).unwrap();
            fs::hard_link(other, path).unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_is_not_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("becket.toml"), folder.path().join("other"));
        fs::write(&path, "old").unwrap();
        let watch = FileWatch::new([path.as_path(), other.as_path()]).unwrap();
        let notice = watch.notice(&path).unwrap();
        let mut writing = fs::File::create(&path).unwrap();
        writing.write_all(b"half of it").unwrap();
        // Events come in order: once this one is here, those of the write were seen.
        fs::write(&other, "whole").unwrap();
        let patience = Duration::from_secs(10);
        timeout(patience, watch.notice(&other).unwrap().notified()).await.expect("a notice");
        assert!(notice.notified().now_or_never().is_none(), "noticed while it is open");
        drop(writing);
        timeout(patience, notice.notified()).await.expect("a notice");
    }

    #[tokio::test]
    async fn a_change_before_another_watch_takes_over_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other, more] =
            ["plugin.so", "other", "more"].map(|name| folder.path().join(name));
        let watch = FileWatch::new([path.as_path(), other.as_path()]).unwrap();
        fs::write(&path, "new").unwrap();
        // Events come in order: once this one is here, that of the file was seen.
        fs::write(&other, "marker").unwrap();
        let patience = Duration::from_secs(10);
        timeout(patience, watch.notice(&other).unwrap().notified()).await.expect("a notice");
        let after = FileWatch::after(Some(&watch), [path.as_path(), more.as_path()]).unwrap();
        drop(watch);
        assert!(after.notice(&other).is_none());
        timeout(patience, after.notice(&path).unwrap().notified()).await.expect("a notice");
        for path in [&path, &more] {
            fs::write(path, "newer").unwrap();
            timeout(patience, after.notice(path).unwrap().notified()).await.expect("a notice");
        }
    }
}
