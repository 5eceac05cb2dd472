// SPDX-License-Identifier: BSD-3-Clause
//! What workers may do, and what becomes of what they try.
//!
//! Each attempt is a call of `attempts.c` in a worker. Beside it the same without a sandbox, which has another
//! result: otherwise the attempt would prove nothing.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{env, fs, process, thread};

use becket_coro::block_on;
use becket_host::{CallError, DeathReason, Host, Layout, Plugin, PluginSpec};
use becket_process::sandbox::limits::ResourceLimits;
use becket_process::sandbox::{Allow, Profile, Sandbox};
use becket_process::{Confinement, Process};
use rustix::io::Errno;

use crate::ends::{HANGS, kill, until};
use crate::output::program_after;
use crate::{sample, worker, workers, zoo};

fn profile(profile: Profile) -> Confinement {
    let sandbox = Sandbox { profile, require: true, ..Sandbox::default() };
    Confinement { sandbox, ..Confinement::default() }
}

fn limited(limits: ResourceLimits) -> Confinement {
    let mut confinement = profile(Profile::Strict);
    confinement.sandbox.limits = limits;
    confinement
}

fn load(host: &Host, process: Process, confinement: Confinement) -> Plugin {
    let spec = PluginSpec::remote("confined", Arc::new(process.confined(confinement)));
    let spec = spec.config(serde_json::json!({}));
    host.load(spec).unwrap_or_else(|error| panic!("{error}: {:?}", error.cause()))
}

/// `attempts.c`, built once.
fn attempts() -> Process {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let file = BUILT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let made = folder.join(format!("attempts-{}", process::id()));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-pthread", "-I"])
            .arg(here.join("../abi/include"))
            .arg(here.join("tests/processes/attempts.c"))
            .arg("-o")
            .arg(&made)
            .status()
            .expect("a C compiler, as linking Rust needs one too");
        assert!(built.success());
        // Other test processes build it too; a file that a worker's sandbox has named is not replaced.
        let mut hasher = DefaultHasher::new();
        fs::read(&made).unwrap().hash(&mut hasher);
        let out = folder.join(format!("attempts-{:x}.so", hasher.finish()));
        if let Err(error) = fs::hard_link(&made, &out) {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        }
        fs::remove_file(made).unwrap();
        out
    });
    Process::native(worker(), file).layout(Layout::Documented)
}

/// The error of an attempt in a worker; `None`: it succeeded.
fn attempt(confinement: &Confinement, name: &str, aim: &str) -> Option<Errno> {
    let host = Host::new();
    let plugin = load(&host, attempts(), confinement.clone());
    let answer = block_on(plugin.call_raw(name, aim.as_bytes())).unwrap();
    let number: i32 = String::from_utf8_lossy(&answer.body).parse().unwrap();
    // The worker is as before.
    assert!(block_on(plugin.call_raw("variable", b"PATH")).is_ok());
    block_on(host.shutdown(Duration::from_secs(10)));
    (number != 0).then(|| Errno::from_raw_os_error(number))
}

/// The attempt has one result without a sandbox, and is refused in the strict one.
#[track_caller]
fn refused(name: &str, aim: &str, without: Option<Errno>, with: Errno) {
    assert_eq!(attempt(&profile(Profile::None), name, aim), without, "{name} proves nothing");
    assert_eq!(attempt(&profile(Profile::Strict), name, aim), Some(with), "{name}");
}

#[test]
fn the_samples_run_in_every_profile() {
    for confinement in [Profile::None, Profile::Default, Profile::Strict].map(profile) {
        for language in ["rust", "c", "cpp", "go", "zig"] {
            let host = Host::new();
            let process = Process::native(worker(), sample(language));
            let plugin = load(&host, process, confinement.clone());
            for entry in ["echo", "slow"] {
                let answer = block_on(plugin.call_raw(entry, b"1"));
                assert!(answer.is_ok_and(|answer| answer.status.is_ok()), "{language}: {entry}");
            }
            block_on(host.shutdown(Duration::from_secs(10)));
        }
    }
}

/// What its threads wait with is allowed: a wait that is refused would be tried again for ever.
#[test]
fn an_idle_worker_sleeps_in_every_profile() {
    for confinement in [Profile::None, Profile::Default, Profile::Strict].map(profile) {
        let host = Host::new();
        let plugin = load(&host, Process::native(worker(), sample("c")), confinement);
        block_on(plugin.call_raw("echo", b"1")).unwrap();
        let pid = plugin.workers().unwrap().workers[0].pid.unwrap();
        let sleeps = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap();
            stat.rsplit_once(')').unwrap().1.trim_start().starts_with('S')
        };
        until("each of its threads sleeps", || {
            let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            tasks.all(|task| sleeps(task.unwrap())).then_some(())
        });
        block_on(host.shutdown(Duration::from_secs(10)));
    }
}

#[test]
fn a_file_outside_is_not_opened() {
    refused("open-read", "/etc/passwd", None, Errno::ACCESS);
    assert_eq!(attempt(&profile(Profile::Default), "open-read", "/etc/passwd"), None);
}

#[test]
fn a_file_outside_is_not_changed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let aim = file.path().to_str().unwrap();
    refused("open-write", aim, None, Errno::ACCESS);
    assert_eq!(attempt(&profile(Profile::Default), "open-write", aim), Some(Errno::ACCESS));
    let mut named = profile(Profile::Strict);
    named.sandbox.writable = vec![file.path().into()];
    assert_eq!(attempt(&named, "open-write", aim), None);
}

#[test]
fn no_connection_is_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    refused("connect", &port, None, Errno::PERM);
    let mut network = profile(Profile::Strict);
    network.sandbox.allow = vec![Allow::Network];
    assert_eq!(attempt(&network, "connect", &port), None);
}

/// A process that does nothing, until it is dropped.
struct Other(process::Child);

impl Other {
    fn new() -> Self {
        Self(Command::new("/bin/sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_process_is_not_traced() {
    refused("trace", &Other::new().pid(), None, Errno::PERM);
}

#[test]
fn another_process_is_not_killed() {
    refused("signal", &Other::new().pid(), None, Errno::PERM);
}

#[test]
fn no_program_is_executed() {
    refused("execute", "/no/such/program", Some(Errno::NOENT), Errno::PERM);
}

#[test]
fn no_process_is_started() {
    refused("start", "", None, Errno::PERM);
}

#[test]
fn nothing_is_mounted() {
    let without = if is_root() { Errno::NODEV } else { Errno::PERM };
    refused("mount", "/tmp", Some(without), Errno::PERM);
}

/// A kernel without it, or where it is switched off, refuses it by itself.
#[test]
fn no_ring_of_requests_to_the_kernel_is_made() {
    let without = attempt(&profile(Profile::None), "ring", "");
    assert!(matches!(without, None | Some(Errno::NOSYS | Errno::PERM)), "{without:?}");
    assert_eq!(attempt(&profile(Profile::Strict), "ring", ""), Some(Errno::PERM));
}

#[test]
fn shared_memory_of_another_process_is_not_opened() {
    let memory = rustix::fs::memfd_create("theirs", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let aim = format!("/proc/{}/fd/{}", process::id(), memory.as_raw_fd());
    refused("open-write", &aim, None, Errno::ACCESS);
}

#[test]
fn a_descriptor_of_another_process_is_not_taken() {
    let aim = format!("{} 1", process::id());
    refused("take-descriptor", &aim, None, Errno::PERM);
}

#[test]
fn what_this_process_has_open_is_closed_in_a_worker() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let aim = file.path().to_str().unwrap();
    let inherited = File::open(file.path()).unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let link = format!("/proc/self/fd/{}", inherited.as_raw_fd());
    let child = Command::new("readlink").arg(link).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&child.stdout).trim_end(), aim, "it proves nothing");
    for one in [Profile::None, Profile::Strict] {
        assert_eq!(attempt(&profile(one), "holds", aim), Some(Errno::NOENT));
    }
}

/// Cargo sets `CARGO_MANIFEST_DIR` for this process.
#[test]
fn a_worker_has_few_variables() {
    assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
    let mut confinement = profile(Profile::None);
    for (variable, is_there) in [("CARGO_MANIFEST_DIR", false), ("PATH", true), ("OWN", false)] {
        let found = attempt(&confinement, "variable", variable);
        assert_eq!(found.is_none(), is_there, "{variable}");
    }
    confinement.env.insert("OWN".into(), "1".into());
    assert_eq!(attempt(&confinement, "variable", "OWN"), None);
}

#[test]
fn memory_is_limited() {
    let limits = |memory_bytes_max| ResourceLimits { memory_bytes_max, ..Default::default() };
    assert_eq!(attempt(&limited(limits(None)), "allocate", "300"), None);
    assert_eq!(attempt(&limited(limits(Some(256 << 20))), "allocate", "300"), Some(Errno::NOMEM));
}

/// Its process ends, or its calls fail. What it held is free again, and another plugin notices nothing.
#[test]
fn a_plugin_that_allocates_without_end_costs_no_other() {
    let host = Host::new();
    let healthy = crate::load(&host, "roomy", sample("c"));
    let limits = ResourceLimits { memory_bytes_max: Some(256 << 20), ..Default::default() };
    let process = Process::native(worker(), zoo("allocates_without_end"));
    let plugin = load(&host, process, limited(limits));
    for _ in 0..2 {
        let ended = block_on(plugin.call_raw("hit", b"").timeout(HANGS));
        assert!(!ended.as_ref().is_ok_and(|answer| answer.status.is_ok()), "{ended:?}");
        assert!(block_on(healthy.call_raw("echo", b"x")).is_ok());
    }
    block_on(host.shutdown(Duration::from_secs(10)));
}

#[test]
fn descriptors_are_limited() {
    let limits = |most| ResourceLimits { descriptors_max: Some(most), ..Default::default() };
    assert_eq!(attempt(&limited(limits(1024)), "descriptors", "500"), None);
    assert_eq!(attempt(&limited(limits(100)), "descriptors", "500"), Some(Errno::MFILE));
}

/// The kernel counts no processes of root: the worker becomes another user, which only root can do.
#[test]
fn processes_are_limited() {
    if !is_root() {
        return;
    }
    let mut confinement = profile(Profile::Strict);
    (confinement.user, confinement.group) = (Some("65534".into()), Some("65534".into()));
    assert_eq!(attempt(&confinement, "user", "0"), Some(Errno::PERM));
    confinement.sandbox.allow = vec![Allow::Processes];
    assert_eq!(attempt(&confinement, "processes", "100"), None);
    confinement.sandbox.limits.processes_max = Some(50);
    assert_eq!(attempt(&confinement, "processes", "100"), Some(Errno::AGAIN));
}

/// A worker's own folder is the only one that it changes, and its files have a limit.
#[test]
fn files_are_limited() {
    let limits = |file_bytes_max| ResourceLimits { file_bytes_max, ..Default::default() };
    assert_eq!(attempt(&limited(limits(None)), "file", "8"), None);
    assert_eq!(attempt(&limited(limits(Some(4 << 20))), "file", "8"), Some(Errno::FBIG));
}

/// How the worker ended whose plugin tried this.
fn end_of(
    process: Process,
    confinement: Confinement,
    name: &str,
    aim: &str,
) -> (DeathReason, String) {
    let host = Host::new();
    let plugin = load(&host, process, confinement);
    let ended = block_on(plugin.call_raw(name, aim.as_bytes()).timeout(HANGS));
    assert!(matches!(ended, Err(CallError::Crashed)), "{name}: {ended:?}");
    let deaths = || Some(plugin.workers()?.deaths).filter(|deaths| !deaths.is_empty());
    let [death] = &until("the death is known", deaths)[..] else { panic!("one death") };
    let restarts = || {
        let counted = plugin.workers()?.restarts.into_iter().find(|it| it.count > 0)?;
        Some((counted.reason, counted.count))
    };
    assert_eq!(until("it is counted", restarts), (death.reason, 1));
    let ended = (death.reason, death.status.clone());
    block_on(host.shutdown(Duration::from_secs(10)));
    ended
}

#[test]
fn an_end_by_a_limit_has_its_reason() {
    let limits = ResourceLimits { file_bytes_max: Some(4 << 20), ..Default::default() };
    let (reason, status) = end_of(attempts(), limited(limits), "fill", "");
    assert_eq!(reason, DeathReason::Sandbox);
    assert!(status.contains("SIGXFSZ"), "{status}");
    let (reason, status) = end_of(attempts(), profile(Profile::Strict), "compute", "1");
    assert_eq!(reason, DeathReason::Cpu);
    assert!(status.contains("SIGXCPU"), "{status}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_call_that_no_filter_lets_through_ends_by_the_sandbox() {
    let (reason, status) = end_of(attempts(), profile(Profile::Strict), "other-interface", "");
    assert_eq!(reason, DeathReason::Sandbox);
    assert!(status.contains("SIGSYS"), "{status}");
}

/// Its runtime ends it: the kernel only refuses.
#[test]
fn an_end_for_lack_of_memory_has_its_reason() {
    let code = "
import signal
signal.signal(signal.SIGUSR1, lambda *_: bytearray(1 << 40))";
    let limits = ResourceLimits { memory_bytes_max: Some(1 << 30), ..Default::default() };
    let mut confinement = profile(Profile::Default);
    confinement.sandbox.limits = limits;
    let host = Host::new();
    let plugin = load(&host, program_after(code), confinement);
    let pid = plugin.workers().unwrap().workers[0].pid.unwrap();
    assert!(Command::new("kill").args(["-USR1", &pid.to_string()]).status().unwrap().success());
    let deaths = || Some(plugin.workers()?.deaths).filter(|deaths| !deaths.is_empty());
    let [death] = &until("the death is known", deaths)[..] else { panic!("one death") };
    assert_eq!(death.reason, DeathReason::Memory, "{death:?}");
    assert_eq!(death.last_lines.last().map(String::as_str), Some("MemoryError"));
    block_on(host.shutdown(Duration::from_secs(10)));
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn what_the_kernel_gave_is_shown() {
    let host = Host::new();
    let plugin = load(&host, attempts(), profile(Profile::Strict));
    let shown = plugin.info().sandbox.unwrap();
    assert_eq!(shown.profile, "strict");
    let kinds: Vec<_> = shown.measures.iter().map(|measure| measure.kind).collect();
    let files = ["no-new-privileges", "files", "system-calls"];
    assert_eq!(
        kinds,
        [&["descriptors", "end-with-parent", "resource-limits"], &files[..]].concat()
    );
    assert!(shown.measures.iter().all(|measure| measure.missing.is_none()), "{shown:?}");
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// Takes Landlock away from this thread and all that it starts, as if the kernel had none.
fn without_landlock() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    // `landlock_create_ruleset`, which has the same number everywhere.
    let rules = [(444, Vec::new())].into_iter().collect();
    let unknown = SeccompAction::Errno(Errno::NOSYS.raw_os_error().cast_unsigned());
    let arch = env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, unknown, arch).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

#[test]
fn what_the_kernel_does_not_give_is_shown_or_refused() {
    let loaded = |require| {
        thread::spawn(move || {
            without_landlock();
            let host = Host::new();
            let mut confinement = profile(Profile::Strict);
            confinement.sandbox.require = require;
            let process = Arc::new(attempts().confined(confinement));
            let loaded = host.load(PluginSpec::remote("lacks", process));
            let result = loaded.map(|plugin| plugin.info().sandbox.unwrap());
            block_on(host.shutdown(Duration::from_secs(10)));
            result
        })
    };
    let shown = loaded(false).join().unwrap().unwrap();
    let missing: Vec<_> =
        shown.measures.iter().filter(|measure| measure.missing.is_some()).collect();
    assert!(matches!(missing[..], [files] if files.kind == "files"), "{missing:?}");
    let error = loaded(true).join().unwrap().unwrap_err();
    assert!(error.to_string().contains("the sandbox was not entered"), "{error}");
    let cause = error.cause().unwrap();
    assert!(cause.contains("the sandbox requires `files`"), "{cause}");
    assert!(error.hint().unwrap().contains("require = false"));
    assert!(workers("lacks").is_empty());
}

const LINGERING: &str = "BECKET_TEST_LINGERING";

/// A program that never ends by itself.
fn lingering() -> Process {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/lingering.py");
    Process::program(worker(), vec!["python3".into(), script.into()])
}

/// The other process of the test below; no test without it.
#[test]
fn a_host_that_is_killed() {
    if env::var_os(LINGERING).is_none() {
        return;
    }
    let host = Host::new();
    let spec = PluginSpec::remote("lingering", Arc::new(lingering()));
    host.load(spec.config(serde_json::json!({}))).unwrap();
    load(&host, attempts(), profile(Profile::Strict));
    load_leaving(&host);
    let workers = ["lingering", "confined", "leaving"].map(|name| workers(name)[0].to_string());
    println!("\nworkers {}", workers.join(" "));
    loop {
        thread::park();
    }
}

#[test]
fn a_host_that_is_killed_leaves_no_worker() {
    let mut host = Command::new(env::current_exe().unwrap())
        .args(["--exact", "sandbox::a_host_that_is_killed", "--nocapture"])
        .env(LINGERING, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let found = lines.map_while(Result::ok).find_map(|line| {
        let pids = line.strip_prefix("workers ")?.split(' ');
        Some(pids.map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>())
    });
    let mut pids = found.expect("a host with three workers");
    let leaver = until("one has left its worker", || leaver(pids[2]));
    pids.push(leaver);
    assert!(pids.len() == 4 && pids.iter().all(|pid| lives(*pid)), "{pids:?}");
    kill(host.id());
    host.wait().unwrap();
    until("no worker is left", || (!pids.iter().any(|pid| lives(*pid))).then_some(()));
}

/// A program that starts a process which leaves it: it has a session of its own, and no parent that is left.
fn load_leaving(host: &Host) -> Plugin {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/program.py");
    let shell = format!("(setsid sleep 1000 &); exec python3 {script}");
    let process = Process::program(worker(), vec!["/bin/sh".into(), "-c".into(), shell.into()]);
    let process = Arc::new(process.confined(profile(Profile::Default)));
    let spec = PluginSpec::remote("leaving", process).config(serde_json::json!({}));
    host.load(spec).unwrap_or_else(|error| panic!("{error}: {:?}", error.cause()))
}

/// The process that has left a worker, when it has: its guard, which is this one, has become its parent.
fn leaver(guard: u32) -> Option<u32> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(1).map(str::parse::<u32>);
        // Its parent, its group, its session.
        let (parent, _, session) = (fields.next()?.ok()?, fields.next()?, fields.next()?.ok()?);
        let is_sleep = fs::read(format!("/proc/{pid}/cmdline")).ok()?.starts_with(b"sleep");
        (parent == guard && session == pid && is_sleep).then_some(pid)
    })
}

/// What has left its worker ends with it, and the worker's end is the record's.
#[test]
fn what_has_left_a_program_ends_with_it() {
    let host = Host::new();
    let plugin = load_leaving(&host);
    let [guard] = workers("leaving")[..] else { panic!("one guard") };
    let worker = plugin.workers().unwrap().workers[0].pid.unwrap();
    assert_ne!(worker, guard);
    let leaver = until("it has left", || leaver(guard));
    block_on(plugin.call_raw("greet", b"you")).unwrap();
    kill(worker);
    let is_left = || [guard, worker, leaver].into_iter().any(lives);
    until("no process is left", || (!is_left()).then_some(()));
    let death = until("its end is known", || plugin.workers().unwrap().deaths.pop());
    assert_eq!((death.pid, death.reason), (worker, DeathReason::Killed), "{death:?}");
    block_on(plugin.call_raw("greet", b"again").timeout(HANGS)).unwrap();
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// A guard that is killed ends its worker.
#[test]
fn a_program_ends_with_its_guard() {
    let host = Host::new();
    let plugin = load_leaving(&host);
    let [guard] = workers("leaving")[..] else { panic!("one guard") };
    let worker = plugin.workers().unwrap().workers[0].pid.unwrap();
    let leaver = until("it has left", || leaver(guard));
    kill(guard);
    until("the worker has ended", || (!lives(worker)).then_some(()));
    // The documentation leaves it open what becomes of this one: it may have ended.
    let _ = Command::new("kill").args(["-9", &leaver.to_string()]).output().unwrap();
    // Before that, a call may still go to the worker that has ended.
    until("its end is known", || plugin.workers().unwrap().deaths.pop());
    block_on(plugin.call_raw("greet", b"again").timeout(HANGS)).unwrap();
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// It runs, and is not one that has ended and was not waited for.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A program may start processes, which end with it.
#[test]
fn what_a_program_started_ends_with_it() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/program.py");
    let shell = format!("sleep 1000 & python3 {script}");
    let host = Host::new();
    let process = Process::program(worker(), vec!["/bin/sh".into(), "-c".into(), shell.into()]);
    let process = Arc::new(process.confined(profile(Profile::Default)));
    let spec = PluginSpec::remote("parent", process).config(serde_json::json!({}));
    let plugin = host.load(spec).unwrap();
    let shell = plugin.workers().unwrap().workers[0].pid.unwrap();
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(!children.is_empty() && children.iter().all(|pid| lives(*pid)), "{children:?}");
    block_on(plugin.call_raw("greet", b"you")).unwrap();
    kill(shell);
    until("no process is left", || (!children.iter().any(|pid| lives(*pid))).then_some(()));
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// Where control groups of version 2 are, if this process may make one.
fn cgroups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|mount| mount.split(' ').nth(2) == Some("cgroup2"))?;
    let folder = Path::new(mount.split(' ').nth(1)?).join(format!("becket-test-{}", process::id()));
    fs::create_dir(&folder).ok()?;
    Some(folder)
}

/// What leaves the program's group of processes is still in its control group.
#[test]
fn a_control_group_ends_with_its_worker() {
    let Some(folder) = cgroups() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/program.py");
    let shell = format!("setsid sleep 1000 & python3 {script}");
    let mut confinement = profile(Profile::Default);
    confinement.cgroup = Some(folder.clone());
    // The controllers may belong to groups of version 1 here.
    confinement.sandbox.require = false;
    let host = Host::new();
    let command = vec!["/bin/sh".into(), "-c".into(), shell.into()];
    let process = Arc::new(Process::program(worker(), command).confined(confinement));
    let spec = PluginSpec::remote("grouped", process).config(serde_json::json!({}));
    let plugin = host.load(spec).unwrap();
    let shown = plugin.info().sandbox.unwrap();
    assert_eq!(shown.measures.last().unwrap().kind, "control-group");
    let group = fs::read_dir(&folder).unwrap().flatten().find(|entry| entry.path().is_dir());
    let group = group.expect("a group").path();
    let members = || -> Vec<u32> {
        let members = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        members.lines().map(|pid| pid.parse().unwrap()).collect()
    };
    // It is another group of processes when it runs.
    let sleeps = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep"))
    };
    until("it runs", || members().iter().any(sleeps).then_some(()));
    let members = members();
    assert!(members.contains(&workers("grouped")[0]));
    block_on(host.shutdown(Duration::from_secs(10)));
    assert!(!members.iter().any(|pid| lives(*pid)) && !group.exists(), "{members:?}");
    fs::remove_dir(&folder).unwrap();
}

/// A program in the strict sandbox has what is named, and replaces itself by nothing else.
#[test]
fn a_program_runs_in_the_strict_sandbox() {
    let code = "import sys; print(sys.executable, sys.base_prefix)";
    let output = Command::new("python3").args(["-c", code]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let (executable, prefix) = output.trim_end().split_once(' ').unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/program.py");
    let mut confinement = profile(Profile::Strict);
    confinement.sandbox.readable = vec![prefix.into()];
    let host = Host::new();
    let process = Process::program(worker(), vec![executable.into(), script.into()]);
    let plugin = load(&host, process, confinement.clone());
    let answer = block_on(plugin.call_raw("greet", b"you")).unwrap();
    assert_eq!(&*answer.body, b"Hello, you");
    let process =
        Process::program(worker(), vec!["/bin/sh".into(), "-c".into(), "echo | cat".into()]);
    let spec = PluginSpec::remote("forks", Arc::new(process.confined(confinement)));
    assert!(host.load(spec).is_err());
    block_on(host.shutdown(Duration::from_secs(10)));
}
