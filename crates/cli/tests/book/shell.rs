// SPDX-License-Identifier: BSD-3-Clause
//! A shell that keeps its folder and its variables from one command to the next, and a command that
//! keeps running beside it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process_group};

/// A command that takes longer hangs.
const COMMAND_SECONDS_MAX: u64 = 120;

pub(crate) struct Shell {
    child: Child,
    stdin: ChildStdin,
    /// The status of each command, and the folder behind it.
    ended: Receiver<String>,
    folder: PathBuf,
    status: i32,
    environment: Vec<(&'static str, OsString)>,
    /// Where scripts and their output are.
    scripts: PathBuf,
    count: usize,
}

/// How a command ended, and all that it printed.
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) output: Vec<String>,
}

impl Shell {
    pub(crate) fn start(folder: &Path, environment: &[(&'static str, OsString)]) -> Self {
        let scripts = folder.join(".scripts");
        fs::create_dir(&scripts).unwrap();
        let mut command = bash(folder, environment);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let ended = lines(child.stdout.take().unwrap());
        let environment = environment.to_vec();
        let folder = folder.to_owned();
        Self { child, stdin, ended, folder, status: 0, environment, scripts, count: 0 }
    }

    /// Where the shell is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a command to its end.
    pub(crate) fn run(&mut self, command: &str) -> Result<Ended, String> {
        self.count += 1;
        let script = self.scripts.join(self.count.to_string());
        let output = script.with_extension("out");
        fs::write(&script, command).unwrap();
        // Sourced, so that `cd`, `export` and `$?` mean what they mean to a reader.
        writeln!(
            self.stdin,
            "(exit {}); . '{}' </dev/null >'{}' 2>&1; echo \"$? $PWD\"",
            self.status,
            script.display(),
            output.display()
        )
        .unwrap();
        let ended = self.ended.recv_timeout(Duration::from_secs(COMMAND_SECONDS_MAX));
        let output = fs::read(&output).unwrap_or_default();
        let output: Vec<_> = String::from_utf8_lossy(&output).lines().map(str::to_owned).collect();
        let ended = ended.map_err(|error| {
            let what = match error {
                RecvTimeoutError::Timeout => "does not end",
                RecvTimeoutError::Disconnected => "ended the shell",
            };
            format!("`{command}` {what}\n{}", output.join("\n"))
        })?;
        let (status, folder) = ended.split_once(' ').unwrap();
        self.status = status.parse().unwrap();
        self.folder = folder.into();
        Ok(Ended { status: self.status, output })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        end(&mut self.child, Signal::KILL);
    }
}

/// A command that keeps running.
pub(crate) struct Background {
    child: Child,
    printed: Receiver<String>,
}

impl Background {
    /// Starts it where the shell is.
    pub(crate) fn start(command: &str, shell: &Shell) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut bash = bash(&shell.folder, &shell.environment);
        bash.arg("-c").arg(format!("exec {command}")).stdin(Stdio::null());
        bash.stdout(writer.try_clone().unwrap()).stderr(writer);
        let child = bash.spawn().unwrap();
        Self { child, printed: lines(reader) }
    }

    /// The next line that it prints; `None` if it ended, or prints nothing more.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.printed.recv_timeout(Duration::from_secs(COMMAND_SECONDS_MAX)).ok()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        end(&mut self.child, Signal::INT);
    }
}

fn bash(folder: &Path, environment: &[(&'static str, OsString)]) -> Command {
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc"]).current_dir(folder);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    for name in ["RUST_LOG", "NO_COLOR", "RUST_BACKTRACE", "MAKEFLAGS", "BASH_ENV"] {
        command.env_remove(name);
    }
    // Its processes can then be ended together.
    command.process_group(0);
    command
}

/// Ends a process and all of its group, and waits for it.
fn end(child: &mut Child, signal: Signal) {
    let group = Pid::from_child(child);
    // An error means that it has ended already.
    let _ = kill_process_group(group, signal);
    let _ = child.wait();
    let _ = kill_process_group(group, Signal::KILL);
}

/// The lines of what a process prints, as they come.
fn lines(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            line.clear();
            if send.send(text).is_err() {
                return;
            }
        }
    });
    receive
}
