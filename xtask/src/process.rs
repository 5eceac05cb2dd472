// SPDX-License-Identifier: BSD-3-Clause
//! Running a program, its output to the screen or to a log.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

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
            // The log is for reading after a failure; losing a line of it fails nothing.
            Self::Log { file, .. } => drop(writeln!(file, "{line}")),
        }
    }

    /// Runs the program to its end; anything but success is an error.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<(), Error> {
        let line = shown(command);
        self.say(&format!("$ {line}"));
        if let Self::Log { path, file } = self {
            command.stdin(Stdio::null()).stdout(clone(path, file)?).stderr(clone(path, file)?);
        }
        let status = command.status().map_err(|source| spawn_error(command, source))?;
        self.judge(line, status)
    }

    /// Runs the program and returns what it prints; what it says on stderr goes to this output.
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

/// What the program prints, on either stream, if it is there and succeeds.
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

/// Moves `from` over `to` in one step. A file that a process has mapped keeps its old bytes, where
/// writing in place would change them under it.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(|source| Error::File {
        action: "move into place",
        path: to.into(),
        source,
    })
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

/// Writes a file, over one that is there.
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

/// The command as one would type it: the program's file name, then its arguments.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words: Vec<_> =
        std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}
