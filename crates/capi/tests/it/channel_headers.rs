// SPDX-License-Identifier: BSD-3-Clause
//! The C headers of channels say what the Rust types say.
//!
//! The types and their fields are listed once, below. The list makes a C program that prints every
//! size, alignment and offset as a C compiler sees them, and the same lines as Rust sees them; the
//! two must be equal. A pattern over every field keeps the list complete on the Rust side, the
//! documented sizes on both.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::common::{C, CPP, folder, include, run};
use kcoro::cancel::CancelCtx;
use kcoro::chan::descriptor::{PtrMsg, Zdesc};
use kcoro::chan::pointer::ChanZstats;
use kcoro::config::RuntimeConfig;
use kcoro::errno;
use kcoro::metrics::MetricsEvent;
use kcoro::stats::{ChanRateSample, ChanSnapshot, ChanStats};
use kcoro::zcopy::registry::BackendOps;

const HEADERS: [&str; 15] = [
    "kcoro_ext.h",
    "kc_job.h",
    "kc_context.h",
    "kcoro_core.h",
    "kcoro_dispatch.h",
    "kcoro_sched.h",
    "kcoro.h",
    "kcoro_abi.h",
    "kcoro_task.h",
    "kc_cancel.h",
    "kcoro_zcopy.h",
    "kcoro_config.h",
    "kcoro_config_runtime.h",
    "kcoro_port.h",
    "port/posix.h",
];

/// `C name: size align`, then `C name.field offset size`, for each type.
macro_rules! types {
    ($($type:ident as $name:literal = $size:literal { $($field:ident),* $(,)? })*) => {
        const TYPES: &[(&str, &[&str])] = &[$(($name, &[$(stringify!($field)),*])),*];

        fn rust_layout() -> String {
            let mut lines = String::new();
            $({
                assert_eq!(size_of::<$type>(), $size, "{}: as documented", $name);
                line(&mut lines, $name, size_of::<$type>(), align_of::<$type>());
                // All fields, or this does not compile.
                let _all = |value: &$type| { let $type { $($field: _),* } = value; };
                $(
                    let name = concat!($name, ".", stringify!($field));
                    let size = size_of_field(|value: &$type| &value.$field);
                    line(&mut lines, name, std::mem::offset_of!($type, $field), size);
                )*
            })*
            lines
        }
    };
}

types! {
    CancelCtx as "kc_cancel_ctx_t" = 16 { parent, token }
    Zdesc as "kc_zdesc_t" = 40 { addr, len, region_id, offset, flags }
    PtrMsg as "struct kc_chan_ptrmsg" = 16 { ptr, len }
    BackendOps as "kc_zcopy_backend_ops_t" = 48 { attach, detach, send, recv, send_c, recv_c }
    ChanZstats as "struct kc_chan_zstats" = 48 {
        zref_sent, zref_received, zref_fallback_small, zref_fallback_capacity, zref_canceled,
        zref_aborted_close,
    }
    ChanStats as "struct kc_chan_stats" = 88 {
        total_sends, total_recvs, total_bytes_sent, total_bytes_recv, first_op_time_ns,
        last_op_time_ns, send_rate_ops_sec, recv_rate_ops_sec, send_rate_bytes_sec,
        recv_rate_bytes_sec, duration_sec,
    }
    ChanSnapshot as "struct kc_chan_snapshot" = 208 {
        chan, kind, elem_sz, capacity, count, capabilities, closed, zref_mode, ptr_mode,
        total_sends, total_recvs, total_bytes_sent, total_bytes_recv, first_op_time_ns,
        last_op_time_ns, send_eagain, send_etime, send_epipe, recv_eagain, recv_etime, recv_epipe,
        zref_sent, zref_received, zref_aborted_close, rv_matches, rv_cancels, rv_zdesc_matches,
        duration_sec,
    }
    ChanRateSample as "struct kc_chan_rate_sample" = 128 {
        delta_sends, delta_recvs, delta_bytes_sent, delta_bytes_recv, delta_send_eagain,
        delta_recv_eagain, delta_send_epipe, delta_recv_epipe, delta_rv_matches, delta_rv_cancels,
        delta_rv_zdesc_matches, interval_sec, sends_per_sec, recvs_per_sec, bytes_sent_per_sec,
        bytes_recv_per_sec,
    }
    MetricsEvent as "struct kc_chan_metrics_event" = 96 {
        chan, total_sends, total_recvs, total_bytes_sent, total_bytes_recv, delta_sends,
        delta_recvs, delta_bytes_sent, delta_bytes_recv, first_op_time_ns, last_op_time_ns,
        emit_time_ns,
    }
    RuntimeConfig as "struct kc_runtime_config" = 32 {
        chan_metrics_emit_min_ops, chan_metrics_emit_min_ms, chan_metrics_auto_enable,
        chan_metrics_pipe_capacity,
    }
}

/// What C has a name for, and the number that it must be.
const NUMBERS: [(&str, i64); 37] = [
    ("KC_CHAN_SUSPEND", 0),
    ("KC_CHAN_DROP_OLDEST", 1),
    ("KC_CHAN_DROP_LATEST", 2),
    ("KC_CHAN_DROP_NEWEST", 2),
    ("sizeof(kc_chan_policy_t)", 4),
    ("KC_EAGAIN", errno::EAGAIN as i64),
    ("KC_EPIPE", errno::EPIPE as i64),
    ("KC_ETIME", errno::ETIME as i64),
    ("KC_ECANCELED", errno::ECANCELED as i64),
    ("KC_ENOTSUP", errno::ENOTSUP as i64),
    ("KC_RENDEZVOUS", 0),
    ("KC_BUFFERED", 1),
    ("KC_CONFLATED", -1),
    ("KC_UNLIMITED", -2),
    ("KC_SELECT_CLAUSE_RECV", 0),
    ("KC_SELECT_CLAUSE_SEND", 1),
    ("KC_CHAN_CAP_ZERO_COPY", 1),
    ("KC_CHAN_CAP_PTR", 2),
    ("KC_REGION_F_NONE", 0),
    ("KC_CHAN_SNAPSHOT_DEFINED", 1),
    ("KC_CHAN_RATE_SAMPLE_DEFINED", 1),
    ("KC_ZCOPY_SENT", 0),
    ("KC_ZCOPY_RECEIVED", 1),
    ("KC_ZCOPY_FALLBACK_SMALL", 2),
    ("KC_ZCOPY_FALLBACK_CAPACITY", 3),
    ("KC_ZCOPY_CANCELED", 4),
    ("KC_ZCOPY_ABORTED_CLOSE", 5),
    ("KCORO_CANCEL_SLICE_MS", 50),
    ("KCORO_UNLIMITED_INIT_CAP", 64),
    ("KCORO_IPC_BACKLOG", 8),
    ("KCORO_IPC_MAX_TLV_ELEM", 65535),
    ("KCORO_ABI_MAJOR", 0),
    ("KCORO_ABI_MINOR", 2),
    ("KC_TASK_FINISHED", 3),
    ("sizeof(kc_task_ctx_t)", 24),
    ("sizeof(kc_actor_ctx_t)", 40),
    ("sizeof(kc_actor_ctx_ex_t)", 48),
];

#[test]
fn layouts_and_numbers_are_equal() {
    let printed = printed_by_c(&include(), &folder());
    let expected = rust_side();
    for (c, rust) in printed.lines().zip(expected.lines()) {
        assert_eq!(c, rust, "the header (left) and the Rust type (right) differ");
    }
    assert_eq!(printed, expected);
}

/// The comparison can fail: with two neighbours of a structure swapped, it does.
#[test]
fn a_moved_field_is_noticed() {
    let folder = folder();
    std::fs::create_dir_all(folder.join("port")).unwrap();
    for header in HEADERS {
        std::fs::copy(include().join(header), folder.join(header)).unwrap();
    }
    let moved = [
        (
            "kcoro.h",
            "    unsigned long rv_matches;       /* handoffs of a rendezvous channel */\n",
            "",
        ),
        ("kcoro_zcopy.h", "    uint32_t flags;     /* the backend's */\n", "    uint64_t flags;\n"),
        ("kcoro.h", "    KC_CONFLATED = -1,", "    KC_CONFLATED = -3,"),
    ];
    for (header, from, to) in moved {
        let original = std::fs::read_to_string(include().join(header)).unwrap();
        assert!(original.contains(from), "{header} has no longer: {from}");
        std::fs::write(folder.join(header), original.replace(from, to)).unwrap();
        let printed = std::panic::catch_unwind(|| printed_by_c(&folder, &folder));
        assert_ne!(printed.unwrap_or_default(), rust_side(), "not noticed: {to}");
        std::fs::write(folder.join(header), original).unwrap();
    }
}

#[test]
fn headers_are_strict_c11_and_cpp17_alone_and_twice() {
    let folder = folder();
    for (at, header) in HEADERS.iter().enumerate() {
        let source = format!("#include \"{header}\"\n#include \"{header}\"\nint probe(void);\n");
        compile(&folder, &format!("alone{at}"), &source);
    }
    let all: String = HEADERS.iter().map(|header| format!("#include \"{header}\"\n")).collect();
    let reversed: String =
        HEADERS.iter().rev().map(|header| format!("#include \"{header}\"\n")).collect();
    compile(&folder, "all", &format!("{all}{reversed}int probe(void);\n"));
    // The locks of the port layer, which a program expands.
    let port = "#include \"kcoro_port.h\"\nint probe(void);\nint probe(void)\n{\n    KC_MUTEX_T m;\n    \
                KC_COND_T c;\n    struct timespec ts;\n    ts.tv_sec = 0;\n    ts.tv_nsec = 0;\n    \
                KC_MUTEX_INIT(&m);\n    KC_COND_INIT(&c);\n    KC_MUTEX_LOCK(&m);\n    \
                (void)KC_COND_TIMEDWAIT_ABS(&c, &m, &ts);\n    KC_COND_SIGNAL(&c);\n    \
                KC_COND_BROADCAST(&c);\n    KC_MUTEX_UNLOCK(&m);\n    KC_COND_DESTROY(&c);\n    \
                KC_MUTEX_DESTROY(&m);\n    KC_FREE(KC_ALLOC(8));\n    return KC_ECANCELED;\n}\n";
    compile(&folder, "port", &format!("#define _POSIX_C_SOURCE 200809L\n{port}"));
}

fn compile(folder: &Path, name: &str, source: &str) {
    for language in [C, CPP] {
        let file = folder.join(name).with_extension(language.extension);
        // A C++ compiler of GNU's defines it by itself.
        let guarded = source.replace("#define _POSIX", "#undef _POSIX_C_SOURCE\n#define _POSIX");
        std::fs::write(&file, guarded).unwrap();
        run(language.compiler().args(["-fsyntax-only", "-I"]).arg(include()).arg(&file));
    }
}

fn rust_side() -> String {
    let mut lines = rust_layout();
    for (name, number) in NUMBERS {
        writeln!(lines, "{name} {number}").unwrap();
    }
    lines
}

/// Compiles and runs the program that prints the layout, against the headers of `include`.
fn printed_by_c(include: &Path, folder: &Path) -> String {
    let mut source = String::from("#include <stdio.h>\n");
    for header in HEADERS {
        writeln!(source, "#include \"{header}\"").unwrap();
    }
    source.push_str("int main(void) {\n");
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
    for (name, _) in NUMBERS {
        writeln!(source, "printf(\"{name} %lld\\n\", (long long)({name}));").unwrap();
    }
    source.push_str("return 0;\n}\n");
    let (file, program) = (folder.join("layout.c"), folder.join("layout"));
    std::fs::write(&file, source).unwrap();
    run(C.compiler().arg("-I").arg(include).arg(&file).arg("-o").arg(&program));
    run(&mut Command::new(program))
}

fn line(lines: &mut String, name: &str, first: usize, second: usize) {
    writeln!(lines, "{name} {first} {second}").unwrap();
}

fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}
