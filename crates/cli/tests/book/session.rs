// SPDX-License-Identifier: BSD-3-Clause
//! The session of a page: its blocks of commands, in a folder of the page's own.
//!
//! The pages use the addresses and paths that a reader has. Here they are others, so that pages can run
//! at the same time, and beside a gateway of the developer: the gateway is given free ports, commands
//! are changed to ask at those, and what is printed is changed back before it is compared.

use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::{env, fs};

use tempfile::TempDir;

use crate::compare::{has_appeared, is_shown};
use crate::is_overwriting;
use crate::page::{Block, Command, Mark, Printed, commands};
use crate::shell::{Background, Shell};
use crate::{code, root};

pub(crate) struct Session {
    shell: Shell,
    /// The command that keeps running.
    background: Option<Background>,
    /// What a page has, and what there is in its place.
    replaced: Vec<(String, String)>,
    page: PathBuf,
    /// Last: removed when nothing runs in it any more.
    folder: TempDir,
}

/// How lines end that are printed only where something takes longer than a second.
const PROGRESS: &str = " …";

/// The line with which servers end what they print at their start.
const SERVES: &str = "Ctrl-C ends it.";

impl Session {
    /// A session for the page at this path in the repository.
    pub(crate) fn start(page: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("becket-book").tempdir().unwrap();
        let runtime = folder.path().join(".run");
        fs::DirBuilder::new().mode(0o700).create(&runtime).unwrap();
        // The pages begin in a checkout.
        for part in ["crates", "examples", "sdk"] {
            symlink(root().join(part), folder.path().join(part)).unwrap();
        }
        // On a terminal curl shows no progress while it prints there.
        fs::write(folder.path().join(".curlrc"), "no-progress-meter\n").unwrap();
        let programs = Path::new(env!("CARGO_BIN_EXE_becket")).parent().unwrap();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = [programs.to_owned()].into_iter().chain(env::split_paths(&path));
        let environment = [
            ("PATH", env::join_paths(path).unwrap()),
            ("CURL_HOME", folder.path().into()),
            ("XDG_RUNTIME_DIR", runtime.clone().into()),
            ("REPOSITORY", root().into()),
        ];
        // Both are held until both are known, so that they differ.
        let free = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [requests, admin] = free.map(|port| port.local_addr().unwrap().to_string());
        let replaced = vec![
            ("127.0.0.1:8080".to_owned(), requests),
            ("127.0.0.1:9900".to_owned(), admin),
            ("/run/user/1000".to_owned(), runtime.display().to_string()),
        ];
        let shell = Shell::start(folder.path(), &environment);
        Self { shell, background: None, replaced, page: root().join(page), folder }
    }

    /// Writes a block into a file.
    pub(crate) fn write(&self, block: &Block, name: &str) -> Result<(), String> {
        let path = self.shell.folder().join(name);
        fs::write(&path, code::content(&self.page, block)?).map_err(|error| error.to_string())
    }

    /// Runs the commands of a block. `printed` gets what is to replace shown output that differs.
    pub(crate) fn run(
        &mut self,
        block: &Block,
        count: &mut usize,
        printed: &mut Vec<Printed>,
    ) -> Result<(), String> {
        for (_, before) in block.marks.iter().filter(|(mark, _)| *mark == Mark::Before) {
            let ended = self.shell.run(&self.here(before))?;
            if ended.status != 0 {
                return Err(format!("`{before}` failed\n{}", ended.output.join("\n")));
            }
        }
        let commands = commands(block)?;
        let stays = block.marked(Mark::Stays).is_some();
        for (at, command) in commands.iter().enumerate() {
            *count += 1;
            if stays && at + 1 == commands.len() {
                self.keep_running(command)?;
                continue;
            }
            let ended = self.shell.run(&self.here(&command.text))?;
            let output: Vec<_> = ended
                .output
                .iter()
                .filter(|line| !line.ends_with(PROGRESS))
                .map(|line| self.there(line))
                .collect();
            let shown = until_last_text(&command.output);
            if shown.is_empty() {
                if ended.status != 0 {
                    let output = output.join("\n");
                    return Err(format!(
                        "`{}` failed with {}\n{output}",
                        command.text, ended.status
                    ));
                }
            } else if !is_shown(shown, until_last_text(&output)) {
                if is_overwriting() {
                    printed.push((command.output_line, shown.len(), output));
                    continue;
                }
                let (text, shown, output) = (&command.text, shown.join("\n"), output.join("\n"));
                return Err(format!("`{text}`\n--- shown\n{shown}\n--- printed\n{output}"));
            }
        }
        Ok(())
    }

    /// Starts a command that keeps running, and waits for what is shown of its output.
    fn keep_running(&mut self, command: &Command) -> Result<(), String> {
        // It may use what the one before it uses.
        drop(self.background.take());
        let text = self.here(&command.text);
        let mut background = Background::start(&text, &self.shell);
        let shown = until_last_text(&command.output);
        let serves = [SERVES.to_owned()];
        let wanted = if shown.is_empty() { &serves } else { shown };
        let mut output = Vec::new();
        while !has_appeared(wanted, &output) {
            let line = background.line().ok_or_else(|| {
                let (shown, output) = (wanted.join("\n"), output.join("\n"));
                format!("`{}`\n--- shown\n{shown}\n--- printed\n{output}", command.text)
            })?;
            output.push(self.there(&line));
        }
        self.background = Some(background);
        Ok(())
    }

    /// A command of the page, for this folder.
    fn here(&self, command: &str) -> String {
        let mut command = command.to_owned();
        if command.contains("becket serve") && !command.contains("--listen") {
            let ports = "becket serve --listen 127.0.0.1:8080 --admin 127.0.0.1:9900";
            command = command.replace("becket serve", ports);
        }
        for (page, here) in &self.replaced {
            command = command.replace(page, here);
        }
        command
    }

    /// What was printed, as the page has it.
    fn there(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (page, here) in &self.replaced {
            line = line.replace(here, page);
        }
        line.replace(self.folder.path().to_str().unwrap(), concat!("/home", "/you"))
    }
}

/// Without the empty lines at the end.
fn until_last_text(lines: &[String]) -> &[String] {
    let texts = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
    &lines[..texts]
}
