// SPDX-License-Identifier: BSD-3-Clause
//! The zoo inline: what the host does about each plugin of `examples/zoo`, one test a plugin.
//!
//! The plugins are `NAME.so` in `BECKET_ZOO_DIR`, or in the workspace's `target/zoo`;
//! `cargo xtask zoo` builds them. After each, the plugin's entry `ok` and a healthy plugin beside
//! it still answer, and nothing is left pending.
//!
//! | module | what lives there |
//! |---|---|
//! | `loading` | plugins that must not load, and layouts |
//! | `answers` | statuses, views, texts, leases, owned bytes, ids |
//! | `streams` | frames and floods |
//! | `time` | deadlines, blocking, threads, unloading |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod loading;
mod streams;
mod time;

use std::path::PathBuf;

use becket_abi::NrStatus;
use becket_host::{CallError, Dispatch, Host, Limits, LoadError, Plugin, PluginSpec, Response};

use crate::support::script::{Script, linked as scripted};
use crate::support::{native::workspace, unload_clean, wait::wait};

/// Names the plugins that have a test here, and makes the test of each.
macro_rules! zoo {
    ($($module:ident: $($name:ident)*;)*) => {
        const INLINE: &[&str] = &[$($(stringify!($name),)*)*];

        $($(
            #[test]
            fn $name() {
                crate::$module::$name(stringify!($name));
            }
        )*)*
    };
}

zoo! {
    loading: wrong_version info_too_small null_info null_vtable null_name no_symbol
        unresolved_symbol missing_init missing_handle coroutine_not_thread_safe
        coroutine_stack_too_large init_fails attach_fails layout_documented
        layout_raw layout_short layout_v2 layout_unclear describe_never_ends describe_not_utf8
        resolves_nothing version_of_each_load waits_for_config same_file_twice
        hands_nothing_over;
    answers: status_99_returned status_99_sent null_with_length length_2_44 length_2_62 not_utf8
        writes_to_stdout text_too_long lease_2_63 lease_bad_token lease_too_long lease_never_given_back
        exhausts_leases exhausts_state exhausts_timers exhausts_metrics owned_to_nobody
        answers_twice answers_after_error answers_in_handle_then_errs answers_foreign_sid
        answers_random_sids answers_any_entry forgets_long_payloads forgets_who_was_refused
        keeps_what_leavers_took loses_bytes_of_answers throws_exception panics_in_async;
    streams: answers_after_end frames_after_terminal frames_64_in_handle frames_from_8_threads
        flood_of_frames flood_through_send_result never_takes_frames stream_order
        stream_never_ends loses_bytes;
    time: never_answers blocks_in_handle answers_after_deadline answers_who_has_left
        answers_after_unload shutdown_never_returns
        thread_at_host_drop ignores_cancelled thread_key_destructor thread_local_destructor;
}

/// The plugins that end or cripple their own process, which only the placement `process` survives.
const PROCESS: [&str; 7] = [
    "throws_without_boundary",
    "aborts",
    "segfaults",
    "exits",
    "allocates_without_end",
    "overflows_stack",
    "waits_with_lock",
];

/// `examples/zoo/zoo.toml`, as a table by name.
fn catalogue() -> Vec<toml::Table> {
    let text = std::fs::read_to_string(workspace().join("examples/zoo/zoo.toml")).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    let Some(toml::Value::Array(plugins)) = table.remove("plugin") else { panic!("no plugins") };
    plugins.into_iter().map(|plugin| plugin.try_into().unwrap()).collect()
}

fn text<'a>(plugin: &'a toml::Table, key: &str) -> &'a str {
    plugin.get(key).and_then(toml::Value::as_str).unwrap_or("")
}

#[test]
fn every_plugin_of_the_zoo_has_a_test_or_is_marked_process() {
    let mut inline = Vec::new();
    let mut process = Vec::new();
    for plugin in &catalogue() {
        let name = text(plugin, "name").to_owned();
        let source = workspace().join("examples/zoo").join(text(plugin, "file"));
        assert!(source.exists(), "{name}: no {}", source.display());
        assert!(library(&name).is_file(), "{name}");
        match text(plugin, "placement") {
            "inline" => inline.push(name),
            "process" => process.push(name),
            other => panic!("{name}: placement `{other}`"),
        }
    }
    inline.sort();
    process.sort();
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(inline, sorted(INLINE));
    assert_eq!(process, sorted(&PROCESS));
}

fn library(name: &str) -> PathBuf {
    let folder = std::env::var_os("BECKET_ZOO_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| workspace().join("target/zoo"));
    let path = folder.join(name).with_extension("so");
    assert!(path.is_file(), "no {}; `cargo xtask zoo` builds it", path.display());
    path
}

/// A plugin of the zoo in a host, with a healthy one beside it.
struct Specimen {
    host: Host,
    plugin: Plugin,
    healthy: Plugin,
}

impl Specimen {
    fn load(name: &str, dispatch: Dispatch) -> Self {
        Self::load_with(name, |spec| spec.dispatch(dispatch))
    }

    fn load_limited(name: &str, limits: Limits) -> Self {
        Self::load_with(name, |spec| spec.limits(limits).dispatch(Dispatch::Caller))
    }

    fn load_with(name: &str, configure: impl FnOnce(PluginSpec) -> PluginSpec) -> Self {
        let host = Host::new();
        let (healthy, _) = Script::echo().load(&host, "healthy");
        let plugin = host.load(configure(PluginSpec::path(name, library(name))));
        let plugin = plugin.unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { host, plugin, healthy }
    }

    fn hit(&self) -> Result<Response, CallError> {
        wait(self.plugin.call_raw("hit", b""))
    }

    /// Calls `hit` and asserts its answer.
    fn answers(&self, wanted: &[u8]) {
        let response = self.hit().unwrap();
        assert_eq!((response.status, &*response.body), (NrStatus::Ok, wanted));
    }

    /// Answers that were not taken, by whatever cause.
    fn refused(&self) -> u64 {
        let refused = self.plugin.snapshot().refused_answers;
        refused.unknown + refused.late + refused.foreign + refused.invalid
    }

    /// The entry `ok` and the healthy plugin answer.
    fn is_well(&self) {
        let response = wait(self.plugin.call_raw("ok", b"")).unwrap();
        assert_eq!((response.status, &*response.body), (NrStatus::Ok, &b"ok"[..]));
        assert_eq!(*self.plugin.call_now("ok", b"").unwrap().body, *b"ok");
        assert_eq!(*wait(self.healthy.call_raw("x", b"fine")).unwrap().body, *b"fine");
    }

    /// All is well, nothing is pending, and it unloads without anything left.
    fn end(self) {
        self.is_well();
        let snapshot = self.plugin.snapshot();
        assert_eq!((snapshot.pending, snapshot.streams), (0, 0), "{snapshot:?}");
        assert_eq!(snapshot.calls, snapshot.ok + snapshot.failed.total(), "{snapshot:?}");
        unload_clean(&self.host, &self.plugin);
        assert_eq!(*wait(self.healthy.call_raw("x", b"fine")).unwrap().body, *b"fine");
    }
}

/// Loads a plugin that must be refused as the catalogue says, and returns why.
fn refused(name: &str) -> LoadError {
    let host = Host::new();
    let result = host.load(PluginSpec::path(name, library(name)));
    let Err(error) = result else { panic!("{name} was loaded") };
    let catalogue = catalogue();
    let entry = catalogue.iter().find(|plugin| text(plugin, "name") == name).unwrap();
    let debug = format!("{error:?}");
    let variant = debug.split([' ', '{']).next().unwrap();
    assert_eq!(variant, text(entry, "error"), "{error}");
    assert!(error.to_string().contains(name), "it names the plugin: {error}");
    assert!(host.plugin(name).is_none());
    let (healthy, _) = Script::echo().load(&host, "healthy");
    assert!(healthy.call_now("x", b"").unwrap().status.is_ok());
    error
}

/// Both ways in which `handle` may run.
const BOTH: [Dispatch; 2] = [Dispatch::Caller, Dispatch::Worker];
