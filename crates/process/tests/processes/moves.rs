// SPDX-License-Identifier: BSD-3-Clause
//! Reloads, and moves between placements: the new one is there before the old one drains, and each call is
//! answered by one of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use becket_coro::block_on;
use becket_host::{
    CallError, Host, Layout, Plugin, PluginSpec, ReloadError, Request, WorkerInfo, WorkerState,
};
use becket_process::sandbox::{Profile, Sandbox};
use becket_process::{Confinement, Process};
use sha2::{Digest, Sha256};

use crate::ends::{HANGS, kill, until};
use crate::{built, load, sample, workers, zoo};

/// Builds `plain.c` under this name.
fn plain(folder: &Path, name: &str, definitions: &[&str]) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = folder.join(name);
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-I"])
        .arg(here.join("../abi/include"))
        .args(definitions)
        .arg(here.join("tests/processes/plain.c"))
        .arg("-o")
        .arg(&out)
        .status()
        .expect("a C compiler, as linking Rust needs one too");
    assert!(built.success());
    out
}

fn inline(name: &str, file: &Path) -> PluginSpec {
    PluginSpec::path(name, file).layout(Layout::Documented)
}

fn in_process(name: &str, file: &Path) -> PluginSpec {
    PluginSpec::remote(name, Arc::new(native(file)))
}

fn native(file: &Path) -> Process {
    let worker = vec![env!("CARGO_BIN_EXE_becket-worker").into()];
    Process::native(worker, file).layout(Layout::Documented)
}

/// Calls and streams of four threads while `moves` runs: each is answered. Returns how many there were.
fn under_load(plugin: &Plugin, moves: impl FnOnce(&dyn Fn())) -> u64 {
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let after_some_more = || {
        let before = answered.load(Ordering::Relaxed);
        until("calls are answered", || {
            (answered.load(Ordering::Relaxed) > before + 40).then_some(())
        });
    };
    thread::scope(|scope| {
        for at in 0..4 {
            let (stop, answered) = (&stop, &answered);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match at {
                        0 | 1 => a_chat(plugin),
                        _ => {
                            let answer = block_on(plugin.call_raw("echo", b"x").timeout(HANGS));
                            assert_eq!(&*answer.unwrap().body, b"x");
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        moves(&after_some_more);
        stop.store(true, Ordering::Relaxed);
    });
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.failed.total(), snapshot.streams_refused), (0, 0), "{snapshot:?}");
    answered.into_inner()
}

fn a_chat(plugin: &Plugin) {
    block_on(async {
        let mut chat = plugin.stream("chat", Request::new("")).await.unwrap();
        assert_eq!(&*chat.next().await.unwrap().unwrap().body, b"welcome");
        for _ in 0..3 {
            chat.send(b"a").await.unwrap();
            assert_eq!(&*chat.next().await.unwrap().unwrap().body, b"echo: a");
        }
        chat.close().unwrap();
        while chat.next().await.unwrap().is_some() {}
    });
}

fn ended(host: &Host, name: &str) {
    block_on(host.shutdown(Duration::from_secs(10)));
    assert!(workers(name).is_empty());
}

#[test]
fn no_call_and_no_stream_is_lost_over_reloads() {
    let (host, folder) = (Host::new(), tempfile::tempdir().unwrap());
    let file = plain(folder.path(), "reloads.so", &[]);
    let plugin = host.load(in_process("reloads", &file)).unwrap();
    under_load(&plugin, |after_some_more| {
        for generation in 2..8 {
            after_some_more();
            block_on(plugin.reload()).unwrap();
            assert_eq!(plugin.info().generation, generation);
        }
        after_some_more();
    });
    until("one worker is left", || (workers("reloads").len() == 1).then_some(()));
    ended(&host, "reloads");
}

#[test]
fn no_call_and_no_stream_is_lost_by_moves_between_placements() {
    let (host, folder) = (Host::new(), tempfile::tempdir().unwrap());
    let file = plain(folder.path(), "moves.so", &[]);
    let plugin = host.load(inline("moves", &file)).unwrap();
    under_load(&plugin, |after_some_more| {
        for _ in 0..3 {
            after_some_more();
            block_on(plugin.reload_as(in_process("moves", &file))).unwrap();
            assert_eq!(plugin.info().placement, "process");
            after_some_more();
            block_on(plugin.reload_as(inline("moves", &file))).unwrap();
            assert_eq!(plugin.info().placement, "inline");
        }
        after_some_more();
    });
    until("no worker is left", || workers("moves").is_empty().then_some(()));
    assert_eq!(plugin.snapshot().reloads, 6);
    ended(&host, "moves");
}

#[test]
fn what_is_open_stays_where_it_began() {
    let (host, file) = (Host::new(), sample("c"));
    let plugin = host.load(in_process("stays", &file)).unwrap();
    let mut chat = block_on(plugin.stream("chat", Request::new(""))).unwrap();
    assert_eq!(&*block_on(chat.next()).unwrap().unwrap().body, b"welcome");
    let call = thread::spawn({
        let plugin = plugin.clone();
        move || block_on(plugin.call_raw("slow", b"300"))
    });
    until("the call is in hand", || (plugin.snapshot().pending == 1).then_some(()));
    block_on(plugin.reload_as(inline("stays", &file))).unwrap();
    assert!(call.join().unwrap().unwrap().status.is_ok());
    block_on(chat.send(b"still")).unwrap();
    assert_eq!(&*block_on(chat.next()).unwrap().unwrap().body, b"echo: still");
    assert_eq!(workers("stays").len(), 1, "the chat's");
    chat.close().unwrap();
    drop(chat);
    until("its worker has ended", || workers("stays").is_empty().then_some(()));
    ended(&host, "stays");
}

/// Of a Go plugin there is one runtime in a process: it can go out of this one, and not come back.
#[test]
fn a_go_plugin_moves_out_and_not_in_again() {
    let (host, file) = (Host::new(), sample("go"));
    let plugin = host.load(inline("go", &file)).unwrap();
    block_on(plugin.reload_as(in_process("go", &file))).unwrap();
    block_on(plugin.call_raw("echo", b"x")).unwrap();
    let error = block_on(plugin.reload_as(inline("go", &file))).unwrap_err();
    assert!(matches!(error, ReloadError::Fixed { .. }), "{error}");
    block_on(plugin.call_raw("echo", b"x")).unwrap();
    ended(&host, "go");
}

#[test]
fn a_new_one_that_does_not_load_says_why_and_the_old_one_stays() {
    let (host, folder) = (Host::new(), tempfile::tempdir().unwrap());
    let file = plain(folder.path(), "old.so", &[]);
    let plugin = host.load(in_process("old-stays", &file)).unwrap();
    let before = workers("old-stays");
    let refused = |spec: PluginSpec| block_on(plugin.reload_as(spec)).unwrap_err();
    under_load(&plugin, |after_some_more| {
        let error = refused(in_process("old-stays", Path::new("/no/such/plugin.so")));
        assert!(error.to_string().contains("no plugin file found"), "{error}");
        assert!(error.hint().is_some());
        let error = refused(in_process("old-stays", &zoo("init_fails")));
        assert!(matches!(error, ReloadError::Load(_)), "{error}");
        let worker = vec![env!("CARGO_BIN_EXE_becket-worker").into()];
        let program = Process::program(worker, vec!["/bin/true".into()]);
        let error = refused(PluginSpec::remote("old-stays", Arc::new(program)));
        assert!(error.to_string().contains("ended before it was ready"), "{error}");
        let error = refused(inline("old-stays", Path::new("/no/such/plugin.so")));
        assert!(matches!(error, ReloadError::Load(_)), "{error}");
        after_some_more();
    });
    assert_eq!((plugin.info().generation, plugin.snapshot().reload_failures), (1, 4));
    assert_eq!(workers("old-stays"), before);
    // What was refused is not what the next reload loads.
    block_on(plugin.reload()).unwrap();
    ended(&host, "old-stays");
}

#[test]
fn a_plugin_whose_worker_has_just_ended_is_reloaded_and_answers_all_that_comes_after() {
    let host = Host::new();
    let plugin = load(&host, "restarts", sample("c"));
    for _ in 0..5 {
        let pid = until("a worker", || workers("restarts").first().copied());
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let plugin = plugin.clone();
                thread::spawn(move || block_on(plugin.call_raw("echo", b"x").timeout(HANGS)))
            })
            .collect();
        kill(pid);
        block_on(plugin.reload()).unwrap();
        block_on(plugin.call_raw("echo", b"x").timeout(HANGS)).unwrap();
        for call in calls {
            let ended = call.join().unwrap();
            assert!(matches!(ended, Ok(_) | Err(CallError::Crashed)), "{ended:?}");
        }
        until("one worker is left", || (workers("restarts").len() == 1).then_some(()));
    }
    ended(&host, "restarts");
}

/// Whatever is at its path by then, in every profile; what is there is loaded by a reload.
#[test]
fn a_worker_that_is_started_again_runs_the_bytes_of_the_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = plain(folder.path(), "plugin.so", &[]);
    let one = std::fs::read(&file).unwrap();
    let two = std::fs::read(plain(folder.path(), "two.so", &["-DVERSION=\"two\""])).unwrap();
    let digest: [u8; 32] = Sha256::digest(&one).into();
    for profile in [Profile::None, Profile::Default, Profile::Strict] {
        std::fs::write(&file, &one).unwrap();
        let sandbox = Sandbox { profile, require: true, ..Sandbox::default() };
        let confinement = Confinement { sandbox, ..Confinement::default() };
        let pinned = native(&file).sha256(digest).workers(2).confined(confinement.clone());
        let host = Host::new();
        let plugin = host.load(PluginSpec::remote("pinned", Arc::new(pinned))).unwrap();
        assert_eq!(plugin.info().path.as_deref(), Some(&*file));
        let version = |plugin: &Plugin| {
            let call = plugin.call_raw("version", b"").timeout(HANGS);
            String::from_utf8(block_on(call).unwrap().body.to_vec()).unwrap()
        };
        let changes: [&dyn Fn(); 4] = [
            &|| std::fs::write(&file, &two).unwrap(),
            &|| std::fs::write(&file, "no library").unwrap(),
            &|| std::fs::remove_file(&file).unwrap(),
            &|| std::fs::create_dir(&file).unwrap(),
        ];
        for change in changes {
            change();
            let restarted = || -> u64 {
                let seen = plugin.workers().unwrap();
                let running = |it: &&WorkerInfo| it.state == WorkerState::Running;
                seen.workers.iter().filter(running).map(|worker| worker.restarts).sum()
            };
            let before = restarted();
            workers("pinned").into_iter().for_each(kill);
            until("both are back", || (restarted() == before + 2).then_some(()));
            (0..4).for_each(|_| assert_eq!(version(&plugin), "one"));
        }
        std::fs::remove_dir(&file).unwrap();
        std::fs::write(&file, &two).unwrap();
        let error = block_on(plugin.reload()).unwrap_err();
        assert!(error.to_string().contains("SHA-256"), "{error}");
        assert_eq!(version(&plugin), "one");
        let free = PluginSpec::remote("pinned", Arc::new(native(&file).confined(confinement)));
        block_on(plugin.reload_as(free)).unwrap();
        assert_eq!(version(&plugin), "two");
        ended(&host, "pinned");
    }
}

/// The file is gone, so that a reload fails, and what ran goes on; one with a file succeeds.
#[test]
fn a_plugin_whose_file_is_gone_is_reloaded_when_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plugin.so");
    std::fs::copy(sample("c"), &file).unwrap();
    let host = Host::new();
    let plugin = host.load(in_process("down", &file)).unwrap();
    std::fs::remove_file(&file).unwrap();
    let [pid] = workers("down")[..] else { panic!("one worker") };
    kill(pid);
    let error = block_on(plugin.reload()).unwrap_err();
    assert!(error.to_string().contains("no plugin file found"), "{error}");
    let another = || workers("down").into_iter().find(|another| *another != pid);
    until("it is started again", another);
    block_on(plugin.call_raw("echo", b"x").timeout(HANGS)).unwrap();
    std::fs::copy(built("BECKET_SAMPLES_DIR", "plugins", "libsample_c.so"), &file).unwrap();
    block_on(plugin.reload()).unwrap();
    block_on(plugin.call_raw("echo", b"x").timeout(HANGS)).unwrap();
    ended(&host, "down");
}
