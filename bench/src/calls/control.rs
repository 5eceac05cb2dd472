// SPDX-License-Identifier: BSD-3-Clause
//! A copy of the plugin's file, and the functions in it that the harness itself calls.
//!
//! # Safety
//!
//! The plugin is this package's own C file, built by its build script: the signatures below are
//! those in `plugin/bench_plugin.c`. The image stays loaded as long as the [`Control`] that holds
//! its function pointers.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use libloading::os::unix::Library;

use crate::error::{BenchError, check};
use crate::machine::SECOND_CPU;

const HOST: &str = "plugin";

/// One host's own copy of the plugin.
pub(crate) struct Control {
    path: PathBuf,
    count: unsafe extern "C" fn(u32) -> u64,
    answerer_start: unsafe extern "C" fn(u32) -> i32,
    answerer_stop: unsafe extern "C" fn(),
    library: Library,
}

impl Control {
    /// Copies the plugin beside the original, so that its statics are this host's alone, and opens
    /// it. A host that opens the same path gets the same image.
    pub(crate) fn copy(host: &str) -> Result<Self, BenchError> {
        let built = Path::new(env!("BENCH_PLUGIN"));
        let path = built.with_file_name(format!("bench_plugin_{host}.so"));
        // A new file each time: another run may have the old one mapped.
        let file = |source| BenchError::File { path: path.clone(), source };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(file(error)),
            _ => fs::copy(built, &path).map_err(file)?,
        };
        // SAFETY: the plugin has no constructors; nothing runs when it is opened.
        let library =
            unsafe { Library::new(&path) }.map_err(|error| BenchError::host(HOST, error))?;
        // SAFETY: the type is the C function's; the pointer is kept with the library.
        let count = unsafe { library.get(b"bench_count\0") }
            .map(|symbol| *symbol)
            .map_err(|error| BenchError::host(HOST, error))?;
        // SAFETY: as above.
        let answerer_start = unsafe { library.get(b"bench_answerer_start\0") }
            .map(|symbol| *symbol)
            .map_err(|error| BenchError::host(HOST, error))?;
        // SAFETY: as above.
        let answerer_stop = unsafe { library.get(b"bench_answerer_stop\0") }
            .map(|symbol| *symbol)
            .map_err(|error| BenchError::host(HOST, error))?;
        Ok(Self { path, count, answerer_start, answerer_stop, library })
    }

    /// The copy's path, for the host to load.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The opened image.
    pub(crate) fn library(&self) -> &Library {
        &self.library
    }

    /// Lets `calls` notify the plugin and checks that it saw as many as were made.
    pub(crate) fn expect_notified(
        &self,
        host: &'static str,
        n: u64,
        calls: impl FnOnce() -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        // SAFETY: loaded; takes any value.
        unsafe { (self.count)(1) };
        let result = calls();
        // SAFETY: as above.
        let counted = unsafe { (self.count)(0) };
        result?;
        check(host, "notifications that arrived", n, counted)
    }

    /// Runs `calls` while the thread that answers the entry `thread` runs.
    pub(crate) fn with_answerer<R>(
        &self,
        calls: impl FnOnce() -> Result<R, BenchError>,
    ) -> Result<R, BenchError> {
        // SAFETY: loaded and initialised by its host; no other answerer runs, since this waits
        // for the end of each.
        let status = unsafe { (self.answerer_start)(SECOND_CPU as u32) };
        check(HOST, "starting the thread that answers", 0, status)?;
        let result = calls();
        // SAFETY: it runs; this waits for its end.
        unsafe { (self.answerer_stop)() };
        result
    }
}
