// SPDX-License-Identifier: BSD-3-Clause
//! The stacks of workers that crash, from `crashes.c`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use becket_coro::block_on;
use becket_host::{CallError, CrashFrame, CrashStack, Death, Host, Layout, Plugin, PluginSpec};
use becket_process::sandbox::limits::ResourceLimits;
use becket_process::sandbox::{Profile, Sandbox};
use becket_process::{Confinement, Process, Restart};

use crate::ends::{HANGS, kill, until};
use crate::{sample, worker};

const PROFILES: [Profile; 2] = [Profile::Default, Profile::Strict];
const PENDING: &str = "it is being read";

/// Builds `crashes.c` with these options, which may name what it is linked with.
fn built(folder: &Path, options: &[&str]) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = folder.join("crashes.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-pthread", "-I"])
        .arg(here.join("../abi/include"))
        .arg(here.join("tests/processes/crashes.c"))
        .args(options)
        .arg("-o")
        .arg(&file)
        .status();
    assert!(built.expect("a C compiler, as linking Rust needs one too").success());
    file
}

fn load(host: &Host, file: &Path, profile: Profile, limits: ResourceLimits) -> Plugin {
    let sandbox = Sandbox { profile, limits, ..Sandbox::default() };
    let confinement = Confinement { sandbox, ..Confinement::default() };
    let restart = Restart { attempts_max: 1000, ..Restart::default() };
    let process = Process::native(worker(), file)
        .layout(Layout::Documented)
        .restart(restart)
        .confined(confinement);
    host.load(PluginSpec::remote("crashes", Arc::new(process)))
        .unwrap_or_else(|error| panic!("{error}: {:?}", error.cause()))
}

/// The next death whose stack is known, or known not to be.
fn death(plugin: &Plugin, number: usize) -> Death {
    until("the stack is known", || {
        let mut deaths = plugin.workers().unwrap().deaths;
        let death = (deaths.len() > number).then(|| deaths.swap_remove(number))?;
        (death.no_stack.as_deref() != Some(PENDING)).then_some(death)
    })
}

/// The end of a worker that is called so.
fn end_by(plugin: &Plugin, entry: &str) -> Death {
    let number = plugin.workers().unwrap().deaths.len();
    let ended = block_on(plugin.call_raw(entry, b"").timeout(HANGS));
    assert!(matches!(ended, Err(CallError::Crashed)), "{entry}: {ended:?}");
    death(plugin, number)
}

fn stack_of(plugin: &Plugin, entry: &str) -> CrashStack {
    let death = end_by(plugin, entry);
    death.stack.unwrap_or_else(|| panic!("{entry}: {:?}: {}", death.no_stack, death.status))
}

/// The plugin's frames.
fn of_plugin(stack: &CrashStack) -> Vec<&CrashFrame> {
    stack.frames.iter().filter(|frame| frame.is_plugin).collect()
}

fn names<'a>(frames: &[&'a CrashFrame]) -> Vec<&'a str> {
    frames.iter().map(|frame| frame.function.as_deref().unwrap_or("?")).collect()
}

fn line_of(text: &str) -> u32 {
    let source = include_str!("crashes.c").lines().position(|line| line.contains(text)).unwrap();
    u32::try_from(source + 1).unwrap()
}

#[test]
fn the_first_frame_of_a_plugin_names_the_function() {
    let folder = tempfile::tempdir().unwrap();
    let file = built(folder.path(), &["-g"]);
    for profile in PROFILES {
        let host = Host::new();
        let plugin = load(&host, &file, profile, ResourceLimits::default());
        for (entry, signal, line) in [
            ("touches_nowhere", "SIGSEGV", "(uintptr_t)8 = 1"),
            ("gives_up", "SIGABRT", "    abort();"),
            ("calls_null", "SIGSEGV", "    none();"),
            ("executes_nothing", "SIGILL", "__builtin_trap()"),
            ("breaks", "SIGTRAP", "\"int3\""),
            ("divides", "SIGFPE", "depth / none"),
        ] {
            let stack = stack_of(&plugin, entry);
            assert_eq!(stack.signal, signal, "{stack:?}");
            let frames = of_plugin(&stack);
            assert_eq!(names(&frames)[..2], [entry, "handle"], "{profile}: {}", shown(&stack));
            let [first, ..] = &frames[..] else { panic!("frames") };
            assert!(first.file.as_ref().is_some_and(|file| file.ends_with("crashes.c")));
            if cfg!(target_arch = "x86_64") {
                assert_eq!(first.line, Some(line_of(line)), "{profile}: {}", shown(&stack));
            }
            assert_eq!(first.module.as_deref(), file.to_str());
            // The worker below it, down to the start of its thread, without lines.
            let of_worker = |frame: &&CrashFrame| !frame.is_plugin && frame.function.is_some();
            let mut below = stack.frames.iter().filter(of_worker);
            assert!(below.clone().count() > 3, "{profile}: {}", shown(&stack));
            let is_of_program =
                |it: &CrashFrame| it.function.as_ref().is_some_and(|it| it.contains("becket_host"));
            assert!(below.any(|it| is_of_program(it) && it.line.is_none()), "{}", shown(&stack));
            assert!(stack.notes.is_empty(), "{profile}: {:?}", stack.notes);
        }
        block_on(host.shutdown(Duration::from_secs(10)));
    }
}

/// Frames of the standard library are the plugin's too, if they are in its file.
#[test]
fn panics_of_rust_that_end_the_process_show_where_they_began() {
    for (entry, panic, inner) in
        [("panics", "abort", "finds_nothing"), ("panics_twice", "unwind", "panics_twice")]
    {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libpanics.a");
        let built_rust = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args(["--edition", "2024", "--crate-type", "staticlib", "-C", "debuginfo=1"])
            .args(["-C", &format!("panic={panic}"), "-o"])
            .arg(&library)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processes/panics.rs"))
            .status();
        assert!(built_rust.unwrap().success());
        let file = built(folder.path(), &["-g", "-DWITH_RUST", library.to_str().unwrap()]);
        let host = Host::new();
        let plugin = load(&host, &file, Profile::Strict, ResourceLimits::default());
        let stack = stack_of(&plugin, entry);
        assert_eq!(stack.signal, "SIGABRT");
        let is_own = |frame: &&CrashFrame| {
            frame.file.as_ref().is_some_and(|file| file.ends_with("tests/processes/panics.rs"))
        };
        let own: Vec<_> = of_plugin(&stack).into_iter().filter(is_own).collect();
        let own = names(&own);
        assert!(own.first().is_some_and(|name| name.contains(inner)), "{}", shown(&stack));
        assert_eq!(own.last(), Some(&entry), "{}", shown(&stack));
        block_on(host.shutdown(Duration::from_secs(10)));
    }
}

#[test]
fn the_address_and_the_thread_are_in_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = built(folder.path(), &["-g"]);
    let host = Host::new();
    let plugin = load(&host, &file, Profile::None, ResourceLimits::default());
    let stack = stack_of(&plugin, "on_thread");
    assert_eq!((stack.thread.as_str(), stack.address.as_deref()), ("of-the-plugin", Some("0x8")));
    assert_eq!(names(&of_plugin(&stack)), ["touches_nowhere", "thread"], "{}", shown(&stack));
    assert!(stack.notes.is_empty(), "{}", shown(&stack));
    let stack = stack_of(&plugin, "calls_null");
    let first = &stack.frames[0];
    assert_eq!((first.offset.as_str(), &first.module, &first.function), ("0x0", &None, &None));
    assert_eq!(stack_of(&plugin, "gives_up").address, None);
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// A thread of the worker has a stack for signals; one of the plugin's has none.
#[test]
fn an_overflow_of_a_stack_is_shown_where_the_thread_has_a_stack_for_signals() {
    let folder = tempfile::tempdir().unwrap();
    let file = built(folder.path(), &["-g"]);
    for profile in PROFILES {
        let host = Host::new();
        let plugin = load(&host, &file, profile, ResourceLimits::default());
        let death = end_by(&plugin, "overflows");
        let stack = death.stack.unwrap_or_else(|| panic!("{:?}", death.no_stack));
        assert_eq!((stack.signal.as_str(), stack.frames.len()), ("SIGSEGV", 64));
        assert!(
            names(&of_plugin(&stack)).iter().all(|name| *name == "recurses"),
            "{}",
            shown(&stack)
        );
        assert_eq!(stack.notes, ["these are the first 64 frames"]);
        // The report of Rust's own handler is there as without ours.
        assert!(death.last_lines.iter().any(|line| line.contains("has overflowed its stack")));
        let death = end_by(&plugin, "overflows_on_thread");
        assert!(death.status.contains("SIGSEGV"), "{death:?}");
        assert!(death.stack.is_none(), "{death:?}");
        assert!(death.no_stack.unwrap().contains("had no stack for that"));
        block_on(host.shutdown(Duration::from_secs(10)));
    }
}

#[test]
fn what_has_no_stack_is_said() {
    let host = Host::new();
    let plugin = crate::load(&host, "crashes", sample("c"));
    kill(plugin.workers().unwrap().workers[0].pid.unwrap());
    let death = death(&plugin, 0);
    assert_eq!(
        (death.stack, death.no_stack.as_deref()),
        (None, Some("it was killed from outside"))
    );
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// Without debug information the table of symbols names functions, and without that the place is known.
#[test]
fn what_the_file_does_not_say_is_left_out() {
    for (options, named) in [(&[][..], true), (&["-s"][..], false)] {
        let folder = tempfile::tempdir().unwrap();
        let file = built(folder.path(), options);
        let host = Host::new();
        let plugin = load(&host, &file, Profile::Default, ResourceLimits::default());
        let stack = stack_of(&plugin, "touches_nowhere");
        let first = &stack.frames[0];
        assert_eq!(
            first.function.as_deref(),
            named.then_some("touches_nowhere"),
            "{}",
            shown(&stack)
        );
        assert_eq!((&first.file, first.is_plugin), (&None, true));
        assert!(first.offset.starts_with("0x") && stack.frames.len() > 3);
        block_on(host.shutdown(Duration::from_secs(10)));
    }
}

/// Debug information in another file, as distributions have it: found by its name, and taken if it has the same build id.
#[test]
fn a_file_of_debug_information_names_lines() {
    for (is_its_own, folder_of_it) in [(true, ""), (true, ".debug"), (false, "")] {
        let folder = tempfile::tempdir().unwrap();
        let file = built(folder.path(), &["-g", "-Wl,--build-id"]);
        let debug = folder.path().join(folder_of_it).join("crashes.debug");
        fs::create_dir_all(debug.parent().unwrap()).unwrap();
        let objcopy = |arguments: &[&str]| {
            let status = Command::new("objcopy").args(arguments).status();
            assert!(status.expect("objcopy comes with the linker").success());
        };
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        objcopy(&["--only-keep-debug", &path(&file), &path(&debug)]);
        let link = format!("--add-gnu-debuglink={}", path(&debug));
        objcopy(&["--strip-all", &link, &path(&file)]);
        if !is_its_own {
            let elsewhere = tempfile::tempdir().unwrap();
            let other = built(elsewhere.path(), &["-g", "-Wl,--build-id=0x0123"]);
            objcopy(&["--only-keep-debug", &path(&other), &path(&debug)]);
        }
        let host = Host::new();
        let plugin = load(&host, &file, Profile::Default, ResourceLimits::default());
        let stack = stack_of(&plugin, "touches_nowhere");
        let first = &stack.frames[0];
        let (name, line) = (first.function.as_deref(), first.line);
        if is_its_own {
            assert_eq!(name, Some("touches_nowhere"), "{}", shown(&stack));
            assert!(line.is_some(), "{}", shown(&stack));
        } else {
            assert_eq!((name, line), (None, None), "another file's: {}", shown(&stack));
        }
        block_on(host.shutdown(Duration::from_secs(10)));
    }
}

/// The bytes that were loaded name the functions, whatever is at the path by then.
#[test]
fn a_file_that_is_gone_names_its_functions_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = built(folder.path(), &["-g"]);
    let host = Host::new();
    let plugin = load(&host, &file, Profile::Default, ResourceLimits::default());
    fs::write(&file, "another").unwrap();
    let stack = stack_of(&plugin, "touches_nowhere");
    assert_eq!(names(&of_plugin(&stack))[..2], ["touches_nowhere", "handle"], "{}", shown(&stack));
    fs::remove_file(&file).unwrap();
    let stack = stack_of(&plugin, "gives_up");
    assert_eq!(names(&of_plugin(&stack))[..2], ["gives_up", "handle"], "{}", shown(&stack));
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// The crash of a worker is seen by the kernel as without a record; another plugin notices nothing; no
/// descriptor is left.
#[test]
fn a_plugin_that_harms_its_record_harms_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = built(folder.path(), &["-g"]);
    let host = Host::new();
    let healthy = crate::load(&host, "healthy", sample("c"));
    for profile in PROFILES {
        let beside = Host::new();
        let plugin = load(&beside, &file, profile, ResourceLimits::default());
        for (entry, status, why) in [
            ("fills_the_record", "SIGSEGV", Some("what it left is no record")),
            ("floods_the_record", "exit status: 9", Some("what it left is no record")),
            ("forges_a_record", "SIGABRT", None),
            ("takes_the_number", "SIGSEGV", Some("it left no record")),
            ("is_killed", "SIGKILL", Some("it was killed from outside")),
        ] {
            let death = end_by(&plugin, entry);
            assert!(death.status.contains(status), "{entry}: {death:?}");
            match why {
                Some(why) => {
                    assert!(
                        death.no_stack.as_ref().is_some_and(|no| no.contains(why)),
                        "{death:?}"
                    );
                }
                None => {
                    let stack =
                        death.stack.unwrap_or_else(|| panic!("{entry}: {:?}", death.no_stack));
                    assert!(!stack.thread.contains('\x1b'), "{stack:?}");
                    assert!(stack.frames.len() <= 64);
                }
            }
            assert_eq!(&*block_on(healthy.call_raw("echo", b"x")).unwrap().body, b"x");
        }
        block_on(beside.shutdown(Duration::from_secs(10)));
    }
    assert_eq!(healthy.snapshot().failed.total(), 0);
    block_on(host.shutdown(Duration::from_secs(10)));
}

#[test]
fn without_descriptors_there_is_a_record_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = built(folder.path(), &["-g"]);
    let host = Host::new();
    let plugin = load(&host, &file, Profile::Strict, ResourceLimits::default());
    let stack = stack_of(&plugin, "takes_all_descriptors");
    assert_eq!(names(&of_plugin(&stack))[..2], ["touches_nowhere", "takes_all_descriptors"]);
    block_on(host.shutdown(Duration::from_secs(10)));
}

fn shown(stack: &CrashStack) -> String {
    let frames = stack.frames.iter().map(|frame| format!("\n  {frame}"));
    format!("{} in {}{} {:?}", stack.signal, stack.thread, frames.collect::<String>(), stack.notes)
}
