// SPDX-License-Identifier: BSD-3-Clause
//! A worker's process: how it is started, sent into its sandbox, and killed.
//!
//! A worker begins as [`launch`](crate::launch), whatever it becomes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use becket_sandbox::{Allow, Measure, Profile, Report, Sandbox};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cgroup::Group;
use crate::guard;
use crate::image::PluginImage;
use crate::launch::{Progress, SETUP_BYTES_MAX, Setup, not_entered};
use crate::output::Pipes;
use crate::protocol::Failed;
use crate::scratch::Scratch;
use crate::stack::CrashPipe;
use crate::start::failed;
use crate::users;

/// The variable that says which descriptor is the worker's socket.
pub const SOCKET_VARIABLE: &str = "BECKET_FD";

/// The variables that a worker inherits. The others are what [`Confinement::env`] names.
pub const INHERITED_VARIABLES: [&str; 11] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "PATH",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "TMPDIR",
    "TZ",
    "USER",
];

/// How long a worker may take to end when it has closed its socket.
const LEAVING: Duration = Duration::from_secs(1);

/// What bounds a worker beside its plugin's limits.
#[derive(Debug, Clone, Default)]
pub struct Confinement {
    /// Its sandbox.
    pub sandbox: Sandbox,
    /// Variables of its environment, beside [`INHERITED_VARIABLES`].
    pub env: BTreeMap<String, String>,
    /// The user that it becomes, by name or number, instead of the sandbox's; the host is root.
    pub user: Option<String>,
    /// The group that it becomes; `None`: the user's.
    pub group: Option<String>,
    /// The folder of control groups (version 2) in which each worker gets one of its own.
    pub cgroup: Option<PathBuf>,
}

/// What a worker is to be.
pub(crate) struct Launch<'a> {
    /// The program that begins as [`launch`](crate::launch), and its arguments.
    pub(crate) worker: &'a [OsString],
    /// The program that it becomes, and its arguments.
    pub(crate) command: Option<&'a [OsString]>,
    /// The folder that it runs in; `None`: that of this process.
    pub(crate) folder: Option<&'a Path>,
    /// Files that it loads.
    pub(crate) files: Vec<PathBuf>,
    /// The plugin that it loads.
    pub(crate) image: Option<&'a PluginImage>,
    pub(crate) confinement: &'a Confinement,
}

/// A worker that was started.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    /// The other end of its descriptor 0.
    pub(crate) socket: OwnedFd,
    /// The read ends of its stdout and stderr.
    pub(crate) output: Pipes,
    /// Where it leaves a record if it crashes; `None`: it becomes another program.
    pub(crate) crash: Option<CrashPipe>,
    pub(crate) entering: Entering,
    pub(crate) belongings: Belongings,
}

/// What a worker has for itself, and what is removed after its end.
pub(crate) struct Belongings {
    /// Ended and removed first.
    cgroup: Option<Group>,
    /// Its `TMPDIR`.
    _scratch: Option<Scratch>,
}

impl Belongings {
    /// Whether the kernel has ended the worker, or a process of its own, because memory ran out; false
    /// without a control group, which alone would tell.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Group::ran_out_of_memory)
    }
}

/// A worker on its way into the sandbox.
pub(crate) struct Entering {
    pipe: File,
    /// What this process has done for it already.
    measure: Option<Measure>,
    requires: bool,
}

/// Starts a worker.
pub(crate) fn spawn(launch: &Launch<'_>) -> Result<Spawned, Failed> {
    let (program, arguments) = launch.worker.split_first().ok_or_else(|| {
        failed("no program for workers is named", "the command is empty", "name one")
    })?;
    let no_socket = |error: rustix::io::Errno| failed("no socket for a worker", error, "");
    let (here, there) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(no_socket)?;
    let (report, report_end) = pipe_with(PipeFlags::CLOEXEC).map_err(no_socket)?;
    let no_pipe = |error| failed("no pipe for a worker's output", error, "");
    let (stdout, stdout_end) = pipe_with(PipeFlags::CLOEXEC).map_err(no_pipe)?;
    let (stderr, stderr_end) = pipe_with(PipeFlags::CLOEXEC).map_err(no_pipe)?;
    let (crash, crash_end) = match launch.command {
        None => Some(CrashPipe::new().map_err(no_pipe)?).unzip(),
        Some(_) => (None, None),
    };
    let Confinement { sandbox, env, user, group, cgroup } = launch.confinement;
    let mut sandbox = sandbox.clone();
    if let Some(user) = user {
        sandbox.user = Some(users::resolve(user, group.as_deref())?);
    }
    let mut environment: BTreeMap<OsString, OsString> = INHERITED_VARIABLES
        .iter()
        .filter_map(|name| Some((OsString::from(name), env::var_os(name)?)))
        .chain(env.iter().map(|(name, value)| (name.into(), value.into())))
        .collect();
    environment.insert(SOCKET_VARIABLE.into(), "0".into());
    let scratch = match sandbox.profile {
        Profile::None => None,
        _ => Some(Scratch::new(sandbox.user)?),
    };
    if let Some(folder) = &scratch {
        sandbox.writable.push(folder.path().to_owned());
        environment.insert("TMPDIR".into(), folder.path().into());
    }
    sandbox.readable.extend(launch.files.iter().cloned());
    let command = launch.command.map(|command| found(command, environment.get(OsStr::new("PATH"))));
    let folder = launch.folder.unwrap_or(Path::new(""));
    if let Some(command) = &command {
        sandbox.executes = true;
        // The program and the files that its arguments name; not its options.
        let named = command.iter().map(|word| folder.join(word));
        sandbox.readable.extend(named.filter(|path| path.is_file()));
        // An interpreter may be a script that starts others.
        if sandbox.profile == Profile::Default {
            sandbox.allow.push(Allow::Processes);
        }
    }
    // What it starts can leave its group; the other profiles do not let it start anything.
    let is_guarded = sandbox.allow.contains(&Allow::Processes)
        || command.is_some() && sandbox.profile == Profile::None;
    environment.extend(guard::variable(is_guarded));
    let mut child = Command::new(program);
    if let Some(folder) = launch.folder {
        child.current_dir(folder);
        // They are relative to the folder of this process, and are opened in that of the worker.
        for path in sandbox.readable.iter_mut().chain(&mut sandbox.writable) {
            *path = std::path::absolute(&path).map_err(|error| {
                failed(format!("{} cannot be found", path.display()), error, "write it in full")
            })?;
        }
    }
    let child = child
        .args(arguments)
        .stdin(Stdio::from(there))
        .stdout(Stdio::from(stdout_end))
        .stderr(Stdio::from(stderr_end))
        .env_clear()
        .envs(&environment)
        .spawn()
        .map_err(|error| {
            let what = format!("cannot start {}", program.display());
            failed(what, error, "is it there, and may it be run?")
        })?;
    // It waits for its setup, and has started nothing.
    let (cgroup, measure) = match cgroup {
        Some(parent) => {
            let (cgroup, measure) = Group::new(parent, &sandbox.limits, child.id());
            (cgroup, Some(measure))
        }
        None => (None, None),
    };
    let requires = sandbox.require;
    let setup = Setup { host: process::id(), sandbox, command };
    let mut spawned = Spawned {
        child,
        socket: here,
        output: [stdout, stderr],
        crash,
        entering: Entering { pipe: report.into(), measure, requires },
        belongings: Belongings { cgroup, _scratch: scratch },
    };
    let passed = (&report_end, launch.image, crash_end.as_ref());
    if let Err(failed) = send(&spawned.socket, &setup, passed) {
        // It may have ended already.
        let _ = spawned.child.kill();
        let _ = spawned.child.wait();
        return Err(failed);
    }
    Ok(spawned)
}

/// The command with the path of its program, as a shell finds it.
fn found(command: &[OsString], path: Option<&OsString>) -> Vec<OsString> {
    let mut command = command.to_vec();
    if let (Some(program), Some(path)) = (command.first_mut(), path)
        && Path::new(program).components().count() == 1
    {
        let mut candidates = env::split_paths(path).map(|folder| folder.join(&program));
        if let Some(found) = candidates.find(|candidate| candidate.is_file()) {
            *program = found.into();
        }
    }
    command
}

fn send(
    socket: &OwnedFd,
    setup: &Setup,
    (report, image, crash): (&OwnedFd, Option<&PluginImage>, Option<&OwnedFd>),
) -> Result<(), Failed> {
    let no_setup = |cause: &dyn ToString, hint: &str| {
        failed("the worker cannot be sent into its sandbox", cause.to_string(), hint)
    };
    let setup = serde_json::to_vec(setup).map_err(|error| no_setup(&error, ""))?;
    if setup.len() > SETUP_BYTES_MAX {
        let cause = format!("its description has {} bytes, at most {SETUP_BYTES_MAX}", setup.len());
        return Err(no_setup(&cause, "name folders instead of files in `read` and `write`"));
    }
    let message = [&(setup.len() as u32).to_le_bytes(), &*setup].concat();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [Some(report.as_fd()), image.map(AsFd::as_fd), crash.map(AsFd::as_fd)];
    let rights: Vec<_> = rights.into_iter().flatten().collect();
    control.push(SendAncillaryMessage::ScmRights(&rights));
    let mut rest = message.as_slice();
    while !rest.is_empty() {
        match sendmsg(socket, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                rest = rest.get(sent..).unwrap_or_default();
                control.clear();
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(no_setup(&error, "")),
        }
    }
    Ok(())
}

impl Entering {
    /// Waits until the worker is in its sandbox, and executes its program if it has one; 0 ms: for ever. The
    /// number is the worker's, if the process that was started is its guard.
    pub(crate) fn wait(mut self, timeout_ms: u64) -> Result<(Report, Option<u32>), Failed> {
        let until = (timeout_ms > 0)
            .then(|| Instant::now().checked_add(Duration::from_millis(timeout_ms)))
            .flatten();
        let mut lines = Vec::new();
        loop {
            let mut piece = [0; 4096];
            match self.read(&mut piece, until) {
                Ok(0) => break,
                Ok(count) => lines.extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) => {
                    let hint = "`load_timeout_ms` of the plugin waits longer";
                    return Err(failed("the worker was not ready in time", error, hint));
                }
            }
        }
        let (mut report, mut guarded) = (None, None);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(Progress::Guarded(worker)) => guarded = Some(worker),
                Ok(Progress::Entered(entered)) => report = Some(entered),
                Ok(Progress::Failed(failed)) => return Err(failed),
                Err(error) => return Err(failed("the worker's report is none", error, "")),
            }
        }
        let mut report = report.ok_or_else(|| {
            failed(
                "the worker ended before it was in its sandbox",
                "",
                "is it a program of becket's?",
            )
        })?;
        report.measures.extend(self.measure);
        if self.requires {
            report.require().map_err(|error| not_entered(&error))?;
        }
        Ok((report, guarded))
    }

    /// Some bytes; 0: the end.
    fn read(&mut self, piece: &mut [u8], until: Option<Instant>) -> io::Result<usize> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.map(Timespec::try_from).transpose().unwrap_or_default();
            match poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], left.as_ref()) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return self.pipe.read(piece),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A process, to be killed when its session is over: it may hang, or not speak the protocol.
#[derive(Clone, Default)]
pub(crate) struct Killer(Arc<Target>);

#[derive(Default)]
struct Target {
    descriptor: OnceLock<OwnedFd>,
    is_killed: AtomicBool,
}

impl Killer {
    /// Of a child that was not waited for, or a guard's.
    pub(crate) fn of(pid: u32) -> Self {
        let killer = Self::default();
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        // Without a descriptor it ends by the end of its socket alone.
        if let Some(Ok(descriptor)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            let _ = killer.0.descriptor.set(descriptor);
        }
        killer
    }

    /// Kills the process, if it is still there.
    pub(crate) fn kill(&self) {
        if let Some(descriptor) = self.0.descriptor.get() {
            self.0.is_killed.store(true, Ordering::Release);
            // It has ended.
            let _ = pidfd_send_signal(descriptor, Signal::KILL);
        }
    }

    /// Kills the process, unless it ends by itself within [`LEAVING`]: its socket is closed, as it is when
    /// an interpreter has ended its program and then ends itself.
    pub(crate) fn kill_unless_it_ends(&self) {
        let killer = self.clone();
        let wait = move || {
            if !killer.has_ended_within(LEAVING) {
                killer.kill();
            }
        };
        let thread = thread::Builder::new().name("becket-leaving".to_owned());
        if thread.spawn(wait).is_err() {
            self.kill();
        }
    }

    /// Whether the process was killed by this, or was to be and had ended already.
    pub(crate) fn has_killed(&self) -> bool {
        self.0.is_killed.load(Ordering::Acquire)
    }

    /// Waits for its end; false if that does not come within this time, or cannot be waited for.
    pub(crate) fn has_ended_within(&self, time: Duration) -> bool {
        self.wait_within(time) == Some(true)
    }

    /// Whether its end comes within this time; `None`: that cannot be waited for.
    pub(crate) fn wait_within(&self, time: Duration) -> Option<bool> {
        let descriptor = self.0.descriptor.get()?;
        let until = Instant::now() + time;
        loop {
            let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
            // It is readable once the process has ended.
            match poll(&mut [PollFd::new(descriptor, PollFlags::IN)], left.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                ended => return ended.ok().map(|ready| ready > 0),
            }
        }
    }
}
