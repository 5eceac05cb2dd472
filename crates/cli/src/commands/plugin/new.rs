// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin new --lang LANG NAME`: a project that builds, runs and has a test.
//!
//! The project is complete: it contains the SDK, so it builds on any machine with the tools of its
//! language, and has no path of the machine that built this command. In a template `{{name}}` is
//! the project's name, `{{ident}}` the same as an identifier, `{{becket}}` the folder of the SDK.
//! The ending `.in` of a file name is dropped (it keeps other tools from taking the template for a
//! project).

mod sdk;

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use crate::embedded;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, HEAD, Ui, paint, text};

/// Start a plugin: a project that builds, runs and has a unit test
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's name: lower-case letters, digits and dashes
    name: String,
    /// The language to write it in
    #[arg(long, value_enum)]
    lang: Lang,
    /// The directory to make [default: ./NAME]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Use the SDK in this checkout of Becket instead of copying it into the project
    #[arg(long, value_name = "CHECKOUT")]
    sdk: Option<PathBuf>,
}

/// The languages with an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Lang {
    Rust,
    C,
    Cpp,
    Go,
    Zig,
}

#[derive(Debug, Serialize)]
struct Made {
    name: String,
    lang: &'static str,
    dir: PathBuf,
    files: Vec<String>,
    build: String,
    #[serde(skip)]
    first_build: &'static str,
    test: String,
    library: String,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    check_name(&args.name)?;
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let is_free = fs::read_dir(&dir).map_or(true, |mut inside| inside.next().is_none());
    if !is_free {
        return Err(Failure::new(
            Exit::Failure,
            format!("{} exists and is not empty", dir.display()),
        )
        .hint("choose another place with `--dir`"));
    }
    let ident = args.name.replace('-', "_");
    let becket = sdk::place(args.sdk.as_deref())?;
    let mut files = if args.sdk.is_none() { sdk::files(args.lang)? } else { Vec::new() };
    for (path, content) in embedded::folder(&format!("crates/cli/templates/{}", args.lang.word())) {
        let text = String::from_utf8_lossy(content)
            .replace("{{name}}", &args.name)
            .replace("{{ident}}", &ident)
            .replace("{{becket}}", &becket);
        files.push((path.strip_suffix(".in").unwrap_or(path).to_owned(), text.into_bytes()));
    }
    files.sort();
    for (path, content) in &files {
        write(&dir.join(path), content)?;
    }
    let made = Made {
        lang: args.lang.word(),
        files: files.into_iter().map(|(path, _)| path).collect(),
        build: args.lang.build().to_owned(),
        first_build: args.lang.first_build(),
        test: args.lang.test().to_owned(),
        library: args.lang.library(&ident),
        name: args.name,
        dir,
    };
    if ui.json() {
        ui.data(&made)?;
    } else {
        ui.text(&next_steps(&made))?;
    }
    Ok(Exit::Ok)
}

impl Lang {
    const fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Go => "go",
            Self::Zig => "zig",
        }
    }

    const fn build(self) -> &'static str {
        match self {
            Self::Rust => "cargo build --release",
            Self::C | Self::Cpp | Self::Go => "make",
            Self::Zig => "zig build",
        }
    }

    /// A note on the first build.
    const fn first_build(self) -> &'static str {
        match self {
            Self::Zig => "  # the first takes a minute: Zig compiles its build system and library",
            Self::Rust | Self::C | Self::Cpp | Self::Go => "",
        }
    }

    const fn test(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::C | Self::Cpp | Self::Go => "make test",
            Self::Zig => "zig build test",
        }
    }

    fn library(self, ident: &str) -> String {
        match self {
            Self::Rust => format!("target/release/lib{ident}.so"),
            Self::C | Self::Cpp | Self::Go => format!("lib{ident}.so"),
            Self::Zig => format!("zig-out/lib/lib{ident}.so"),
        }
    }
}

fn next_steps(made: &Made) -> String {
    let becket = crate::commands::program();
    let library = &made.library;
    let name = &made.name;
    format!(
        "{} {} ({})\n\n  cd {}\n  {}{}\n  {}\n  {becket} plugin check {library}\n  \
         {becket} plugin call {library} hello --data you\n  \
         {becket} serve --plugin {name}={library}\n\n{}\n",
        paint(HEAD, "Made"),
        made.dir.display(),
        text::plural(made.files.len() as u64, "file"),
        text::shell_word(&made.dir.display().to_string()),
        made.build,
        paint(DIM, made.first_build),
        made.test,
        paint(DIM, "README.md in it says more."),
    )
}

/// Fails if the name is not valid as a crate, a module, a file and a part of a URL.
fn check_name(name: &str) -> Result<(), Failure> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let wrong = if !starts || !goes_on || name.ends_with('-') || name.len() > 64 {
        "a name has lower-case letters, digits and dashes, begins with a letter, and is short"
    } else if RESERVED.contains(&name) {
        "it is a word of its own in one of the languages"
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Usage, format!("`{name}` cannot be a plugin's name"))
        .cause(wrong)
        .hint("an example is `my-plugin`"))
}

/// Names that a compiler or the build would reject.
const RESERVED: [&str; 22] = [
    "abstract", "async", "await", "becket", "box", "build", "core", "crate", "dyn", "enum", "fn",
    "go", "impl", "match", "mod", "package", "sdk", "std", "struct", "test", "type", "use",
];

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|error| Failure::file("created", dir, &error))?;
    }
    fs::write(path, content).map_err(|error| Failure::file("written", path, &error))
}
