// SPDX-License-Identifier: BSD-3-Clause
//! The C headers say what the Rust types say.
//!
//! The types, fields and constants are listed once, below. The list makes a C program that prints
//! every size, alignment and offset as a C compiler sees them, and the same lines as Rust sees
//! them; the two must be equal. The list itself cannot be short: a pattern over every field keeps
//! it complete on the Rust side, a search of the headers on the C side.
//!
//! `CC` and `CXX` name the compilers; `cc` and `c++` without them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use becket_abi::v2::{
    HostVTable as NrV2HostVTable, NrVec, PluginInfo as NrV2PluginInfo,
    PluginVTable as NrV2PluginVTable,
};
use becket_abi::{
    BkEntryInfo, BkHostApi, NrBufferLease, NrBytes, NrHeader, NrHostExt, NrHostVTable,
    NrOwnedBytes, NrPluginInfo, NrPluginVTable, NrRequest, NrStatus, NrStr,
};

const HEADERS: [&str; 3] = ["nylon_ring.h", "becket.h", "nylon_ring_v2.h"];

/// One line of the comparison for each type and field: `Type size align`, `Type.field offset size`.
macro_rules! types {
    ($($type:ident { $($field:ident),* $(,)? })*) => {
        const TYPES: &[(&str, &[&str])] = &[$((stringify!($type), &[$(stringify!($field)),*])),*];

        fn rust_layout() -> String {
            let mut lines = String::new();
            $({
                line(&mut lines, stringify!($type), size_of::<$type>(), align_of::<$type>());
                // All fields, or this does not compile.
                let _all = |value: &$type| { let $type { $($field: _),* } = value; };
                $(
                    let name = concat!(stringify!($type), ".", stringify!($field));
                    let size = size_of_field(|value: &$type| &value.$field);
                    line(&mut lines, name, std::mem::offset_of!($type, $field), size);
                )*
            })*
            lines
        }
    };
}

/// `NAME value` for each constant.
macro_rules! constants {
    ($($name:ident = $value:expr),* $(,)?) => {
        const CONSTANTS: &[&str] = &[$(stringify!($name)),*];

        fn rust_constants() -> String {
            let mut lines = String::new();
            $(writeln!(lines, "{} {}", stringify!($name), u64::from($value)).unwrap();)*
            lines
        }
    };
}

types! {
    NrStr { ptr, len, _reserved }
    NrBytes { ptr, len }
    NrOwnedBytes { ptr, len, owner_ctx, release }
    NrBufferLease { ptr, cap, token }
    NrHeader { key, value }
    NrRequest { path, method, query, headers, headers_len, _reserved0, _reserved1 }
    NrHostVTable { send_result }
    NrHostExt { set_state, get_state }
    BkEntryInfo { struct_size, kind, name, help }
    NrPluginVTable {
        init, handle, shutdown, stream_data, stream_close, handle_raw, resolve_entry, handle_by_id,
        describe, cancel, reload_export, reload_import, stream_room,
    }
    NrPluginInfo {
        abi_version, struct_size, name, version, plugin_ctx, vtable, vtable_size, flags,
        config_default, attach, coroutine_stack_bytes,
    }
    BkHostApi {
        struct_size, api_version, send, send_wait, send_owned, lease_acquire, lease_commit,
        lease_release, stream_ready, state_set, state_get, host_ext, is_cancelled, remaining_ms,
        log_enabled, log, metric_register, counter_add, gauge_set, histogram_record, timer_start,
        timer_cancel, config, config_get, coroutine_current, coroutine_yield, coroutine_sleep,
        coroutine_spawn, stream_recv, stream_send, channel_make, channel_send, channel_recv,
        channel_close, channel_destroy,
    }
    NrVec { ptr, len, cap, owned, _reserved, drop_fn }
    NrV2HostVTable {
        send_result, send_result_owned, acquire_result_buffer, commit_result_buffer,
    }
    NrV2PluginVTable {
        init, handle, shutdown, stream_data, stream_close, resolve_entry, handle_by_id,
    }
    NrV2PluginInfo { abi_version, struct_size, name, version, plugin_ctx, vtable }
}

constants! {
    NR_ABI_VERSION = becket_abi::NR_ABI_VERSION,
    NR_V2_ABI_VERSION = becket_abi::v2::ABI_VERSION,
    NR_V2_ENTRY_UNKNOWN = becket_abi::BK_ENTRY_UNKNOWN,
    NR_PLUGIN_INFO_SIZE_DOCUMENTED = NrPluginInfo::STRUCT_SIZE_DOCUMENTED,
    NR_OK = NrStatus::Ok.0,
    NR_ERR = NrStatus::Err.0,
    NR_INVALID = NrStatus::Invalid.0,
    NR_UNSUPPORTED = NrStatus::Unsupported.0,
    NR_STREAM_END = NrStatus::StreamEnd.0,
    NR_PANIC = NrStatus::Panic.0,
    NR_BACKPRESSURE = NrStatus::Backpressure.0,
    NR_TIMEOUT = NrStatus::Timeout.0,
    NR_CANCELLED = NrStatus::Cancelled.0,
    NR_CLOSED = NrStatus::Closed.0,
    NR_TOO_LONG = NrStatus::TooLong.0,
    BK_ENTRY_UNARY = becket_abi::BK_ENTRY_UNARY,
    BK_ENTRY_STREAM = becket_abi::BK_ENTRY_STREAM,
    BK_ENTRY_BIDIRECTIONAL = becket_abi::BK_ENTRY_BIDIRECTIONAL,
    BK_ENTRY_NEVER_WAITS = becket_abi::BK_ENTRY_NEVER_WAITS,
    BK_ENTRY_UNKNOWN = becket_abi::BK_ENTRY_UNKNOWN,
    BK_PLUGIN_THREAD_SAFE = becket_abi::BK_PLUGIN_THREAD_SAFE,
    BK_PLUGIN_MULTI_INSTANCE = becket_abi::BK_PLUGIN_MULTI_INSTANCE,
    BK_PLUGIN_WANTS_COROUTINE = becket_abi::BK_PLUGIN_WANTS_COROUTINE,
    BK_PLUGIN_MAY_UNLOAD = becket_abi::BK_PLUGIN_MAY_UNLOAD,
    BK_PLUGIN_NEVER_BLOCKS = becket_abi::BK_PLUGIN_NEVER_BLOCKS,
    BK_HOST_API_VERSION = becket_abi::BK_HOST_API_VERSION,
    BK_LOG_ERROR = becket_abi::BK_LOG_ERROR,
    BK_LOG_WARN = becket_abi::BK_LOG_WARN,
    BK_LOG_INFO = becket_abi::BK_LOG_INFO,
    BK_LOG_DEBUG = becket_abi::BK_LOG_DEBUG,
    BK_LOG_TRACE = becket_abi::BK_LOG_TRACE,
    BK_METRIC_COUNTER = becket_abi::BK_METRIC_COUNTER,
    BK_METRIC_GAUGE = becket_abi::BK_METRIC_GAUGE,
    BK_METRIC_HISTOGRAM = becket_abi::BK_METRIC_HISTOGRAM,
    BK_METRIC_UNKNOWN = becket_abi::BK_METRIC_UNKNOWN,
    BK_FOREVER = becket_abi::BK_FOREVER,
    BK_NO_DEADLINE = becket_abi::BK_NO_DEADLINE,
}

/// What is neither a type nor a constant: guards, and macros that take or are something else.
const NOT_CONSTANTS: [&str; 6] =
    ["NYLON_RING_H", "BECKET_H", "NYLON_RING_V2_H", "NR_EXPORT", "NR_STR", "BK_HAS"];

#[test]
fn layouts_and_constants_are_equal() {
    let printed = printed_by_c(&include(), &scratch("layout"));
    let expected = rust_layout() + &rust_constants();
    for (c, rust) in printed.lines().zip(expected.lines()) {
        assert_eq!(c, rust, "the header (left) and the Rust type (right) differ");
    }
    assert_eq!(printed, expected);
}

/// The comparison can fail: with any two neighbours of a structure swapped, it does.
#[test]
fn a_moved_field_is_noticed() {
    let folder = scratch("moved");
    for header in HEADERS {
        std::fs::copy(include().join(header), folder.join(header)).unwrap();
    }
    let moved = [
        (
            "becket.h",
            "    uint32_t struct_size;\n    uint32_t api_version;",
            "    uint32_t api_version;\n    uint32_t struct_size;",
        ),
        (
            "nylon_ring.h",
            "    uint64_t cap; /* bytes */\n    uint64_t token;",
            "    uint64_t token;\n    uint64_t cap; /* bytes */",
        ),
        (
            "nylon_ring.h",
            "    uint64_t len; /* bytes */\n} NrBytes;",
            "    uint32_t len; /* bytes */\n} NrBytes;",
        ),
        ("nylon_ring.h", "BK_PLUGIN_MAY_UNLOAD 8u", "BK_PLUGIN_MAY_UNLOAD 16u"),
        (
            "nylon_ring_v2.h",
            "    uint64_t cap; /* bytes */\n    uint8_t owned;",
            "    uint8_t owned;\n    uint64_t cap; /* bytes */",
        ),
    ];
    let expected = rust_layout() + &rust_constants();
    for (header, from, to) in moved {
        let original = std::fs::read_to_string(include().join(header)).unwrap();
        assert!(original.contains(from), "{header} has no longer: {from}");
        std::fs::write(folder.join(header), original.replace(from, to)).unwrap();
        assert_ne!(printed_by_c(&folder, &folder), expected, "not noticed: {to}");
        std::fs::write(folder.join(header), original).unwrap();
    }
}

/// Every structure and every constant of the headers is in the lists above.
#[test]
fn the_lists_are_complete() {
    let mut types = Vec::new();
    let mut constants = Vec::new();
    for header in HEADERS {
        let text = std::fs::read_to_string(include().join(header)).unwrap();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("typedef struct ") {
                types.push(word(rest));
            } else if let Some(rest) = line.strip_prefix("#define ") {
                constants.push(word(rest));
            }
        }
    }
    types.sort_unstable();
    let mut listed: Vec<_> = TYPES.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort_unstable();
    assert_eq!(types, listed);

    constants.retain(|name| !NOT_CONSTANTS.contains(&name.as_str()));
    constants.sort_unstable();
    let mut listed: Vec<_> = CONSTANTS.iter().map(|name| (*name).to_owned()).collect();
    listed.sort_unstable();
    assert_eq!(constants, listed);
}

#[test]
fn headers_are_strict_c11_and_cpp17_in_any_order_and_twice() {
    let folder = scratch("strict");
    for (i, headers) in [&HEADERS[..1], &HEADERS[1..2], &HEADERS[2..], &HEADERS].iter().enumerate()
    {
        for reversed in [false, true] {
            let mut once = headers.to_vec();
            if reversed {
                once.reverse();
            }
            let mut source = String::new();
            for header in once.iter().chain(&once) {
                writeln!(source, "#include \"{header}\"").unwrap();
            }
            source.push_str("NrStr probe(void);\nNrStr probe(void) { return NR_STR(\"text\"); }\n");
            for (extension, compiler, standard) in
                [("c", cc(), "-std=c11"), ("cpp", cxx(), "-std=c++17")]
            {
                let file = folder.join(format!("{i}{reversed}.{extension}"));
                std::fs::write(&file, &source).unwrap();
                run(Command::new(&compiler)
                    .args([standard, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
                    .arg("-I")
                    .arg(include())
                    .arg(&file));
            }
        }
    }
}

/// Compiles and runs the program that prints the layout, against the headers of `include`.
fn printed_by_c(include: &Path, folder: &Path) -> String {
    let mut source = String::from(
        "#include \"becket.h\"\n#include \"nylon_ring_v2.h\"\n#include <stdio.h>\nint main(void) {\n",
    );
    for (name, fields) in TYPES {
        writeln!(source, "printf(\"{name} %zu %zu\\n\", sizeof({name}), _Alignof({name}));")
            .unwrap();
        for field in *fields {
            writeln!(
                source,
                "printf(\"{name}.{field} %zu %zu\\n\", offsetof({name}, {field}), \
                 sizeof((({name} *)0)->{field}));"
            )
            .unwrap();
        }
    }
    for name in CONSTANTS {
        writeln!(source, "printf(\"{name} %llu\\n\", (unsigned long long)({name}));").unwrap();
    }
    source.push_str("return 0;\n}\n");
    let (file, program) = (folder.join("layout.c"), folder.join("layout"));
    std::fs::write(&file, source).unwrap();
    run(Command::new(cc())
        .args(["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(include)
        .arg(&file)
        .arg("-o")
        .arg(&program));
    run(&mut Command::new(program))
}

fn line(lines: &mut String, name: &str, first: usize, second: usize) {
    writeln!(lines, "{name} {first} {second}").unwrap();
}

fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("headers").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn cc() -> String {
    std::env::var("CC").unwrap_or_else(|_| "cc".into())
}

fn cxx() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".into())
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
