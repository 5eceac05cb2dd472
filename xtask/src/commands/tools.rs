// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask tools`: reports which tools are there, and fetches missing ones.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::context::Context;
use crate::error::Error;
use crate::process::Output;
use crate::tools::Tools;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which: go, zig, cmake, cargo-deny, cargo-fuzz, mdbook, nats-server or all. Without a name those that come as
    /// binaries: Go, Zig and CMake.
    #[arg(value_name = "TOOL")]
    names: Vec<String>,
    /// Only look; fetch nothing. Without names it looks for all.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let mut code = ExitCode::SUCCESS;
    let tools = match &*arguments.names {
        [] if arguments.check => Tools::named(&["all".to_owned()])?,
        names => Tools::named(names)?,
    };
    for tool in &tools {
        let found = if arguments.check {
            let absent = || tool.missing("it is neither on PATH nor in .tools/".into());
            context.tools.find(tool).ok_or_else(absent)
        } else {
            context.tools.obtain(tool, &mut Output::Screen)
        };
        match found {
            Ok(path) => println!("{:<11} {}", tool.name, path.display()),
            Err(missing) => {
                println!("{:<11} not there: {}", tool.name, missing.cause);
                println!("{:<11} get it: {}", "", missing.hint);
                code = ExitCode::FAILURE;
            }
        }
    }
    if let Some(line) = path_line(&context.tools.folders(&tools)) {
        println!("\nFor projects of your own, in the shell that builds them:\n  {line}");
    }
    Ok(code)
}

/// The shell line that puts these folders at the front of `PATH`.
fn path_line(folders: &[PathBuf]) -> Option<String> {
    if folders.is_empty() {
        return None;
    }
    let mut line = String::from("export PATH=\"");
    for folder in folders {
        // Inside double quotes these four are special to a shell.
        for character in folder.to_string_lossy().chars() {
            if matches!(character, '"' | '\\' | '$' | '`') {
                line.push('\\');
            }
            line.push(character);
        }
        line.push(':');
    }
    // Writing to a String cannot fail.
    let _ = write!(line, "$PATH\"");
    Some(line)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_line_for_a_shell_puts_the_folders_first_whatever_they_are_called() {
        assert_eq!(path_line(&[]), None);
        let folders =
            ["/a b/go/bin", "/c/$HOME", "/d/`x`", "/e/\"q\"", r"/f/\g"].map(PathBuf::from);
        let line = path_line(&folders).unwrap();
        let script = format!("PATH=/usr/bin:/bin; {line}; printf %s \"$PATH\"");
        let said = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        let path = String::from_utf8(said.stdout).unwrap();
        assert_eq!(path, r#"/a b/go/bin:/c/$HOME:/d/`x`:/e/"q":/f/\g:/usr/bin:/bin"#);
    }
}
