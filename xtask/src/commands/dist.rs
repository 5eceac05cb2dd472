// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask dist`: what is given to machines on which nothing is built, in `target/xtask/dist/`.
//!
//! ```text
//!   becket-VERSION-TARGET.tar.gz       everything, below one folder: unpack it into /usr/local, or anywhere
//!   becket_VERSION_ARCHITECTURE.deb    the same below /usr, with its unit file, if dpkg-deb is there
//!   becket-VERSION-TARGET.oci.tar      an image of containers (`oci`), and its layout as a folder
//!   SHA256SUMS
//!
//!   bin/becket                         lib/libkcoro.{so,a}, lib/pkgconfig/, lib/cmake/
//!   include/kcoro/, include/becket/    share/man/man1/, completions of bash, zsh and fish
//!   lib/systemd/system/becket.service  share/becket/: an example of the configuration, the dashboard
//!   share/doc/becket/                  README, CHANGELOG, the licence, and those of all dependencies
//! ```
//!
//! The same commit, toolchain and machine type give the same bytes: paths of the machine are mapped to fixed ones, files
//! are in order of their names, belong to user 0 and have the time of the commit (or
//! `SOURCE_DATE_EPOCH`). `--check` makes everything twice, in two target folders, and compares.

mod deb;
mod layout;
mod oci;

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use super::install;
use crate::context::Context;
use crate::error::{Error, Missing};
use crate::process::{Output, cargo, create_folder, on_path, read, write};

/// The profile of `Cargo.toml`.
const PROFILE: &str = "dist";

/// Where the tarball's own paths begin, once it is unpacked where its README says.
const TARBALL_PREFIX: &str = "/usr/local";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Make everything twice, in two target folders, and compare the bytes.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let mut output = Output::Screen;
    let folder = context.target().join("xtask").join("dist");
    let began = Instant::now();
    let first = make(context, &folder, &folder.join("target"), &mut output)?;
    println!("made in {} s", began.elapsed().as_secs());
    if arguments.check {
        match oci::try_out(&folder, &mut output)? {
            Some(text) => println!("in the image alone: {text}"),
            None => println!("not tried in the image alone: this user may not change a root"),
        }
        if !deb::inspect(&folder, &mut output)? {
            println!("the package of Debian is not inspected: there is no lintian, or no package");
        }
        let again = folder.join("again");
        let second = make(context, &again, &again.join("target"), &mut output)?;
        if first != second {
            let rule = format!("two runs give the same bytes: {first}\nand\n{second}");
            return Err(Error::Rules(vec![rule]));
        }
        println!("two runs gave the same bytes, in {} s", began.elapsed().as_secs());
    }
    print!("{first}");
    Ok(ExitCode::SUCCESS)
}

/// Makes the files in `folder`. Their check sums.
fn make(
    context: &Context,
    folder: &Path,
    target: &Path,
    output: &mut Output,
) -> Result<String, Error> {
    let build = Build::new(context, target)?;
    create_folder(folder)?;
    build.cargo(output, &["build", "--package", "becket", "--bin", "becket"])?;
    let triple = triple(output)?;
    let name = format!("becket-{}-{triple}", build.version);
    let tarball = format!("{name}.tar.gz");
    let root = folder.join(&name);
    install::remove_folder(&root)?;
    build.stage(&root, TARBALL_PREFIX, output)?;
    build.tar(folder, &[&name], Path::new(&tarball), output)?;
    let mut files = vec![tarball, oci::make(&build, folder, &name, output)?];
    match on_path("dpkg-deb") {
        Some(_) => files.push(deb::make(&build, folder, output)?),
        None => output.say("no .deb: dpkg-deb is not on PATH"),
    }
    let sums = output.read(Command::new("sha256sum").current_dir(folder).args(&files))?;
    write(&folder.join("SHA256SUMS"), &sums)?;
    Ok(sums)
}

/// How everything is built, so that the machine leaves no trace in it.
struct Build<'a> {
    context: &'a Context,
    target: &'a Path,
    version: String,
    /// Seconds since 1970: the time of every file.
    time: String,
    rustflags: String,
}

impl<'a> Build<'a> {
    fn new(context: &'a Context, target: &'a Path) -> Result<Self, Error> {
        for program in ["tar", "gzip", "sha256sum"] {
            if on_path(program).is_none() {
                return Err(Error::Missing(Missing {
                    tool: program.into(),
                    cause: "it is not on PATH".into(),
                    hint: "a package is made on Linux, with the tools of GNU".into(),
                }));
            }
        }
        let time = match env::var("SOURCE_DATE_EPOCH") {
            Ok(time) => time,
            Err(_) => {
                Output::Screen.read(Command::new("git").current_dir(context.root()).args([
                    "log",
                    "-1",
                    "--format=%ct",
                ]))?
            }
        };
        let mut maps = vec![(target.to_owned(), "/target"), (context.root().to_owned(), "/becket")];
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        maps.extend(
            home.or_else(|| Some(env::home_dir()?.join(".cargo"))).map(|it| (it, "/cargo")),
        );
        let maps =
            maps.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        Ok(Self {
            context,
            target,
            version: install::version(context)?,
            time: time.trim().to_owned(),
            rustflags: maps.collect::<Vec<_>>().join("\u{1f}"),
        })
    }

    fn cargo(&self, output: &mut Output, words: &[&str]) -> Result<(), Error> {
        output.run(self.command().args(words).args(["--locked", "--profile", PROFILE]))
    }

    fn command(&self) -> Command {
        let mut command = cargo();
        command
            .current_dir(self.context.root())
            .env("CARGO_TARGET_DIR", self.target)
            .env("CARGO_ENCODED_RUSTFLAGS", &self.rustflags)
            .env("CARGO_INCREMENTAL", "0");
        command
    }

    fn becket(&self) -> PathBuf {
        self.target.join(PROFILE).join("becket")
    }

    /// Puts everything below `root`, for programs that will find it below `prefix`.
    fn stage(&self, root: &Path, prefix: &str, output: &mut Output) -> Result<(), Error> {
        let (context, becket) = (self.context, self.becket());
        install::stage(context, self.command(), root, prefix, PROFILE, output)?;
        let put = |from: &Path, to: &str| install::copy(from, &root.join(to)).map(drop);
        put(&becket, "bin/becket")?;
        for header in ["becket.h", "nylon_ring.h", "nylon_ring_v2.h"] {
            let from = context.path("crates/abi/include").join(header);
            put(&from, &format!("include/becket/{header}"))?;
        }
        for name in ["README.md", "CHANGELOG.md", "LICENSE"] {
            put(&context.path(name), &format!("share/doc/becket/{name}"))?;
        }
        put(&context.path("docs/grafana/becket.json"), "share/becket/grafana/becket.json")?;
        let text = |text: &str, to: &str| install::write(text, &root.join(to)).map(drop);
        text(&self.licences(output)?, "share/doc/becket/DEPENDENCIES")?;
        let example = output.read(Command::new(&becket).args(["config", "example"]))?;
        text(&example, "share/becket/becket.toml")?;
        for (shell, to) in [
            ("bash", "share/bash-completion/completions/becket"),
            ("zsh", "share/zsh/site-functions/_becket"),
            ("fish", "share/fish/vendor_completions.d/becket.fish"),
        ] {
            text(&output.read(Command::new(&becket).args(["completions", shell]))?, to)?;
        }
        let man = root.join("share/man/man1");
        create_folder(&man)?;
        output.run(Command::new(&becket).arg("man").arg("--dir").arg(&man))?;
        let unit = read(&context.path("crates/cli/package/becket.service"))?;
        let unit = unit.replace("=/usr/bin/", &format!("={prefix}/bin/"));
        text(&unit, "lib/systemd/system/becket.service")
    }

    /// Name, version and licence of every dependency that is in the program or the library.
    fn licences(&self, output: &mut Output) -> Result<String, Error> {
        let tree = output.read(self.command().args([
            "tree",
            "--locked",
            "--package",
            "becket",
            "--package",
            "libkcoro",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}\t{l}",
        ]))?;
        Ok(dependencies(&tree))
    }

    /// Packs what `folder` has under these names into `tarball`, which is compressed if its name ends so.
    fn tar(
        &self,
        folder: &Path,
        names: &[&str],
        tarball: &Path,
        output: &mut Output,
    ) -> Result<(), Error> {
        let mut tar = self.tar_command(folder);
        tar.arg("--mode=u+rwX,go+rX,go-w");
        if tarball.extension().is_some_and(|it| it == "gz") {
            tar.env("GZIP", "").arg("--use-compress-program=gzip -n9");
        }
        output.run(tar.arg("-cf").arg(tarball).args(names))
    }

    fn tar_command(&self, folder: &Path) -> Command {
        let mut tar = Command::new("tar");
        tar.current_dir(folder).args([
            "--sort=name",
            "--format=ustar",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
        ]);
        tar.arg(format!("--mtime=@{}", self.time));
        tar
    }
}

/// The target that the compiler builds for.
fn triple(output: &mut Output) -> Result<String, Error> {
    let about = output.read(Command::new("rustc").arg("-vV"))?;
    about
        .lines()
        .find_map(|line| Some(line.strip_prefix("host: ")?.to_owned()))
        .ok_or_else(|| Error::Output { command: "rustc -vV".into(), what: "no host".into() })
}

/// From the lines of `cargo tree`: each package once, in order, without the paths of this machine.
fn dependencies(tree: &str) -> String {
    let lines: BTreeSet<String> = tree
        .lines()
        .filter_map(|line| {
            let (package, licence) = line.split_once('\t')?;
            // A package of this repository has its folder behind it; others may say `(proc-macro)`.
            let package = package.split(" (").next()?;
            let licence = licence.trim_end_matches(" (*)");
            Some(format!("{package}: {licence}\n"))
        })
        .collect();
    lines.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_listed_once_and_without_folders() {
        let tree = "becket v0.1.0 (/a/b)\tBSD-3-Clause\nserde v1.0.0\tMIT OR Apache-2.0\n\
                    derive v1.0.0 (proc-macro)\tMIT (*)\nserde v1.0.0\tMIT OR Apache-2.0 (*)\n";
        assert_eq!(
            dependencies(tree),
            "becket v0.1.0: BSD-3-Clause\nderive v1.0.0: MIT\nserde v1.0.0: MIT OR Apache-2.0\n"
        );
    }
}
