// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin new --lang LANG NAME`: a project that builds, runs and has a test.
//!
//! The project is complete: it contains the SDK, so it builds on any machine with the tools of its
//! language, and has no path of the machine that built this command. In a template `{{name}}` is
//! the project's name, `{{ident}}` the same as an identifier, `{{becket}}` the folder of the SDK,
//! `{{module}}` and `{{testing}}` its modules for Node.
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
    Python,
    Node,
}

/// How a project of a language is built, tested and loaded. Empty: there is no such step.
struct Steps {
    word: &'static str,
    build: &'static str,
    /// A note on the first build.
    first_build: &'static str,
    test: &'static str,
    /// What is loaded: `{}` is the project's name as an identifier.
    plugin: &'static str,
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
    let [module, testing] = sdk::node_modules(&becket);
    let mut files = if args.sdk.is_none() { sdk::files(args.lang)? } else { Vec::new() };
    for (path, content) in embedded::folder(&format!("crates/cli/templates/{}", args.lang.word())) {
        let text = String::from_utf8_lossy(content)
            .replace("{{name}}", &args.name)
            .replace("{{ident}}", &ident)
            .replace("{{becket}}", &becket)
            .replace("{{module}}", module)
            .replace("{{testing}}", testing);
        files.push((path.strip_suffix(".in").unwrap_or(path).to_owned(), text.into_bytes()));
    }
    files.sort();
    for (path, content) in &files {
        write(&dir.join(path), content)?;
    }
    let steps = args.lang.steps();
    let made = Made {
        lang: steps.word,
        files: files.into_iter().map(|(path, _)| path).collect(),
        build: sdk::build(args.lang, &becket).unwrap_or_else(|| steps.build.to_owned()),
        first_build: steps.first_build,
        test: steps.test.to_owned(),
        library: steps.plugin.replace("{}", &ident),
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
    const fn steps(self) -> Steps {
        let (word, build, test, plugin) = match self {
            Self::Rust => {
                ("rust", "cargo build --release", "cargo test", "target/release/lib{}.so")
            }
            Self::C => ("c", "make", "make test", "lib{}.so"),
            Self::Cpp => ("cpp", "make", "make test", "lib{}.so"),
            Self::Go => ("go", "make", "make test", "lib{}.so"),
            Self::Zig => ("zig", "zig build", "zig build test", "zig-out/lib/lib{}.so"),
            Self::Python => ("python", "", "python3 -m unittest", "plugin.py"),
            Self::Node => ("node", "", "node --test", "plugin.js"),
        };
        let first_build = match self {
            Self::Zig => "  # the first takes a minute: Zig compiles its build system and library",
            _ => "",
        };
        Steps { word, build, first_build, test, plugin }
    }

    const fn word(self) -> &'static str {
        self.steps().word
    }
}

fn next_steps(made: &Made) -> String {
    let becket = crate::commands::program();
    let library = &made.library;
    let name = &made.name;
    let build = match made.build.as_str() {
        "" => String::new(),
        build => format!("  {build}{}\n", paint(DIM, made.first_build)),
    };
    format!(
        "{} {} ({})\n\n  cd {}\n{build}  {}\n  {becket} plugin check {library}\n  \
         {becket} plugin call {library} hello --data you\n  \
         {becket} serve --plugin {name}={library}\n\n{}\n",
        paint(HEAD, "Made"),
        made.dir.display(),
        text::plural(made.files.len() as u64, "file"),
        text::shell_word(&made.dir.display().to_string()),
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
