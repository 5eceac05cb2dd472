// SPDX-License-Identifier: BSD-3-Clause
//! Listening sockets and access control.

use std::fs::{self, File, Permissions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use becket_ipc::transport::listen::{
    Access, ConnectError, ListenError, Listener, PATH_BYTES_MAX, connect,
};
use becket_ipc::transport::{LinkError, Peer, Socket, SocketKind};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::death::child;

const KINDS: [SocketKind; 2] = [SocketKind::Stream, SocketKind::Seqpacket];

/// A private directory, and a path in it.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    let path = directory.path().join("s");
    (directory, path)
}

fn bind(path: &Path) -> Result<Listener, ListenError> {
    Listener::bind(path, SocketKind::Stream, Access::own_user(), 10)
}

/// The admitted connection; `None` if it was refused.
fn admitted(listener: &Listener) -> Option<Socket> {
    listener.accept().unwrap()
}

#[test]
fn a_connecting_process_is_admitted_and_identified() {
    for kind in KINDS {
        let (_directory, path) = place();
        let listener = Listener::bind(&path, kind, Access::default(), 10).unwrap();
        assert!(listener.accept().unwrap().is_none());
        let mut client = connect(&path, kind).unwrap();
        let mut server = admitted(&listener).unwrap();
        assert_eq!((server.kind(), client.kind()), (kind, kind));
        assert_eq!((server.peer(), client.peer()), (&Peer::own(), &Peer::own()));
        client.write_handshake(b"hello").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(server.read_handshake(&mut buffer), Ok(Some(5)));
        assert_eq!(&buffer[..5], b"hello");
        assert_eq!(server.read_handshake(&mut buffer), Ok(None));
        drop(client);
        assert_eq!(server.read_handshake(&mut buffer), Err(LinkError::Closed));
        assert_eq!(listener.admissions().total(), 1);
        assert_eq!(listener.admissions().refusals().total(), 0);
    }
}

#[test]
fn files_are_private_whatever_the_umask() {
    // Not umasks that remove the user's own rights: a process has one umask, and other tests run.
    for umask in [0, 0o022] {
        let (directory, _) = place();
        let path = directory.path().join("made").join("s");
        let before = rustix::process::umask(Mode::from_raw_mode(umask));
        let bound = bind(&path);
        rustix::process::umask(before);
        let _listener = bound.unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()) & 0o077, 0);
        assert_eq!(mode(&path.with_file_name("s.lock")) & 0o077, 0);
    }
}

#[test]
fn a_directory_that_others_can_enter_is_refused() {
    for mode in [0o710, 0o701, 0o755, 0o777, 0o740, 0o720] {
        let (directory, path) = place();
        fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
        let error = bind(&path).unwrap_err();
        assert!(matches!(error, ListenError::OpenDirectory { mode: found, .. } if found == mode));
        assert!(!path.exists());
        let text = error.to_string();
        assert!(text.contains("cause:") && text.contains("hint: name a directory"), "{text}");
    }
}

#[test]
fn a_directory_of_another_user_is_refused() {
    if rustix::process::geteuid().is_root() {
        let (directory, path) = place();
        std::os::unix::fs::chown(directory.path(), Some(4711), None).unwrap();
        let refused = bind(&path).unwrap_err();
        assert!(matches!(refused, ListenError::ForeignDirectory { uid: 4711, .. }));
    } else {
        let refused = bind(Path::new("/proc/s")).unwrap_err();
        assert!(matches!(refused, ListenError::ForeignDirectory { uid: 0, .. }));
    }
}

#[test]
fn a_path_has_at_most_107_bytes() {
    let (directory, _) = place();
    let before = directory.path().as_os_str().len() + 1;
    let longest = directory.path().join("x".repeat(PATH_BYTES_MAX - before));
    let listener = bind(&longest).unwrap();
    connect(&longest, SocketKind::Stream).unwrap();
    drop(listener);
    let too_long = directory.path().join("x".repeat(PATH_BYTES_MAX + 1 - before));
    let error = bind(&too_long).unwrap_err();
    assert_eq!(error, ListenError::PathTooLong { path: too_long.clone(), bytes: 108 });
    assert_eq!(error.errno(), rustix::io::Errno::NAMETOOLONG.raw_os_error());
    assert!(error.to_string().contains("108 bytes"));
    let refused = connect(&too_long, SocketKind::Stream).unwrap_err();
    assert_eq!(refused.errno(), rustix::io::Errno::NAMETOOLONG.raw_os_error());
    for nothing in ["", "/", ".."] {
        assert!(matches!(bind(Path::new(nothing)), Err(ListenError::NoName { .. })));
    }
}

#[test]
fn a_socket_without_a_listener_is_replaced() {
    for kind in KINDS {
        let (_directory, path) = place();
        // Left behind as by a killed process.
        drop(UnixListener::bind(&path).unwrap());
        fs::write(path.with_file_name("s.lock"), "").unwrap();
        let listener = Listener::bind(&path, kind, Access::default(), 1).unwrap();
        connect(&path, kind).unwrap();
        assert!(admitted(&listener).is_some());
    }
}

#[test]
fn a_listening_socket_is_not_replaced() {
    let (_directory, path) = place();
    let listener = bind(&path).unwrap();
    for kind in KINDS {
        let refused = Listener::bind(&path, kind, Access::default(), 1).unwrap_err();
        assert_eq!(refused, ListenError::InUse { path: path.clone() });
    }
    connect(&path, SocketKind::Stream).unwrap();
    assert!(admitted(&listener).is_some());

    // A listener without a lock, too.
    let (_directory, path) = place();
    let _other = UnixListener::bind(&path).unwrap();
    for kind in KINDS {
        let refused = Listener::bind(&path, kind, Access::default(), 1).unwrap_err();
        assert_eq!(refused, ListenError::InUse { path: path.clone() });
    }
}

#[test]
fn a_file_that_is_not_a_socket_is_not_replaced() {
    let (_directory, path) = place();
    fs::write(&path, "precious").unwrap();
    assert_eq!(bind(&path).unwrap_err(), ListenError::NotASocket { path: path.clone() });
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/nowhere", &path).unwrap();
    assert_eq!(bind(&path).unwrap_err(), ListenError::NotASocket { path });
}

#[test]
fn a_lock_that_is_a_link_is_not_followed() {
    let (directory, path) = place();
    let elsewhere = directory.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, path.with_file_name("s.lock")).unwrap();
    assert!(matches!(bind(&path), Err(ListenError::System { .. })));
    assert!(!elsewhere.exists());
}

#[test]
fn of_many_processes_one_listens() {
    for _ in 0..20 {
        let (_directory, path) = place();
        drop(UnixListener::bind(&path).unwrap());
        let barrier = Barrier::new(8);
        let bound: Vec<_> = thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        bind(&path)
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = bound.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|lost| matches!(lost, Err(ListenError::InUse { .. }))));
        let client = connect(&path, SocketKind::Stream).unwrap();
        assert!(admitted(won[0].as_ref().unwrap()).is_some());
        drop(client);
    }
}

/// Listeners that start and end at one path: the current listener is the one that is reached.
#[test]
fn one_after_the_other_is_reached() {
    each_is_reached(50, bind);
}

/// Likewise without a lock that they hold while they listen.
#[test]
fn one_after_the_other_is_reached_in_any_directory() {
    each_is_reached(1000, |path| {
        let (kind, access) = (SocketKind::Stream, Access::own_user());
        // The attempts of the others connect to it.
        Listener::bind_in_any_directory(path, kind, access, 10, 4096)
    });
}

fn each_is_reached(times: u32, bind: impl Fn(&Path) -> Result<Listener, ListenError> + Sync) {
    let (_directory, path) = place();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut bound = 0;
                while bound < times {
                    match bind(&path) {
                        Ok(listener) => {
                            bound += 1;
                            connect(&path, SocketKind::Stream).unwrap();
                            assert!(admitted(&listener).is_some(), "the connection is its own");
                        }
                        Err(ListenError::InUse { .. }) => thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
}

#[test]
fn its_files_go_with_it_and_no_others() {
    let (directory, path) = place();
    drop(bind(&path).unwrap());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let listener = bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another's").unwrap();
    drop(listener);
    assert_eq!(fs::read(&path).unwrap(), b"another's");
}

#[test]
fn a_peer_that_is_not_on_the_list_is_refused_and_counted() {
    let me = Peer::own();
    let (stranger_uid, stranger_gid) = (me.uid + 1, me.gid + 1);
    let lists = [
        (Access::none(), false),
        (Access::none().user(stranger_uid).group(stranger_gid), false),
        (Access::none().user(stranger_uid).user(me.uid), true),
        (Access::none().group(me.gid), true),
    ];
    for (access, comes_in) in lists {
        for kind in KINDS {
            let (_directory, path) = place();
            let listener = Listener::bind(&path, kind, access.clone(), 10).unwrap();
            let mut client = connect(&path, kind).unwrap();
            let server = admitted(&listener);
            assert_eq!(server.is_some(), comes_in);
            let refused = listener.admissions().refusals();
            assert_eq!(
                (refused.forbidden, refused.total()),
                if comes_in { (0, 0) } else { (1, 1) }
            );
            if !comes_in {
                assert_eq!(client.read_handshake(&mut [0; 9]), Err(LinkError::Closed));
                assert_eq!(listener.admissions().connected(), 0);
            }
        }
    }
}

#[test]
fn the_maximum_of_connections_is_enforced() {
    let (_directory, path) = place();
    let kind = SocketKind::Stream;
    let listener = Listener::bind(&path, kind, Access::default(), 2).unwrap();
    let mut clients: Vec<_> = (0..5).map(|_| connect(&path, kind).unwrap()).collect();
    let first = admitted(&listener).unwrap();
    let _second = admitted(&listener).unwrap();
    assert!(admitted(&listener).is_none());
    assert_eq!(listener.admissions().connected(), 2);
    assert_eq!(listener.admissions().refusals().full, 3);
    for client in &mut clients[2..] {
        assert_eq!(client.read_handshake(&mut [0; 9]), Err(LinkError::Closed));
    }
    drop(first);
    let _client = connect(&path, kind).unwrap();
    assert!(admitted(&listener).is_some(), "a place that was left is free");
    assert_eq!(listener.admissions().total(), 3);
}

#[test]
fn a_burst_of_refused_connections_does_not_hold_the_caller() {
    let (_directory, path) = place();
    let kind = SocketKind::Stream;
    let listener = Listener::bind(&path, kind, Access::none(), 10).unwrap();
    let _clients: Vec<_> = (0..100).map(|_| connect(&path, kind).unwrap()).collect();
    assert!(admitted(&listener).is_none());
    assert_eq!(listener.admissions().refusals().forbidden, 64);
    assert!(admitted(&listener).is_none());
    assert_eq!(listener.admissions().refusals().forbidden, 100);
}

#[test]
fn the_cause_of_a_failed_connect_is_reported() {
    let (_directory, path) = place();
    let (stream, seqpacket) = (SocketKind::Stream, SocketKind::Seqpacket);
    assert!(matches!(connect(&path, stream), Err(ConnectError::NotListening { .. })));
    fs::write(&path, "no socket").unwrap();
    let other = connect(&path, stream).unwrap_err();
    assert_eq!(other, ConnectError::NotASocket { path: path.clone() });
    fs::remove_file(&path).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    let missing = connect(&path, stream).unwrap_err();
    assert!(matches!(missing, ConnectError::NotListening { .. }));
    assert!(missing.to_string().contains("hint: start the server"), "{missing}");
    let listener = bind(&path).unwrap();
    assert!(matches!(connect(&path, seqpacket), Err(ConnectError::OtherKind { .. })));
    let mut waiting = Vec::new();
    let busy = loop {
        match connect(&path, stream) {
            Ok(socket) => waiting.push(socket),
            Err(error) => break error,
        }
        assert!(waiting.len() < 1_000, "a backlog is bounded");
    };
    assert_eq!(busy, ConnectError::Busy { path });
    drop(listener);
}

#[test]
fn a_listener_can_be_waited_for() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let (_directory, path) = place();
    let listener = bind(&path).unwrap();
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&at_once)).unwrap(), 0);
    let _client = connect(&path, SocketKind::Stream).unwrap();
    assert_eq!(poll(&mut fds, Some(&at_once)).unwrap(), 1);
}

/// The part of a server that is killed. Its standard input names its socket.
#[test]
fn part_of_a_server() {
    if child::is_to_play() {
        let path = std::io::read_to_string(std::io::stdin()).unwrap();
        let _listener = bind(Path::new(&path)).unwrap();
        child::is_ready();
        thread::park();
    }
}

#[test]
fn a_killed_server_is_followed_by_another() {
    let (directory, path) = place();
    let name = directory.path().join("name");
    fs::write(&name, path.as_os_str().as_encoded_bytes()).unwrap();
    let stdin = File::open(&name).unwrap();
    let server = child::start("listen::part_of_a_server", stdin.into());
    assert_eq!(bind(&path).unwrap_err(), ListenError::InUse { path: path.clone() });
    child::kill(server);
    assert!(path.exists() && path.with_file_name("s.lock").exists(), "it did not clean up");
    let listener = bind(&path).unwrap();
    let _client = connect(&path, SocketKind::Stream).unwrap();
    assert!(admitted(&listener).is_some());
}

/// The part of a process that has opened as many files as it may.
#[test]
fn part_of_a_process_without_descriptors() {
    if !child::is_to_play() {
        return;
    }
    let (_directory, path) = place();
    let listener = bind(&path).unwrap();
    let mut clients: Vec<_> = (0..3).map(|_| connect(&path, SocketKind::Stream).unwrap()).collect();
    let limit = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut files = Vec::new();
    let exhaust = |files: &mut Vec<_>| {
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
    };
    exhaust(&mut files);
    let warnings = Warnings::default();
    let warned = || warnings.0.load(Ordering::Relaxed);
    let accepts = || tracing::subscriber::with_default(warnings.clone(), || admitted(&listener));
    assert!(accepts().is_none());
    assert_eq!(listener.admissions().refusals().no_descriptor, 3);
    assert_eq!(warned(), 1, "once, not for each connection");
    for client in &mut clients {
        assert_eq!(client.read_handshake(&mut [0; 9]), Err(LinkError::Closed), "not left hanging");
    }
    files.truncate(files.len() - 2);
    let _client = connect(&path, SocketKind::Stream).unwrap();
    let last = accepts();
    assert!(last.is_some(), "it continues when there are descriptors again");
    files.truncate(files.len() - 1);
    let _refused = connect(&path, SocketKind::Stream).unwrap();
    exhaust(&mut files);
    assert!(accepts().is_none());
    assert_eq!(warned(), 2, "once more after a connection was admitted");
}

/// Counts events of the level WARN.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn connections_are_refused_without_descriptors() {
    child::run("listen::part_of_a_process_without_descriptors");
}
