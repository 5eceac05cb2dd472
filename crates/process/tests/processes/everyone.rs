// SPDX-License-Identifier: BSD-3-Clause
//! Every plugin of the zoo, and one that is hostile: what each of them comes to, and what it leaves.
//!
//! The table has one line for each plugin: what becomes of a call of `hit`, and with it whether the worker
//! ends. After it the plugin answers `ok`, from its worker or the next one. A plugin beside it goes on.
//!
//! What is counted is that of a whole process, so each test runs in one of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use becket_abi::NrStatus;
use becket_coro::block_on;
use becket_host::{CallError, DeathReason, Host, Plugin, PluginSpec, Request, StreamError};
use becket_process::sandbox::Sandbox;
use becket_process::sandbox::limits::ResourceLimits;
use becket_process::{Confinement, Process};

use self::Hit::*;
use crate::ends::{HANGS, until};
use crate::{load, sample, worker, zoo};

/// What becomes of a call, or of a stream.
enum Hit {
    /// There is no call: the load is refused, with this in its message.
    Refused(&'static str),
    Answered(&'static str),
    /// Answered with a status, and these bytes.
    Status(u32, &'static str),
    /// `handle` has refused it.
    Failed(u32),
    /// Its deadline passes.
    Late,
    /// A stream of so many frames, or of any number, and its end.
    Frames(Option<usize>, End),
    /// A message of 48 bytes comes back with so many.
    Echoed(usize),
    /// The call has crashed, and the worker has ended by itself, with this in its status.
    Ends(DeathReason, &'static str),
    /// The worker has ended in one of these ways.
    EndsBy(&'static [DeathReason]),
}

enum End {
    Done,
    Status(u32),
    Deadline,
}

const ABORTS: Hit = Ends(DeathReason::Signal, "SIGABRT");

const ZOO: [(&str, Hit); 81] = [
    ("aborts", ABORTS),
    ("allocates_without_end", ABORTS),
    ("answers_after_deadline", Late),
    ("answers_after_end", Frames(Some(1), End::Done)),
    ("answers_after_error", Failed(1)),
    ("answers_after_unload", Late),
    ("answers_any_entry", Answered("hit")),
    ("answers_foreign_sid", Answered("done")),
    ("answers_in_handle_then_errs", Answered("answered")),
    ("answers_random_sids", Answered("done")),
    ("answers_twice", Answered("first")),
    ("answers_who_has_left", Answered("hit")),
    ("attach_fails", Refused("`attach` of plugin")),
    ("blocks_in_handle", Answered("woke")),
    ("coroutine_not_thread_safe", Refused("does not say that it is thread-safe")),
    ("coroutine_stack_too_large", Refused("1099511627776 bytes")),
    ("describe_never_ends", Answered("hit")),
    ("describe_not_utf8", Answered("hit")),
    ("exhausts_leases", Answered("bounded")),
    ("exhausts_metrics", Answered("bounded")),
    ("exhausts_state", Answered("bounded")),
    ("exhausts_timers", Answered("bounded")),
    ("exits", Ends(DeathReason::Exit, "exit status: 0")),
    ("flood_of_frames", Frames(None, End::Done)),
    ("flood_through_send_result", Frames(None, End::Status(6))),
    ("forgets_long_payloads", Answered("hit")),
    ("forgets_who_was_refused", Answered("hit")),
    ("frames_64_in_handle", Frames(Some(64), End::Done)),
    ("frames_after_terminal", Frames(Some(1), End::Done)),
    ("frames_from_8_threads", Frames(Some(1024), End::Done)),
    ("hands_nothing_over", Answered("hit")),
    ("ignores_cancelled", Late),
    ("info_too_small", Refused("struct_size is 48")),
    ("init_fails", Refused("`init` of plugin")),
    ("keeps_what_leavers_took", Answered("hit")),
    ("layout_documented", Answered("hit")),
    ("layout_raw", Answered("hit")),
    ("layout_short", Answered("hit")),
    ("layout_unclear", Refused("cannot tell the vtable layout")),
    ("layout_v2", Answered("hit")),
    ("lease_2_63", Answered("refused")),
    ("lease_bad_token", Answered("leased")),
    ("lease_never_given_back", Answered("hit")),
    ("lease_too_long", Answered("survived")),
    ("length_2_44", Status(10, "")),
    ("length_2_62", Status(10, "")),
    ("loses_bytes", Echoed(47)),
    ("loses_bytes_of_answers", Answered("1")),
    ("missing_handle", Refused("has no `handle`")),
    ("missing_init", Refused("has no `init`")),
    ("never_answers", Late),
    ("never_takes_frames", Frames(Some(1), End::Deadline)),
    ("no_symbol", Refused("does not export")),
    ("not_utf8", Answered("\\xff\\xfe\\x80\\xc0")),
    ("null_info", Refused("returned NULL")),
    ("null_name", Refused("is NULL but has a length")),
    ("null_vtable", Refused("its vtable is NULL")),
    ("null_with_length", Status(2, "")),
    ("overflows_stack", ABORTS),
    ("owned_to_nobody", Answered("owned")),
    ("panics_in_async", Status(5, "the plugin panicked")),
    ("resolves_nothing", Answered("hit")),
    ("same_file_twice", Answered("1")),
    ("segfaults", Ends(DeathReason::Signal, "SIGSEGV")),
    ("shutdown_never_returns", Answered("hit")),
    ("status_99_returned", Failed(99)),
    ("status_99_sent", Status(99, "ninety-nine")),
    ("stream_never_ends", Frames(Some(1), End::Deadline)),
    ("stream_order", Echoed(48)),
    ("text_too_long", Answered("survived")),
    ("thread_at_host_drop", Answered("hit")),
    ("thread_key_destructor", Answered("hit")),
    ("thread_local_destructor", Answered("hit")),
    ("throws_exception", Failed(5)),
    ("throws_without_boundary", ABORTS),
    ("unresolved_symbol", Refused("the dynamic linker refused")),
    ("version_of_each_load", Answered("hit")),
    ("waits_for_config", Answered("hit")),
    ("waits_with_lock", Late),
    ("writes_to_stdout", Answered("hit")),
    ("wrong_version", Refused("ABI version 7")),
];

/// Entries of `hostile.c`, and what they are called with.
const HOSTILE: [(&str, &str, Hit); 12] = [
    ("aborts", "", ABORTS),
    ("segfaults", "", Ends(DeathReason::Signal, "SIGSEGV")),
    ("exits", "3", Ends(DeathReason::Exit, "exit status: 3")),
    ("signal", "9", Ends(DeathReason::Killed, "SIGKILL")),
    ("memory", "", ABORTS),
    ("burn", "4", Late),
    ("processes", "1000", Answered("0")),
    ("descriptors", "1000000", Answered("100")),
    ("output", "", Answered("0")),
    ("name", "", Answered("0")),
    // Whether the host notices by what it reads, or by what does not come.
    ("shared", "255", EndsBy(&NOTICED)),
    ("closes", "", EndsBy(&NOTICED)),
];

/// How a worker ends that has made its session useless, depending on which of the two finds out first, and by
/// what.
const NOTICED: [DeathReason; 6] = [
    DeathReason::Closed,
    DeathReason::Exit,
    // An end of the session without a word is also what a kill from outside looks like.
    DeathReason::Killed,
    DeathReason::Protocol,
    DeathReason::Signal,
    DeathReason::Silent,
];

/// Set in the process of a test's own.
const ALONE: &str = "BECKET_TEST_ALONE";
/// In the environment of each worker, so that a process is found whatever it has become the child of.
const MARK: &str = "BECKET_TEST_MARK";
/// A deadline that passes.
const SOON: Duration = Duration::from_millis(300);
/// What the sandbox of a hostile plugin allows.
const MEMORY_BYTES_MAX: u64 = 256 << 20;
const DESCRIPTORS_MAX: u64 = 128;
/// What a process keeps by itself: threads of pools, stacks of those that have ended, arenas of the allocator.
/// One of them left by each plugin of the zoo is more.
const THREADS_MAX: usize = 40;
const MAPPINGS_MAX: usize = 60;
const PRIVATE_BYTES_MAX: u64 = 64 << 20;

/// Runs the test of this name in a process of its own; true: this is that process.
fn is_alone(test: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("everyone::{test}"), "--nocapture"])
        .env(ALONE, "1")
        .env("TMPDIR", folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "{test}: {status}");
    false
}

/// What this process has, and what its workers have left elsewhere.
#[derive(Debug)]
struct Held {
    /// What each descriptor is, but for the numbers of sockets and pipes.
    descriptors: Vec<String>,
    threads: usize,
    /// Mappings of memory that another process has too.
    shared: usize,
    mappings: usize,
    private_bytes: u64,
    /// Processes that a worker was, or that one has started.
    marked: BTreeSet<u32>,
    /// In the folder for temporary files.
    files: usize,
    /// In the folder of shared memory.
    names: BTreeSet<String>,
}

impl Held {
    fn now() -> Self {
        let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten();
        let mut descriptors: Vec<_> = entries("/proc/self/fd")
            // The one that reads is gone when it is looked at.
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .map(|link| link.display().to_string().split(':').next().unwrap().to_owned())
            .filter(|link| !link.starts_with("/proc/"))
            .collect();
        descriptors.sort();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let is_shared =
            |line: &&str| line.split(' ').nth(1).is_some_and(|rights| rights.ends_with('s'));
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let private = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let private: u64 = private.trim().trim_end_matches(" kB").parse().unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap_or_default();
        Self {
            descriptors,
            threads: entries("/proc/self/task").count(),
            shared: maps.lines().filter(is_shared).count(),
            mappings: maps.lines().count(),
            private_bytes: private << 10,
            marked: marked(),
            files: entries(env::temp_dir().to_str().unwrap()).count(),
            names: entries("/dev/shm").map(name).filter(|it| it.contains("becket")).collect(),
        }
    }

    /// Nothing is there that was not there before, but for what a pool or an allocator keeps for a while.
    fn is_no_more_than(&self, before: &Self) -> bool {
        self.descriptors.len() <= before.descriptors.len()
            && self.shared <= before.shared
            && self.marked.is_subset(&before.marked)
            && self.files <= before.files
            && self.names.is_subset(&before.names)
    }
}

/// Processes that have the mark of this one in their environment.
fn marked() -> BTreeSet<u32> {
    let wanted = format!("{MARK}={}", std::process::id());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let all = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            all.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

/// Waits until all is as before, with another plugin that answers.
fn nothing_is_left(before: &Held, healthy: &Plugin, name: &str) {
    let begin = std::time::Instant::now();
    loop {
        let now = Held::now();
        if now.is_no_more_than(before) {
            break;
        }
        assert!(begin.elapsed() < HANGS, "{name} has left something:\n{before:?}\n{now:?}");
        std::thread::yield_now();
    }
    let answer = block_on(healthy.call_raw("echo", b"x").timeout(HANGS));
    assert_eq!(&*answer.unwrap().body, b"x", "{name}");
}

fn bounded(before: &Held, now: &Held) {
    assert!(now.threads < before.threads + THREADS_MAX, "{before:?}\n{now:?}");
    assert!(now.mappings < before.mappings + MAPPINGS_MAX, "{before:?}\n{now:?}");
    assert!(now.private_bytes < before.private_bytes + PRIVATE_BYTES_MAX, "{before:?}\n{now:?}");
}

fn spec(name: &str, file: PathBuf) -> PluginSpec {
    let limits = ResourceLimits {
        memory_bytes_max: Some(MEMORY_BYTES_MAX),
        descriptors_max: Some(DESCRIPTORS_MAX),
        ..ResourceLimits::default()
    };
    let mut confinement =
        Confinement { sandbox: Sandbox { limits, ..Sandbox::default() }, ..Confinement::default() };
    confinement.env.insert(MARK.into(), std::process::id().to_string());
    let process = Process::native(worker(), file)
        .confined(confinement)
        .ping_timeout(Duration::from_millis(500));
    PluginSpec::remote(name, Arc::new(process))
}

/// Calls the entry, and compares what comes with what is expected.
fn hit(plugin: &Plugin, entry: &str, payload: &str, expected: &Hit, name: &str) {
    let waits = if matches!(expected, Late) { SOON } else { HANGS };
    let call = || block_on(plugin.call_raw(entry, payload.as_bytes()).timeout(waits));
    let shown = |body: &[u8]| body.escape_ascii().to_string();
    match expected {
        Refused(_) => panic!("{name} was loaded"),
        Answered(text) => {
            let answer = call().unwrap_or_else(|error| panic!("{name}: {error}"));
            let got = (answer.status, shown(&answer.body));
            match *text {
                // What was open before counts too.
                "100" => assert!(got.1.parse::<u64>().unwrap() < DESCRIPTORS_MAX, "{name}"),
                text => assert_eq!(got, (NrStatus::Ok, text.to_owned()), "{name}"),
            }
        }
        Status(status, text) => {
            let answer = call().unwrap_or_else(|error| panic!("{name}: {error}"));
            let got = (answer.status, shown(&answer.body));
            assert_eq!(got, (NrStatus(*status), (*text).to_owned()), "{name}");
        }
        Failed(expected) => {
            let ended = call();
            assert!(
                matches!(ended, Err(CallError::Refused { status }) if status.0 == *expected),
                "{name}: {ended:?}"
            );
        }
        Late => {
            let ended = call();
            assert!(matches!(ended, Err(CallError::DeadlineExceeded)), "{name}: {ended:?}");
        }
        Frames(count, end) => {
            let waits = if matches!(end, End::Deadline) { SOON } else { HANGS };
            let stream = plugin.stream(entry, Request::new(payload.to_owned())).timeout(waits);
            let mut stream = block_on(stream).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut frames = 0;
            let ended = loop {
                match block_on(stream.next()) {
                    Ok(Some(_)) => frames += 1,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            assert!(count.is_none_or(|count| count == frames), "{name}: {frames} frames");
            let is_right = match (end, &ended) {
                (End::Done, Ok(())) | (End::Deadline, Err(StreamError::DeadlineExceeded)) => true,
                (End::Status(wanted), Err(StreamError::Failed { status, .. })) => {
                    status.0 == *wanted
                }
                _ => false,
            };
            assert!(is_right, "{name}: {ended:?}");
        }
        Echoed(bytes) => {
            let stream = plugin.stream(entry, Request::new("")).timeout(HANGS);
            let mut stream = block_on(stream).unwrap_or_else(|error| panic!("{name}: {error}"));
            block_on(stream.send(&[b'x'; 48])).unwrap_or_else(|error| panic!("{name}: {error}"));
            let frame = block_on(stream.next()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(frame.map(|frame| frame.body.len()), Some(*bytes), "{name}");
        }
        Ends(..) | EndsBy(_) => {
            let ended = call();
            assert!(matches!(ended, Err(CallError::Crashed)), "{name}: {ended:?}");
        }
    }
}

/// The worker has ended as expected, or not at all.
fn ended(plugin: &Plugin, expected: &Hit, name: &str) {
    let crashes = u64::from(matches!(expected, Ends(..) | EndsBy(_)));
    let deaths = until("its deaths are known", || {
        Some(plugin.workers().unwrap().deaths).filter(|deaths| deaths.len() as u64 >= crashes)
    });
    assert_eq!(deaths.len() as u64, crashes, "{name}: {deaths:?}");
    for death in &deaths {
        assert_eq!(death.calls_failed, 1, "{name}: {death:?}");
        match expected {
            Ends(reason, status) => {
                let is_right = death.reason == *reason && death.status.contains(status);
                assert!(is_right, "{name}: {death:?}");
            }
            EndsBy(reasons) => assert!(reasons.contains(&death.reason), "{name}: {death:?}"),
            _ => {}
        }
    }
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.failed.crashed, snapshot.pending), (crashes, 0), "{name}");
}

/// Loads a plugin in a host of its own, calls it, and ends the host.
fn visit(name: &str, file: PathBuf, entry: &str, payload: &str, expected: &Hit) {
    let own = Host::new();
    match (own.load(spec(name, file)), expected) {
        (Err(error), Refused(text)) => {
            assert!(error.to_string().contains(text), "{name}: {error}");
        }
        (Err(error), _) => panic!("{name}: {error}: {:?}", error.cause()),
        (Ok(plugin), _) => {
            hit(&plugin, entry, payload, expected, name);
            let answer = block_on(plugin.call_raw("ok", b"0").timeout(HANGS));
            assert!(answer.is_ok_and(|answer| answer.status.is_ok()), "{name} is not back");
            ended(&plugin, expected, name);
        }
    }
    block_on(own.shutdown(SOON));
}

#[test]
fn every_plugin_of_the_zoo_fails_as_expected_and_leaves_nothing() {
    if !is_alone("every_plugin_of_the_zoo_fails_as_expected_and_leaves_nothing") {
        return;
    }
    let folder = zoo("aborts").parent().unwrap().to_owned();
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let built: BTreeSet<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(built, ZOO.iter().map(|(name, _)| (*name).to_owned()).collect(), "the table");
    beside_a_healthy_one(|visited| {
        for (name, expected) in &ZOO {
            visit(name, zoo(name), "hit", "1", expected);
            visited(name);
        }
    });
}

#[test]
fn what_a_hostile_plugin_does_costs_its_own_calls_and_leaves_nothing() {
    if !is_alone("what_a_hostile_plugin_does_costs_its_own_calls_and_leaves_nothing") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = hostile(folder.path());
    beside_a_healthy_one(|visited| {
        for (entry, payload, expected) in &HOSTILE {
            visit(entry, file.clone(), entry, payload, expected);
            visited(entry);
        }
    });
}

/// Visits plugins; after each nothing is left, and another plugin has lost no call.
fn beside_a_healthy_one(visit_all: impl FnOnce(&dyn Fn(&str))) {
    let host = Host::new();
    let healthy = load(&host, "unharmed", sample("c"));
    block_on(healthy.call_raw("echo", b"x").timeout(HANGS)).unwrap();
    let before = Held::now();
    visit_all(&|name| nothing_is_left(&before, &healthy, name));
    bounded(&before, &Held::now());
    assert_eq!(healthy.snapshot().failed.total(), 0);
    assert!(healthy.workers().unwrap().deaths.is_empty());
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// Builds `hostile.c`.
fn hostile(folder: &Path) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = folder.join("hostile.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-pthread", "-I"])
        .arg(here.join("../abi/include"))
        .arg(here.join("tests/processes/hostile.c"))
        .arg("-o")
        .arg(&file)
        .status();
    assert!(built.expect("a C compiler, as linking Rust needs one too").success());
    file
}
