// SPDX-License-Identifier: BSD-3-Clause
//! The suite of `crates/host/tests/languages` over plugins in processes of their own: the same files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../../../host/tests/support/mod.rs"]
mod support;

#[path = "../../../host/tests/languages/lifecycle.rs"]
mod lifecycle;
#[path = "../../../host/tests/languages/long.rs"]
mod long;
#[path = "../../../host/tests/languages/streams.rs"]
mod streams;
#[path = "../../../host/tests/languages/suite.rs"]
mod suite;
#[path = "../../../host/tests/languages/unary.rs"]
mod unary;

use std::path::PathBuf;
use std::sync::Arc;

use becket_host::PluginSpec;
use becket_process::Process;

use crate::suite::{Sample, sample};

/// The plugins run in this process.
const IS_INLINE: bool = false;

fn spec(name: &str, path: PathBuf) -> PluginSpec {
    let worker = vec![env!("CARGO_BIN_EXE_becket-worker").into()];
    let interpreter = match path.extension().and_then(|extension| extension.to_str()) {
        Some("js") => "node",
        Some("py") => "python3",
        _ => return PluginSpec::remote(name, Arc::new(Process::native(worker, path))),
    };
    let process = Process::program(worker, vec![interpreter.into(), path.into()]);
    PluginSpec::remote(name, Arc::new(process))
}

/// One test of each function for a program. It has no flags and no layout, and no image that could be left.
macro_rules! program {
    ($($module:ident: $($test:ident)*;)*) => {
        program!(@ node $($module: $($test)*;)*);
        program!(@ python $($module: $($test)*;)*);
    };
    (@ $language:ident $($module:ident: $($test:ident)*;)*) => {
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

program! {
    unary: greets_and_says_what_it_saw echoes_every_length state_is_read_back
        slow_answers_in_time slow_is_cancelled_at_the_deadline fails_as_asked
        an_unknown_entry_is_named many_threads_call_at_once;
    streams: five_frames_in_order a_chat_of_a_thousand_messages a_pipelined_chat_loses_nothing
        many_chats_at_once a_chat_that_is_dropped_is_forgotten;
    long: an_answer_too_long_ends_its_call a_frame_too_long_ends_its_stream;
    lifecycle: takes_its_configuration its_logs_reach_the_host
        reloads_while_streams_are_open is_gone_after_an_unload;
}
