// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask install`: the C library `libkcoro` for the programs of a machine.
//!
//! ```text
//!   PREFIX/include/kcoro/*.h, kcoro.hpp, kcoro/*.hpp
//!   PREFIX/lib/libkcoro.a
//!   PREFIX/lib/libkcoro.so -> libkcoro.so.0 -> libkcoro.so.0.1.0
//!   PREFIX/lib/pkgconfig/kcoro.pc
//!   PREFIX/lib/cmake/kcoro/kcoroConfig.cmake, kcoroConfigVersion.cmake
//! ```
//!
//! With `DESTDIR` in the environment everything is written below that folder, for packagers; paths
//! inside the files have `PREFIX` alone. Each file is written beside its destination and renamed
//! over it, so that a program which has the old library mapped keeps it.

use std::env;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::context::Context;
use crate::error::{Error, Missing};
use crate::process::{Output, cargo, cc, create_folder, cxx, on_path, publish, read};

const PACKAGE: &str = "libkcoro";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where programs will find it.
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// The folder of libraries below the prefix.
    #[arg(long, value_name = "NAME", default_value = "lib")]
    libdir: String,
    /// Build without optimisation.
    #[arg(long)]
    debug: bool,
    /// Install into a scratch folder instead, build the examples and the library's C tests from
    /// there as C11 and C++17, and run them.
    #[arg(long, conflicts_with_all = ["prefix", "libdir"])]
    check: bool,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    if arguments.check {
        check(context, arguments.debug, true, &mut Output::Screen)?;
        return Ok(ExitCode::SUCCESS);
    }
    let prefix = std::path::absolute(&arguments.prefix).map_err(|source| Error::File {
        action: "find",
        path: arguments.prefix.clone(),
        source,
    })?;
    let place = Place {
        destination: env::var_os("DESTDIR")
            .map(PathBuf::from)
            .filter(|it| !it.as_os_str().is_empty()),
        prefix,
        libdir: arguments.libdir,
        root: None,
    };
    let profile = profile(arguments.debug);
    for file in install(context, cargo(), &place, profile, &mut Output::Screen)? {
        println!("{}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Programs of the C tests that run from an installed tree also in the short form: copies between
/// threads, a coroutine that waits, a channel of another process.
const SHORT: [&str; 3] = ["chan_copy.c", "chan_coroutine.c", "ipc_chan.c"];

/// Installs into a scratch folder, and builds and runs the examples and the C tests from there. In
/// the short form (not `runs_all`) the examples run as C with the shared library and as C++ with
/// the static one; all C tests are built, and only those of [`SHORT`] run, because the tests of the
/// package run all of them from the build tree.
pub(crate) fn check(
    context: &Context,
    debug: bool,
    runs_all: bool,
    output: &mut Output,
) -> Result<(), Error> {
    let scratch = context.target().join("xtask").join("install");
    remove_folder(&scratch)?;
    let place = Place::at(scratch.join("prefix"));
    install(context, cargo(), &place, profile(debug), output)?;
    for program in ["make", "pkg-config"] {
        if on_path(program).is_none() {
            return Err(Error::Missing(Missing {
                tool: program.into(),
                cause: "it is not on PATH".into(),
                hint: format!("`apt install {program}` or `brew install {program}`"),
            }));
        }
    }
    let examples = scratch.join("examples");
    copy_folder(&context.path("examples/kcoro"), &examples)?;
    let libraries = place.prefix.join("lib");
    let ways = [("c", "shared"), ("c++", "static"), ("c++", "shared"), ("c", "static")];
    for (language, link) in ways.into_iter().take(if runs_all { 4 } else { 2 }) {
        output.run(
            Command::new("make")
                .current_dir(&examples)
                .env("PKG_CONFIG_PATH", libraries.join("pkgconfig"))
                .env("LD_LIBRARY_PATH", &libraries)
                .arg(format!("LANGUAGE={language}"))
                .arg(format!("LINK={link}"))
                .arg("check"),
        )?;
    }
    check_tests(context, &scratch, &libraries, runs_all, output)?;
    check_cmake(context, &scratch, &examples, &place.prefix, output)
}

/// Installs into the folder `prefix`, which is emptied before, without optimisation: for other
/// languages' tests.
pub(crate) fn into(context: &Context, prefix: &Path, output: &mut Output) -> Result<(), Error> {
    remove_folder(prefix)?;
    let place = Place::at(prefix.into());
    install(context, cargo(), &place, profile(true), output).map(drop)
}

/// Installs below the folder `root` what will be below `prefix`, built by `cargo` with this profile.
pub(crate) fn stage(
    context: &Context,
    cargo: Command,
    root: &Path,
    prefix: &str,
    profile: &str,
    output: &mut Output,
) -> Result<(), Error> {
    let place = Place { root: Some(root.into()), ..Place::at(prefix.into()) };
    install(context, cargo, &place, profile, output).map(drop)
}

/// As cargo names it.
fn profile(debug: bool) -> &'static str {
    if debug { "dev" } else { "release" }
}

/// Builds the C tests, which use every function, with the flags of pkg-config and no others. They
/// are optimised only if all of them run: for a few, optimising costs more time than it saves.
fn check_tests(
    context: &Context,
    scratch: &Path,
    libraries: &Path,
    runs_all: bool,
    output: &mut Output,
) -> Result<(), Error> {
    let tests = scratch.join("tests");
    copy_folder(&context.path("crates/capi/tests/c"), &tests)?;
    let said = output.read(
        Command::new("pkg-config")
            .env("PKG_CONFIG_PATH", libraries.join("pkgconfig"))
            .args(["--cflags", "--libs", "kcoro"]),
    )?;
    let flags: Vec<&str> = said.split_whitespace().collect();
    let languages: [(&dyn Fn() -> Command, &str, &str); 2] =
        [(&cc, "c", "-std=c11"), (&cxx, "c++", "-std=c++17")];
    let (mut compilers, mut programs) = (Vec::new(), Vec::new());
    for (source, is_folder) in entries(&tests)? {
        if is_folder || source.extension().is_none_or(|extension| extension != "c") {
            continue;
        }
        let runs = runs_all || SHORT.iter().any(|name| source.ends_with(name));
        for (compiler, language, standard) in languages {
            let program = source.with_extension(format!("as-{language}"));
            let mut compile = compiler();
            compile
                .current_dir(&tests)
                .args(["-x", language, standard, if runs_all { "-O2" } else { "-O0" }, "-pthread"])
                .args(["-Wall", "-Wextra", "-pedantic", "-Werror"])
                .arg("-D_POSIX_C_SOURCE=200809L")
                .arg(&source)
                .args(["-x", "none"])
                .args(&flags)
                .arg("-o")
                .arg(&program);
            compilers.push(compile);
            programs.extend(runs.then_some(program));
        }
    }
    output.run_all(compilers)?;
    for program in programs {
        output.run(Command::new(program).env("LD_LIBRARY_PATH", libraries))?;
    }
    Ok(())
}

fn check_cmake(
    context: &Context,
    scratch: &Path,
    examples: &Path,
    prefix: &Path,
    output: &mut Output,
) -> Result<(), Error> {
    let cmake = context.tools.cmake(output)?.to_owned();
    let build = scratch.join("cmake");
    output.run(
        Command::new(&cmake)
            .arg("-S")
            .arg(examples)
            .arg("-B")
            .arg(&build)
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())),
    )?;
    output.run(Command::new(&cmake).arg("--build").arg(&build))?;
    output.run(
        Command::new(cmake.with_file_name("ctest"))
            .arg("--test-dir")
            .arg(&build)
            .arg("--output-on-failure"),
    )
}

/// Where the files go.
struct Place {
    destination: Option<PathBuf>,
    prefix: PathBuf,
    libdir: String,
    /// In place of the prefix, until the files are moved there.
    root: Option<PathBuf>,
}

impl Place {
    fn at(prefix: PathBuf) -> Self {
        Self { destination: None, prefix, libdir: "lib".to_owned(), root: None }
    }

    /// Where a file of the prefix is written.
    fn staged(&self, relative: &Path) -> PathBuf {
        if let Some(root) = &self.root {
            return root.join(relative);
        }
        let path = self.prefix.join(relative);
        match &self.destination {
            // The prefix is absolute: below the destination it is not.
            Some(destination) => destination.join(
                path.components()
                    .filter(|part| matches!(part, Component::Normal(_)))
                    .collect::<PathBuf>(),
            ),
            None => path,
        }
    }
}

/// The libraries that cargo built, and the system libraries that the static one needs.
struct Built {
    shared: PathBuf,
    archive: PathBuf,
    static_libs: String,
}

/// The version, and the names of the shared library that follow from it.
struct Names {
    version: String,
    major: String,
    minor: String,
    /// The `soname`, which the linker writes into programs.
    shared: String,
    /// The file.
    shared_file: String,
}

impl Names {
    fn new(version: &str) -> Self {
        let mut parts = version.split('.');
        let major = parts.next().unwrap_or_default().to_owned();
        let minor = parts.next().unwrap_or_default().to_owned();
        let (shared, shared_file) = if cfg!(target_os = "macos") {
            (format!("libkcoro.{major}.dylib"), format!("libkcoro.{version}.dylib"))
        } else {
            (format!("libkcoro.so.{major}"), format!("libkcoro.so.{version}"))
        };
        Self { version: version.to_owned(), major, minor, shared, shared_file }
    }

    /// The name that `-lkcoro` finds.
    fn link(&self) -> &'static str {
        if cfg!(target_os = "macos") { "libkcoro.dylib" } else { "libkcoro.so" }
    }

    fn linker_argument(&self) -> String {
        if cfg!(target_os = "macos") {
            format!("link-arg=-Wl,-install_name,@rpath/{}", self.shared)
        } else {
            format!("link-arg=-Wl,-soname,{}", self.shared)
        }
    }
}

/// Builds and installs; the files that were written.
fn install(
    context: &Context,
    cargo: Command,
    place: &Place,
    profile: &str,
    output: &mut Output,
) -> Result<Vec<PathBuf>, Error> {
    let names = Names::new(&version(context)?);
    let built = build(context, cargo, &names, profile, output)?;
    let source = context.path("crates/capi");
    let libdir = Path::new(&place.libdir);
    let mut files = Vec::new();

    for (header, below) in headers(&source.join("include"))? {
        files.push(copy(&header, &place.staged(&Path::new("include/kcoro").join(below)))?);
    }
    files.push(copy(&built.archive, &place.staged(&libdir.join("libkcoro.a")))?);
    files.push(copy(&built.shared, &place.staged(&libdir.join(&names.shared_file)))?);
    let major = place.staged(&libdir.join(&names.shared));
    files.push(link(&names.shared_file, &major)?);
    files.push(link(&names.shared, &place.staged(&libdir.join(names.link())))?);

    for (template, below) in [
        ("kcoro.pc.in", "pkgconfig/kcoro.pc"),
        ("kcoroConfig.cmake.in", "cmake/kcoro/kcoroConfig.cmake"),
        ("kcoroConfigVersion.cmake.in", "cmake/kcoro/kcoroConfigVersion.cmake"),
    ] {
        let text = read(&source.join("package").join(template))?;
        let text = filled(&text, place, &names, &built.static_libs, below.ends_with(".pc"));
        files.push(write(&text, &place.staged(&libdir.join(below)))?);
    }
    Ok(files)
}

/// The template with its `@NAMES@` replaced.
fn filled(text: &str, place: &Place, names: &Names, static_libs: &str, spaces: bool) -> String {
    let up = vec![".."; Path::new(&place.libdir).components().count()].join("/");
    // CMake's lists are separated by semicolons, and have the bare names of libraries.
    let list = static_libs.replace("-l", "").split_whitespace().collect::<Vec<_>>().join(";");
    let static_libs = if spaces { static_libs } else { &list };
    [
        ("@PREFIX@", place.prefix.display().to_string().as_str()),
        ("@LIBDIR@", place.libdir.as_str()),
        ("@UP@", up.as_str()),
        ("@VERSION@", names.version.as_str()),
        ("@MAJOR@", names.major.as_str()),
        ("@MINOR@", names.minor.as_str()),
        ("@SHARED_FILE@", names.shared_file.as_str()),
        ("@SHARED_NAME@", names.shared.as_str()),
        ("@STATIC_LIBS@", static_libs),
    ]
    .iter()
    .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

pub(crate) fn version(context: &Context) -> Result<String, Error> {
    let packages = context.metadata().get("packages").and_then(Value::as_array);
    packages
        .into_iter()
        .flatten()
        .find(|package| package.get("name").and_then(Value::as_str) == Some(PACKAGE))
        .and_then(|package| package.get("version")?.as_str())
        .map(str::to_owned)
        .ok_or_else(|| Error::Absent(context.path("crates/capi")))
}

fn build(
    context: &Context,
    mut command: Command,
    names: &Names,
    profile: &str,
    output: &mut Output,
) -> Result<Built, Error> {
    command
        .current_dir(context.root())
        .args(["rustc", "--package", PACKAGE, "--lib", "--message-format=json"])
        .args(["--profile", profile])
        .args(["--", "--print=native-static-libs", "-C"])
        .arg(names.linker_argument());
    let text = output.read(&mut command)?;
    let messages = || text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let artifacts: Vec<PathBuf> = messages()
        .filter(|message| message.pointer("/target/name").and_then(Value::as_str) == Some("kcoro"))
        .filter_map(|message| Some(message.get("filenames")?.as_array()?.clone()))
        .flatten()
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .collect();
    let with = |extensions: &[&str]| {
        artifacts
            .iter()
            .find(|file| {
                file.extension().is_some_and(|it| extensions.iter().any(|want| it == *want))
            })
            .cloned()
    };
    let unreadable =
        |what: &str| Error::Output { command: "cargo rustc".into(), what: what.to_owned() };
    let static_libs = messages()
        .filter_map(|message| {
            let text = message.pointer("/message/message")?.as_str()?;
            text.strip_prefix("native-static-libs: ").map(|libs| libs.trim().to_owned())
        })
        .next_back()
        .ok_or_else(|| unreadable("it does not say what the static library needs"))?;
    Ok(Built {
        shared: with(&["so", "dylib"]).ok_or_else(|| unreadable("no shared library"))?,
        archive: with(&["a"]).ok_or_else(|| unreadable("no static library"))?,
        static_libs,
    })
}

/// The headers below a folder, each with its path from there.
fn headers(folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let mut headers = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        for (path, is_folder) in entries(&folder.join(&below))? {
            let Some(name) = path.file_name() else { continue };
            let relative = below.join(name);
            if is_folder {
                folders.push(relative);
            } else if path.extension().is_some_and(|it| it == "h" || it == "hpp") {
                headers.push((path, relative));
            }
        }
    }
    headers.sort();
    Ok(headers)
}

pub(crate) fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>, Error> {
    let unreadable = |source| Error::File { action: "list", path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_folder = path.is_dir();
        entries.push((path, is_folder));
    }
    Ok(entries)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    create_folder(to)?;
    for (path, is_folder) in entries(from)? {
        let Some(name) = path.file_name() else { continue };
        if is_folder {
            copy_folder(&path, &to.join(name))?;
        } else {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

pub(crate) fn remove_folder(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::File { action: "remove", path: path.into(), source })
        }
        _ => Ok(()),
    }
}

/// Puts a file in place through one beside it, made by `make`.
fn place_file(
    to: &Path,
    make: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<PathBuf, Error> {
    if let Some(folder) = to.parent() {
        create_folder(folder)?;
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = to.with_file_name(name);
    // Left over from a try that was interrupted.
    let _ = std::fs::remove_file(&beside);
    make(&beside).map_err(|source| Error::File { action: "write", path: to.to_owned(), source })?;
    publish(&beside, to)?;
    Ok(to.to_owned())
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<PathBuf, Error> {
    place_file(to, |beside| std::fs::copy(from, beside).map(drop))
}

pub(crate) fn write(text: &str, to: &Path) -> Result<PathBuf, Error> {
    place_file(to, |beside| std::fs::write(beside, text))
}

#[cfg(unix)]
fn link(target: &str, at: &Path) -> Result<PathBuf, Error> {
    place_file(at, |beside| std::os::unix::fs::symlink(target, beside))
}

#[cfg(not(unix))]
fn link(target: &str, at: &Path) -> Result<PathBuf, Error> {
    place_file(at, |beside| std::fs::copy(at.with_file_name(target), beside).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(destination: Option<&str>, libdir: &str) -> Place {
        Place {
            destination: destination.map(PathBuf::from),
            libdir: libdir.into(),
            ..Place::at("/opt/kc".into())
        }
    }

    #[test]
    fn a_destination_is_put_before_the_prefix_and_is_in_no_file() {
        let staged = place(Some("/tmp/stage"), "lib");
        assert_eq!(
            staged.staged(Path::new("lib/libkcoro.a")),
            Path::new("/tmp/stage/opt/kc/lib/libkcoro.a")
        );
        let text = filled("prefix=@PREFIX@", &staged, &Names::new("0.1.0"), "-lm", true);
        assert_eq!(text, "prefix=/opt/kc");
        assert_eq!(
            place(None, "lib").staged(Path::new("lib/libkcoro.a")),
            Path::new("/opt/kc/lib/libkcoro.a")
        );
    }

    #[test]
    fn no_name_is_left_in_a_template() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/capi/package");
        for (template, _) in entries(&root).unwrap() {
            let text = read(&template).unwrap();
            let place = place(None, "lib/x86_64-linux-gnu");
            let text = filled(&text, &place, &Names::new("1.2.3"), "-lm -ldl", false);
            assert!(!text.contains('@'), "{}: {text}", template.display());
        }
    }

    #[test]
    fn cmake_gets_a_list_and_the_way_up_from_a_deep_folder() {
        let place = place(None, "lib/x86_64-linux-gnu");
        let names = Names::new("1.2.3");
        assert_eq!(filled("@STATIC_LIBS@", &place, &names, "-lgcc_s -lm", false), "gcc_s;m");
        assert_eq!(filled("@STATIC_LIBS@", &place, &names, "-lgcc_s -lm", true), "-lgcc_s -lm");
        assert_eq!(filled("@UP@", &place, &names, "", false), "../..");
        assert_eq!((names.major.as_str(), names.minor.as_str()), ("1", "2"));
    }
}
