// SPDX-License-Identifier: BSD-3-Clause
//! What the suite's program of each placement shares: a loaded sample, and the list of the tests.

use std::path::PathBuf;

use becket_host::{Host, Limits, Plugin, PluginSpec};

use crate::{
    spec,
    support::{self, native::workspace, unload_clean},
};

/// A sample, loaded into a host of its own.
pub(crate) struct Sample {
    pub(crate) host: Host,
    pub(crate) plugin: Plugin,
}

impl Sample {
    /// `None` if this language was not asked for.
    pub(crate) fn load(
        language: &'static str,
        configure: impl FnOnce(PluginSpec) -> PluginSpec,
    ) -> Option<Self> {
        let path = sample(language)?;
        let host = Host::new();
        let plugin = host.load(configure(spec(language, path)));
        Some(Self { host, plugin: plugin.unwrap_or_else(|error| panic!("{error}")) })
    }

    /// With small queues, so that backpressure happens.
    pub(crate) fn load_small(language: &'static str) -> Option<Self> {
        let limits = Limits { stream_frames_max: 4, ..Limits::default() };
        Self::load(language, |spec| spec.limits(limits))
    }

    /// Ends it, and asserts that nothing is left.
    pub(crate) fn end(self) {
        let snapshot = self.plugin.snapshot();
        // Notifications may still wait for a worker: the unload waits for them.
        assert!(snapshot.pending <= snapshot.notifies, "{snapshot:?}");
        assert_eq!(snapshot.streams, 0, "{snapshot:?}");
        assert_eq!(snapshot.calls, snapshot.ok + snapshot.failed.total(), "{snapshot:?}");
        unload_clean(&self.host, &self.plugin);
    }
}

/// Where the plugin of this language is; `None` if the language was not asked for.
pub(crate) fn sample(language: &str) -> Option<PathBuf> {
    // Before anything is logged.
    support::logs::capture();
    if let Ok(wanted) = std::env::var("BECKET_LANGUAGES")
        && !wanted.split(',').any(|wanted| wanted.trim() == language)
    {
        return None;
    }
    // Programs: nothing is built.
    match language {
        "node" => return Some(workspace().join("examples/plugins/node/plugin.js")),
        "python" => return Some(workspace().join("examples/plugins/python/plugin.py")),
        _ => {}
    }
    let folder = std::env::var_os("BECKET_SAMPLES_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| workspace().join("target/plugins"));
    let path = folder.join(format!("libsample_{language}.so"));
    assert!(path.is_file(), "no {}; `cargo xtask plugins` builds it", path.display());
    Some(path)
}

/// Makes one test of each function for each language. Programs have no flags and no layout to check,
/// and no image that could be left.
macro_rules! suite {
    (natives: $($language:ident)*) => {
        $(suite!(@ $language says_what_it_is reloads_leave_no_image);)*
    };
    (programs: $($language:ident)*) => {
        $(suite!(@ $language);)*
    };
    (@ $language:ident $($native:ident)*) => {
        suite! { @@ $language
            unary: greets_and_says_what_it_saw echoes_every_length state_is_read_back
                slow_answers_in_time slow_is_cancelled_at_the_deadline fails_as_asked
                an_unknown_entry_is_named many_threads_call_at_once;
            streams: five_frames_in_order a_chat_of_a_thousand_messages
                a_pipelined_chat_loses_nothing many_chats_at_once
                a_chat_that_is_dropped_is_forgotten;
            long: an_answer_too_long_ends_its_call a_frame_too_long_ends_its_stream;
            lifecycle: takes_its_configuration its_logs_reach_the_host
                reloads_while_streams_are_open is_gone_after_an_unload $($native)*;
        }
    };
    (@@ $language:ident $($module:ident: $($test:ident)*;)*) => {
        mod $language {
            $($(
                #[test]
                fn $test() {
                    crate::$module::$test(stringify!($language));
                }
            )*)*
        }
    };
}

suite!(natives: rust c cpp go zig);
