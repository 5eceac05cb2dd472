// SPDX-License-Identifier: BSD-3-Clause
//! Two processes: this one measures, and this program once more, started with `--serve`, answers.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use becket_ipc::{Client, Options};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The arguments after the program's name.
pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }
}

/// In one process runs `measure` with a client of the other: in a coroutine, or in this thread with
/// `--threads`; over shared memory, or without it with `--socket`. In the other process runs
/// `serve`, at a path.
pub(crate) fn run(
    serve: fn(&Path) -> Result<(), Error>,
    measure: fn(&Client, &Arguments) -> Result<(), Error>,
) -> Result<(), Error> {
    let arguments = Arguments(std::env::args().skip(1).collect());
    if let [role, path] = arguments.0.as_slice()
        && role == "--serve"
    {
        return serve(Path::new(path));
    }
    let other = Other::start()?;
    let mut options = Options::default();
    options.shared_memory = !arguments.has("--socket");
    let client = Client::connect_with(other.socket(), options).wait()?;
    if arguments.has("--threads") {
        measure(&client, &arguments)?;
        drop(client);
    } else {
        let runtime = becket_coro::Runtime::builder().workers(1).build()?;
        let measured = runtime.spawn(move || measure(&client, &arguments));
        measured.join().map_err(|error| error.to_string())??;
    }
    other.end()
}

/// Reports that the server is ready, and waits for the end of standard input.
pub(crate) fn serve_until_stdin_ends() -> Result<(), Error> {
    print!("+");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The other process, and a private directory for its socket.
struct Other {
    directory: PathBuf,
    process: Child,
}

impl Other {
    fn start() -> Result<Self, Error> {
        let directory = std::env::temp_dir().join(format!("becket-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(directory.join("socket"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(out) = &mut process.stdout {
            out.read_exact(&mut [0])?;
        }
        Ok(Self { directory, process })
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    fn end(mut self) -> Result<(), Error> {
        drop(self.process.stdin.take());
        self.process.wait()?;
        std::fs::remove_dir_all(&self.directory)?;
        Ok(())
    }
}
