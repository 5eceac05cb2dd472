// SPDX-License-Identifier: BSD-3-Clause
//! Running a program, its output to the screen or to a log.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::SystemTime;

use crate::error::Error;

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The C compiler: `CC`, or `cc`.
pub(crate) fn cc() -> Command {
    Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()))
}

/// The C++ compiler: `CXX`, or `c++`.
pub(crate) fn cxx() -> Command {
    Command::new(env::var_os("CXX").unwrap_or_else(|| "c++".into()))
}

/// Where the output of the programs goes.
#[derive(Debug)]
pub(crate) enum Output {
    /// To the terminal.
    Screen,
    /// To a file.
    Log { path: PathBuf, file: File },
}

/// Before the lines of [`Output::remark`].
pub(crate) const REMARK: &str = "remark: ";

impl Output {
    /// Output to a new file.
    pub(crate) fn log(path: PathBuf) -> Result<Self, Error> {
        let file = File::create(&path).map_err(|source| Error::File {
            action: "create",
            path: path.clone(),
            source,
        })?;
        Ok(Self::Log { path, file })
    }

    /// One line from this program itself.
    pub(crate) fn say(&mut self, line: &str) {
        match self {
            Self::Screen => eprintln!("{line}"),
            // The log is for reading after a failure; a lost line of it is no error.
            Self::Log { file, .. } => drop(writeln!(file, "{line}")),
        }
    }

    /// A line that the summary of the steps shows as well, also of a step that passed.
    pub(crate) fn remark(&mut self, text: &str) {
        self.say(&format!("{REMARK}{text}"));
    }

    /// Runs the program to its end; fails unless it succeeds.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<(), Error> {
        let line = shown(command);
        self.say(&format!("$ {line}"));
        if let Self::Log { path, file } = self {
            command.stdin(Stdio::null()).stdout(clone(path, file)?).stderr(clone(path, file)?);
        }
        let status = command.status().map_err(|source| spawn_error(command, source))?;
        self.judge(line, status)
    }

    /// Runs programs that mostly wait, all at the same time. The output of each comes in one piece,
    /// in the order of the programs. All run to their end; the first that failed is the error.
    pub(crate) fn run_together(&mut self, commands: Vec<Command>) -> Result<(), Error> {
        let start = |mut command: Command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let started = command.spawn().map_err(|source| spawn_error(&command, source));
            (command, started)
        };
        let children: Vec<_> = commands.into_iter().map(start).collect();
        let mut result = Ok(());
        for (command, started) in children {
            let line = shown(&command);
            self.say(&format!("$ {line}"));
            let ended = started.and_then(|child| {
                child.wait_with_output().map_err(|source| spawn_error(&command, source))
            });
            result = result.and(ended.and_then(|output| {
                self.say(&String::from_utf8_lossy(&output.stdout));
                self.say(&String::from_utf8_lossy(&output.stderr));
                self.judge(line, output.status)
            }));
        }
        result
    }

    /// Runs programs that keep a processor busy, as many at the same time as there are processors.
    pub(crate) fn run_all(&mut self, mut commands: Vec<Command>) -> Result<(), Error> {
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        while !commands.is_empty() {
            let rest = commands.split_off(at_once.min(commands.len()));
            self.run_together(std::mem::replace(&mut commands, rest))?;
        }
        Ok(())
    }

    /// Runs the program and returns its stdout; its stderr goes to this output.
    pub(crate) fn read(&mut self, command: &mut Command) -> Result<String, Error> {
        let line = shown(command);
        self.say(&format!("$ {line}"));
        command.stdin(Stdio::null());
        match self {
            Self::Screen => command.stderr(Stdio::inherit()),
            Self::Log { path, file } => command.stderr(clone(path, file)?),
        };
        let output = command.output().map_err(|source| spawn_error(command, source))?;
        self.judge(line.clone(), output.status)?;
        String::from_utf8(output.stdout)
            .map_err(|_| Error::Output { command: line, what: "it is not UTF-8".into() })
    }

    fn judge(&self, command: String, status: ExitStatus) -> Result<(), Error> {
        if status.success() {
            return Ok(());
        }
        let log = match self {
            Self::Screen => None,
            Self::Log { path, .. } => Some(path.clone()),
        };
        Err(Error::Failed { command, status, log })
    }
}

fn clone(path: &Path, file: &File) -> Result<File, Error> {
    file.try_clone().map_err(|source| Error::File { action: "write to", path: path.into(), source })
}

/// What the program prints on both streams, if it can be run and succeeds.
pub(crate) fn probe(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    output.status.success().then(|| String::from_utf8_lossy(&text).into_owned())
}

/// The first program of this name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// `PATH`, and after it the folder of this program: tests run it by its name.
pub(crate) fn path_with(program: Option<&Path>) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folder = program.and_then(Path::parent).map(Path::to_path_buf);
    let folders = env::split_paths(&path).chain(folder);
    // Only a folder with a colon in its name cannot be added.
    env::join_paths(folders).unwrap_or(path)
}

/// Moves `from` over `to` in one step. A file that a process has mapped keeps its old bytes, where
/// writing in place would change them under it.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(|source| Error::File {
        action: "move into place",
        path: to.into(),
        source,
    })
}

/// Whether `built` is there and not older than any of `sources`: files, or folders with everything
/// in them.
pub(crate) fn is_fresh(built: &Path, sources: &[PathBuf]) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|it| it.modified()).ok();
    changed(built).is_some_and(|built| newest(sources).is_some_and(|newest| newest <= built))
}

/// The time of the latest change to any of the files; none if one cannot be read.
fn newest(sources: &[PathBuf]) -> Option<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for source in sources {
        let about = std::fs::metadata(source).ok()?;
        let changed = if about.is_dir() {
            let inside = std::fs::read_dir(source).ok()?.map(|entry| Some(entry.ok()?.path()));
            self::newest(&inside.collect::<Option<Vec<_>>>()?)?
        } else {
            about.modified().ok()?
        };
        newest = newest.max(changed);
    }
    Some(newest)
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::File {
        action: "create",
        path: path.into(),
        source,
    })
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::File {
        action: "read",
        path: path.into(),
        source,
    })
}

/// Writes a file, and replaces an old one.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::File {
        action: "write",
        path: path.into(),
        source,
    })
}

pub(crate) fn spawn_error(command: &Command, source: std::io::Error) -> Error {
    Error::Spawn { program: command.get_program().to_string_lossy().into_owned(), source }
}

/// The command as typed in a shell: the program's file name, then its arguments.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words: Vec<_> =
        std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_a_source_below_a_folder_is_not_fresh() {
        let folder = tempfile::tempdir().expect("a folder");
        let (sources, built) = (folder.path().join("sources/deep"), folder.path().join("built"));
        create_folder(&sources).expect("a folder");
        let source = sources.join("a.c");
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let touch = |path: &Path, seconds| {
            let file = File::create(path).expect("a file");
            file.set_modified(at(seconds)).expect("a time");
        };
        let is_fresh = || is_fresh(&built, &[folder.path().join("sources")]);
        touch(&source, 5);
        assert!(!is_fresh(), "it is not there");
        touch(&built, 5);
        assert!(is_fresh());
        touch(&source, 6);
        assert!(!is_fresh());
        std::fs::remove_dir_all(folder.path().join("sources")).expect("removed");
        assert!(!is_fresh(), "its sources are not there");
    }

    #[test]
    fn programs_that_run_together_all_end_and_the_first_failure_is_the_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let pipe = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        // The first ends only while the third runs.
        let reads = format!("read word < {}; echo \"it read $word\"", pipe.display());
        let writes = format!("echo something > {}", pipe.display());
        let commands = vec![shell(&reads), shell("exit 3"), shell(&writes), shell("exit 4")];
        let error = Output::log(log.clone()).expect("a log").run_together(commands);
        let Err(Error::Failed { status, .. }) = error else { panic!("{error:?}") };
        assert_eq!(status.code(), Some(3));
        assert!(read(&log).expect("the log").contains("it read something"));
    }
}
