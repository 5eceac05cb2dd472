// SPDX-License-Identifier: BSD-3-Clause
//! The commands that this build does not have: each keeps its name, takes any arguments, and fails
//! with the feature that it needs and the way to get it.
//!
//! `becket` without default features serves, inspects, calls, checks and starts plugins. That is
//! what `cargo xtask run` builds, because it takes a third of the time.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::ui::text::shell_word;

/// The arguments that the command would have had.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(hide = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Args {
    /// Fails as `becket NAME` with these arguments, which needs `feature`. The arguments include
    /// global options that follow the name.
    pub(crate) fn refuse(&self, name: &str, feature: &str) -> Result<Exit, Failure> {
        let failure = self.failure(name, feature);
        if self.arguments.iter().any(|argument| argument == "--json") {
            Ui::plain(true).failure(&failure);
            return Ok(failure.exit());
        }
        Err(failure)
    }

    fn failure(&self, name: &str, feature: &str) -> Failure {
        let mut command = name.to_owned();
        for argument in &self.arguments {
            command.push(' ');
            command.push_str(&shell_word(argument));
        }
        failure(name, &command, feature)
    }
}

/// The failure of `becket NAME`, which is not in this build; `command` has its arguments too.
pub(crate) fn failure(name: &str, command: &str, feature: &str) -> Failure {
    let failure = Failure::new(Exit::Usage, format!("`becket {name}` is not in this build"));
    // One that is no default is asked for by name.
    let (why, flag) = match feature {
        "cluster" => ("whose client is large: it is no default", " --features cluster"),
        _ => ("as `cargo xtask run` builds it", ""),
    };
    failure.cause(format!("it was built without the feature `{feature}`, {why}")).hint(format!(
        "in the checkout of Becket, `cargo run --release --package becket{flag} -- {command}` builds \
         and runs it, and `cargo install --path crates/cli{flag}` installs it with the others"
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: One,
    }

    #[derive(Debug, clap::Subcommand)]
    enum One {
        #[command(disable_help_flag = true)]
        Lab(Args),
    }

    /// Whatever arguments follow the name, the failure says how to get the command and is never a
    /// usage error.
    #[test]
    fn a_command_that_is_left_out_takes_any_arguments_and_says_how_to_get_it() {
        let asked: [&[&str]; 5] = [
            &[],
            &["--help"],
            &["-h"],
            &["run", "--adapter", "plugin:./my file.so#echo", "-v", "--seed=1"],
            &["explain", "--", "INT-01", "-x"],
        ];
        for arguments in asked {
            let line = [&["becket", "lab"], arguments].concat();
            let One::Lab(args) = Line::try_parse_from(line).unwrap().command;
            let failure = args.refuse("lab", "lab").unwrap_err();
            assert_eq!(failure.to_string(), "`becket lab` is not in this build");
            assert!(failure.why().unwrap().contains("the feature `lab`"));
            let hint = failure.advice().unwrap();
            assert!(hint.contains("cargo run --release --package becket -- lab"), "{hint}");
            assert!(hint.contains("cargo install --path crates/cli"), "{hint}");
            assert_eq!(failure.exit(), Exit::Usage);
        }
    }

    #[test]
    fn the_line_to_type_instead_is_one_that_a_shell_reads_back() {
        let line = ["becket", "lab", "run", "--adapter", "my file"];
        let One::Lab(args) = Line::try_parse_from(line).unwrap().command;
        let failure = args.failure("lab", "lab");
        assert!(failure.advice().unwrap().contains("-- lab run --adapter 'my file'`"));
    }
}
