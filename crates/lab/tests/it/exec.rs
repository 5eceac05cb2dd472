// SPDX-License-Identifier: BSD-3-Clause
//! Adapters that are processes: the examples in Python and C pass like built-in ones, and a process
//! that crashes, hangs, lies or floods fails only its own runs, and leaves nothing behind.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::bridge::exec::{Exec, ExecError};
use becket_lab::check::{self, Artefact, Mode, Options};
use becket_lab::contract::{Capabilities, Capability, Limits};
use becket_lab::gate::Gate;
use becket_lab::report::{Report, html, json, junit, markdown, plain, text};
use parking_lot::Mutex;

use crate::bridged::alone;
use crate::long::or_long;

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lab").join(path)
}

/// Where Python is: what is on the path may be a script that looks for it each time.
fn interpreter() -> &'static str {
    static PLACE: LazyLock<String> = LazyLock::new(|| {
        let asked = ["-c", "import sys; print(sys.executable)"];
        let output = Command::new("python3").args(asked).output().expect("python3 runs");
        String::from_utf8(output.stdout).unwrap().trim().into()
    });
    &PLACE
}

fn python() -> String {
    format!("'{}' '{}'", interpreter(), example("exec-python/adapter.py").display())
}

/// The example in C, built once for each test that wants it.
fn c(name: &str) -> String {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]);
    let source = example("exec-c/adapter.c");
    assert!(command.arg(source).arg("-o").arg(&place).status().unwrap().success());
    format!("'{}'", place.display())
}

/// The example in Python with a defect.
fn broken(defect: &str) -> String {
    format!("'{}' '{}' {defect}", interpreter(), example("exec-python/broken.py").display())
}

const LIMITS: Limits =
    Limits { flows_max: 4, buffered_bytes_max: 4096, flow_buffered_bytes_max: 1024 };

/// One profile of a quick check.
fn check_with(make: &(dyn Fn(Limits) -> Pair + Sync)) -> Report {
    check::run(&Options { profiles: Some(1), ..alone("exec", make) })
}

fn gates(report: &Report) -> Vec<(&'static str, &'static str)> {
    Gate::ALL
        .iter()
        .take(7)
        .map(|gate| (gate.name(), report.gate(*gate).unwrap().verdict))
        .collect()
}

fn passes(command: &str, mode: Mode, profiles: u32) {
    let exec = Exec::new(command).unwrap();
    let make = |limits| exec.pair(limits);
    let options = Options { mode, profiles: Some(profiles), ..alone("exec", &make) };
    let report = check::run(&options);
    assert!(exec.mishaps().is_empty(), "{:?}", exec.mishaps());
    for (name, verdict) in gates(&report) {
        assert_eq!(verdict, "pass", "{name}: {:?}", report.gate(Gate::Correctness).unwrap());
    }
}

#[test]
fn the_example_in_python_passes() {
    passes(&python(), Mode::Quick, 2);
}

#[test]
fn the_example_in_c_passes_everything() {
    passes(&c("exec-c-full"), Mode::Full, or_long(1, 3));
}

/// What the examples do is what the queue that is built in does: the traces are the same.
#[test]
fn a_process_leaves_the_trace_of_the_same_adapter_without_one() {
    let exec = Exec::new(&c("exec-c-same")).unwrap();
    let memory = HEALTHY.iter().find(|it| it.name == "memory").unwrap();
    let report = |make: &(dyn Fn(Limits) -> Pair + Sync), jobs| {
        check::run(&Options { jobs, ..alone("same", make) })
    };
    let of_process = report(&|limits| exec.pair(limits), 1);
    let on_threads = report(&|limits| exec.pair(limits), 4);
    assert_eq!(of_process.profiles, on_threads.profiles);
    let verdicts = |report: &Report| -> Vec<_> {
        report.profiles.iter().flat_map(|it| &it.runs).map(|run| run.verdict).collect()
    };
    assert_eq!(verdicts(&of_process), verdicts(&report(&memory.make, 1)));
}

#[test]
fn what_a_process_says_of_itself_is_its_manifest() {
    let [ingress, egress] = Exec::new(&python()).unwrap().try_it(LIMITS).unwrap();
    assert_eq!((ingress.name.as_str(), ingress.limits), ("python", LIMITS));
    assert_eq!((egress.capabilities, egress.limits), (Capabilities::ALL, LIMITS));
    let less = Exec::new(&broken("no-reset")).unwrap().try_it(LIMITS).unwrap();
    assert!(!less[0].capabilities.has(Capability::FlowReset));
}

#[test]
fn a_program_that_cannot_be_started_is_an_error() {
    let started = |command: &str| {
        let idle_timeout = Duration::from_millis(300);
        Exec::with_idle_timeout(command, idle_timeout).unwrap().try_it(LIMITS).unwrap_err()
    };
    assert!(matches!(started("/no/such/program"), ExecError::Start { .. }));
    assert!(matches!(started("true"), ExecError::Ended(_)));
    assert!(matches!(started("sleep 100"), ExecError::Hung(300)));
    // It has ended before it is asked, or says what cannot be an answer.
    assert!(matches!(started("echo hello there"), ExecError::TooLong(_) | ExecError::Ended(_)));
    assert!(matches!(Exec::new(" "), Err(ExecError::Command(_))));
    let version = Exec::new(&broken("version")).unwrap().try_it(LIMITS).unwrap_err();
    assert!(matches!(version, ExecError::Version { found: 9, known: 1 }), "{version}");
    let twice = Exec::new(&broken("capability-twice")).unwrap().try_it(LIMITS).unwrap_err();
    assert!(matches!(twice, ExecError::Manifest(_)), "{twice}");
}

/// Processes are counted by their defect: tests that start those of the same defects take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Each defect fails the check, and leaves this mishap.
#[test]
fn a_broken_process_is_a_verdict_and_leaves_nothing_behind() {
    let _turn = TURN.lock();
    for (defect, mishap) in [
        ("crash", "signal 9"),
        ("exit", "exit code 3"),
        ("half-an-answer", "exit code 0"),
        ("garbage", "an answer"),
        ("too-long", "no answer is that long"),
        ("wrong-op", "it answers another request"),
        ("twice", "cannot be read"),
        ("unpolled", "not polled"),
        ("endless-poll", "had still more"),
        ("closes-stdout", "closed its side"),
    ] {
        let exec = Exec::with_idle_timeout(&broken(defect), Duration::from_secs(3)).unwrap();
        let report = check_with(&|limits| exec.pair(limits));
        let mishaps = exec.mishaps();
        assert!(mishaps[0].contains(mishap), "{defect}: {mishaps:?}");
        assert!(!mishaps[1..].contains(&mishaps[0]), "each is listed once: {mishaps:?}");
        // Whether the second answer is there at once, or is taken for that to the next request, is
        // the system's to say.
        let is_found = report.exit_code == 1 || defect == "twice" && report.exit_code == 5;
        assert!(is_found, "{defect}: {}", text(&report, &plain));
        drop(exec);
        assert_eq!(children(defect), 0, "{defect}");
    }
}

/// Processes that were started with this defect and have not been waited for.
fn children(defect: &str) -> usize {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let is_ours = |path: PathBuf| {
        let stat = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        let line = std::fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        parent == Some(&own) && line.split('\0').any(|word| word == defect)
    };
    processes.filter(|entry| is_ours(entry.path())).count()
}

#[test]
fn after_a_hang_timeouts_are_shorter() {
    let exec = Exec::with_idle_timeout(&broken("hang"), Duration::from_secs(4)).unwrap();
    let report = check_with(&|limits| exec.pair(limits));
    assert_eq!((report.verdict, report.exit_code), ("fail", 1));
    let mishaps = exec.mishaps();
    assert!(mishaps.iter().all(|it| it.ends_with("did not answer")), "{mishaps:?}");
    drop(exec);
    assert_eq!(children("hang"), 0);
}

/// A program whose child holds a pipe open, and says so if it lives for long. What comes out of the
/// pipe is nothing, and then its end, if the child was ended with the program.
fn with_a_child(then: &str, idle_timeout: Duration) -> ExecError {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    // Opened for both, which does not block.
    let held = File::options().read(true).write(true).open(&pipe).unwrap();
    let mut reader = File::open(&pipe).unwrap();
    let command = format!("sh -c '(sleep 60; echo alive) >{} & {then}'", pipe.display());
    let error =
        Exec::with_idle_timeout(&command, idle_timeout).unwrap().try_it(LIMITS).unwrap_err();
    drop(held);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "what the program has started lives on");
    error
}

#[test]
fn what_a_program_has_started_ends_with_it() {
    let hung = with_a_child("wait", Duration::from_millis(300));
    assert!(matches!(hung, ExecError::Hung(300)), "{hung}");
    let ended = with_a_child("head -c1 >/dev/null", Duration::from_secs(60));
    assert!(matches!(ended, ExecError::Ended(_)), "{ended}");
}

#[test]
fn a_process_that_fills_stderr_is_read_and_goes_on() {
    let exec = Exec::new(&broken("floods-stderr")).unwrap();
    let report = check_with(&|limits| exec.pair(limits));
    assert!(exec.mishaps().is_empty(), "{:?}", exec.mishaps());
    assert_eq!(report.gate(Gate::SequenceIntegrity).unwrap().verdict, "pass");
}

#[test]
fn payload_on_stderr_is_found() {
    let _turn = TURN.lock();
    let gate = |defect| {
        let exec = Exec::new(&broken(defect)).unwrap();
        check_with(&|limits| exec.pair(limits)).gate(Gate::TraceHygiene).unwrap().verdict
    };
    assert_eq!(gate("payload-on-stderr"), "fail");
    assert_eq!(gate("payload-and-exit"), "fail");
    // It has crashed, and nothing is said of the runs behind that.
    assert_eq!(gate("exit"), "inconclusive");
    assert_eq!(gate("counts-on-stderr"), "pass");
}

#[test]
fn what_is_kept_from_run_to_run_is_nondeterminism() {
    let exec = Exec::new(&broken("remembers")).unwrap();
    let make = |limits| exec.pair(limits);
    let kept = Mutex::new(Vec::new());
    let keeps = |artefact: &Artefact<'_>| kept.lock().push(artefact.replay.clone());
    let quick = alone("exec", &make);
    let options = Options { profiles: Some(1), artefacts: Some(&keeps), shrink_tries: 20, ..quick };
    let report = check::run(&options);
    assert_eq!((report.verdict, report.exit_code), ("nondeterministic", 5));
    // The first event that differed, as it was and as it is.
    let failure = report.failures.iter().find(|it| it.rule == Some("DET-01")).unwrap();
    let differs = "the first event that differs when the same run is made once more is `";
    assert!(failure.said.starts_with(differs), "{}", failure.said);
    assert!(failure.said.contains("`, and has to be `"), "{}", failure.said);
    assert!(failure.last_events.len() > 1, "{:?}", failure.last_events);
    // However often it is repeated, nothing says that it is mended.
    for replay in kept.into_inner() {
        let repeated = check::repeat(&make, &replay);
        let is_mended = !check::is_broken_again(&replay, &repeated);
        assert!(!is_mended || repeated.is_nondeterministic(), "{:?}", replay.expected.rule);
    }
}

/// A crash is named in the report, in each of its forms, by how the process ended; and ends the check,
/// so that a process that starts slowly and always crashes costs some starts and not hundreds.
#[test]
fn a_crash_is_named_as_one_and_ends_the_check() {
    let _turn = TURN.lock();
    for (defect, how) in [
        ("crash", "the adapter's process crashed: signal 9, SIGKILL"),
        ("exit", "the adapter's process crashed: exit code 3"),
    ] {
        let exec = Exec::new(&broken(defect)).unwrap();
        let started = AtomicUsize::new(0);
        let make = |limits| {
            started.fetch_add(1, Ordering::Relaxed);
            exec.pair(limits)
        };
        let checked = |jobs| {
            let kept = Mutex::new(Vec::new());
            let keeps = |artefact: &Artefact<'_>| {
                kept.lock().push((artefact.name.to_owned(), artefact.shrunk.is_some()));
            };
            let quick = alone("exec", &make);
            let report = check::run(&Options { jobs, artefacts: Some(&keeps), ..quick });
            (report, kept.into_inner())
        };
        let (report, kept) = checked(1);
        assert_eq!((report.verdict, report.exit_code), ("fail", 1), "{defect}");
        // Each pair that is made is a process that is started, every second one.
        let starts = started.load(Ordering::Relaxed);
        assert!(starts <= 24, "{defect}: {starts} pairs were made");
        assert_eq!(report.failures[0].said, how);
        assert!(report.failures[1..].iter().all(|it| it.shown_with.is_some()), "{defect}");
        assert!(matches!(&kept[..], [(_, false)]), "{defect}: {kept:?}");
        let runs: Vec<_> = report.profiles.iter().flat_map(|it| &it.runs).collect();
        assert_eq!((runs[0].verdict, runs[0].reason), ("fail", Some(how)));
        for run in &runs[1..] {
            assert_eq!(run.verdict, "inconclusive", "{defect}: {run:?}");
        }
        assert_eq!(
            report.gate(Gate::Correctness).unwrap().reason.as_deref(),
            Some(format!("single_flow_echo: {how}").as_str())
        );
        let forms = [
            json(&report).unwrap(),
            junit(std::slice::from_ref(&report)).replace("&apos;", "'"),
            html(&report).replace("&#39;", "'"),
            markdown(&report),
            text(&report, &plain),
        ];
        for (at, form) in forms.iter().enumerate() {
            assert!(form.contains(how), "{defect}, form {at}:\n{form}");
        }
        assert_eq!(json(&checked(2).0).unwrap(), forms[0], "{defect}: by two threads");
    }
}
