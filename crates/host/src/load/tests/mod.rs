// SPDX-License-Identifier: BSD-3-Clause
//! Tests over real shared libraries, built with the system's C compiler.

mod damage;
mod errors;
mod files;
mod layouts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// What every test plugin begins with: functions to point to, and the documented info.
const PREAMBLE: &str = r#"
#include "nylon_ring.h"
#include <stdlib.h>
#include <string.h>
static NrStatus init(void *c, void *h, const NrHostVTable *v) { (void)c; (void)h; (void)v; return NR_OK; }
static NrStatus handle(void *c, NrStr e, uint64_t s, const NrRequest *r, NrBytes p) {
    (void)c; (void)e; (void)s; (void)r; (void)p; return NR_OK; }
static NrStatus handle_raw(void *c, NrStr e, uint64_t s, NrBytes p) {
    (void)c; (void)e; (void)s; (void)p; return NR_OK; }
static void shutdown(void *c) { (void)c; }
static NrStatus stream_data(void *c, uint64_t s, NrBytes p) { (void)c; (void)s; (void)p; return NR_OK; }
static NrStatus stream_close(void *c, uint64_t s) { (void)c; (void)s; return NR_OK; }
static void *use_all[] __attribute__((used)) = {
    init, handle, handle_raw, shutdown, stream_data, stream_close };
typedef struct Info56 {
    uint32_t abi_version, struct_size; NrStr name, version; void *plugin_ctx; const void *vtable;
} Info56;
"#;

/// The documented five functions.
const FIVE: &str = "init, handle, shutdown, stream_data, stream_close";

/// A directory with plugins that were built for one test.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Builds `source`, with no preamble.
    fn build(&self, name: &str, source: &str, flags: &[&str]) -> PathBuf {
        let c = self.path(&format!("{name}.c"));
        fs::write(&c, source).unwrap();
        let so = self.path(&format!("{name}.so"));
        let include = Path::new(ABI_INCLUDE);
        let output = Command::new("cc")
            .args(["-std=gnu11", "-shared", "-fPIC", "-O1", "-w", "-I"])
            .arg(include)
            .arg("-o")
            .args([&so, &c])
            .args(flags)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        so
    }

    /// Builds a plugin whose entry function runs `body` after the preamble and `items`.
    fn entry(&self, name: &str, items: &str, body: &str, flags: &[&str]) -> PathBuf {
        let source = format!(
            "{PREAMBLE}\n{items}\nconst NrPluginInfo *nylon_ring_get_plugin_v1(void) {{ {body} }}\n"
        );
        self.build(name, &source, flags)
    }

    /// Builds a plugin with the documented info and these vtable words, followed by `beyond`.
    fn table(&self, name: &str, words: &str, flags: &[&str]) -> PathBuf {
        let items =
            format!("static void *const table[] = {{ {words} }};\n{}", info56("table", "1, 56"));
        self.entry(name, &items, "return (const NrPluginInfo *)&info;", flags)
    }
}

/// A static documented info.
fn info56(vtable: &str, head: &str) -> String {
    format!(
        "static const char text[] = \"sample\";\n\
         static Info56 info = {{ {head}, {{ (const uint8_t *)text, 6, 0 }}, \
         {{ (const uint8_t *)text, 3, 0 }}, (void *)0x77, {vtable} }};"
    )
}

const ABI_INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../abi/include");

fn options(layout: Option<Layout>) -> LoadOptions<'static> {
    LoadOptions { search_path: &[], layout, file: None, sha256: None, private_copy: true }
}

/// Loads as [`super::load`] does, for as long as it takes.
fn load(source: &Source, options: &LoadOptions<'_>) -> Result<Loaded, LoadError> {
    super::load(source, options, &|_| Ok(()))
}

fn load_path(path: &Path) -> Result<Loaded, LoadError> {
    load(&Source::Path(path.to_owned()), &options(None))
}

/// The error, its cause and its hint, as a person sees them.
fn failure(path: &Path) -> String {
    message(&load_path(path).unwrap_err())
}

fn message(error: &LoadError) -> String {
    let line = |label, text: Option<String>| {
        text.map_or_else(String::new, |text| format!("\n{label}: {text}"))
    };
    format!("error: {error}{}{}", line("cause", error.cause()), line("hint", error.hint()))
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in:\n{message}");
    }
}
