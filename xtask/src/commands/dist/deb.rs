// SPDX-License-Identifier: BSD-3-Clause
//! The package of Debian: what the tarball has, below `/usr`, and what dpkg asks of a package.
//!
//! ```text
//!   DEBIAN/control     the package, what it needs of glibc, its size
//!   DEBIAN/conffiles   etc/becket/becket.toml: an upgrade keeps what was changed there
//!   DEBIAN/triggers    ldconfig runs when the package comes and goes
//!   DEBIAN/shlibs      what a package that is linked with libkcoro depends on
//!   DEBIAN/post*, pre* `crates/cli/package`
//! ```
//!
//! [`inspect`] lets lintian look for errors in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Build;
use crate::commands::install;
use crate::error::Error;
use crate::process::{Output, on_path, read};

const PREFIX: &str = "/usr";

/// What dpkg runs when the package comes and goes; in `crates/cli/package`.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// What lintian takes for errors, and is as it should be: there is no address for mail, the changes are in `CHANGELOG.md`,
/// and the names of functions are in a crash's stack.
const INTENDED: &str = "bogus-mail-host,no-changelog,unstripped-binary-or-object";

/// Makes the package in `folder`; its name.
pub(super) fn make(build: &Build<'_>, folder: &Path, output: &mut Output) -> Result<String, Error> {
    let architecture = output.read(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let root = folder.join("deb");
    install::remove_folder(&root)?;
    build.stage(&root.join("usr"), PREFIX, output)?;
    files(build, &root, output)?;
    output.run(Command::new("chmod").arg("-R").arg("u+rwX,go+rX,go-w").arg(&root))?;
    // A library is not run.
    output.run(Command::new("chmod").arg("a-x").arg(root.join("usr/lib/libkcoro.so")))?;

    let version = &build.version;
    let libc = libc(&[root.join("usr/bin/becket"), root.join("usr/lib/libkcoro.so")])?;
    let control = format!(
        "Package: becket\nVersion: {version}\nArchitecture: {architecture}\n\
         Maintainer: The Becket authors <becket@localhost>\nSection: net\nPriority: optional\n\
         Installed-Size: {}\nDepends: {libc}, libgcc-s1\n\
         Description: plugins over HTTP, and channels between processes\n \
         The gateway and command `becket`, the C library libkcoro, and the\n \
         headers of plugins.\n",
        kibibytes(&root)?
    );
    let put = |text: &str, name: &str| install::write(text, &root.join("DEBIAN").join(name));
    put(&control, "control")?;
    put("/etc/becket/becket.toml\n", "conffiles")?;
    put("activate-noawait ldconfig\n", "triggers")?;
    let major = version.split('.').next().unwrap_or_default();
    put(&format!("libkcoro {major} becket (>= {version})\n"), "shlibs")?;
    let scripts = SCRIPTS.map(|name| root.join("DEBIAN").join(name));
    for (name, to) in SCRIPTS.iter().zip(&scripts) {
        install::copy(&build.context.path("crates/cli/package").join(name), to)?;
    }
    output.run(Command::new("chmod").arg("-R").arg("u=rwX,go=rX").arg(root.join("DEBIAN")))?;
    output.run(Command::new("chmod").arg("a+x").args(&scripts))?;

    let name = format!("becket_{version}_{architecture}.deb");
    output.run(
        Command::new("dpkg-deb").current_dir(folder).env("SOURCE_DATE_EPOCH", &build.time).args([
            "--root-owner-group",
            "-Zxz",
            "--build",
            "deb",
            &name,
        ]),
    )?;
    Ok(name)
}

/// What the package has beside the tarball's files, or in another form.
fn files(build: &Build<'_>, root: &Path, output: &mut Output) -> Result<(), Error> {
    let example = read(&root.join("usr/share/becket/becket.toml"))?;
    install::write(&example, &root.join("etc/becket/becket.toml"))?;
    let terms = read(&build.context.path("LICENSE"))?;
    let terms = format!(
        "Becket:\n\n{terms}\nWhat is linked into it, with the licence of each: \
         /usr/share/doc/becket/DEPENDENCIES\n"
    );
    install::write(&terms, &root.join("usr/share/doc/becket/copyright"))?;
    let pages = install::entries(&root.join("usr/share/man/man1"))?;
    let pages = pages.into_iter().map(|(page, _)| page);
    output.run(Command::new("gzip").env("GZIP", "").arg("-n9f").args(pages))
}

/// Lets lintian look at the package in `folder`. False if there is none of the two.
pub(super) fn inspect(folder: &Path, output: &mut Output) -> Result<bool, Error> {
    let is_package = |path: &PathBuf| path.extension().is_some_and(|it| it == "deb");
    let mut found = install::entries(folder)?.into_iter().map(|(path, _)| path);
    let (Some(_), Some(package)) = (on_path("lintian"), found.find(is_package)) else {
        return Ok(false);
    };
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error", "--suppress-tags", INTENDED]);
    output.run(lintian.arg(package))?;
    Ok(true)
}

/// The size of everything below `folder`, as Debian counts it: each file in whole kibibytes, and one for all else.
fn kibibytes(folder: &Path) -> Result<u64, Error> {
    let mut sum = 1;
    for (path, is_folder) in install::entries(folder)? {
        sum += match is_folder {
            true => kibibytes(&path)?,
            false => {
                let found = std::fs::symlink_metadata(&path);
                let about = found.map_err(|source| Error::File { action: "read", path, source })?;
                if about.is_file() { about.len().div_ceil(1024) } else { 1 }
            }
        };
    }
    Ok(sum)
}

/// What the package needs of glibc: the newest version that a symbol of these files has.
fn libc(files: &[PathBuf]) -> Result<String, Error> {
    let mut newest = None;
    for file in files {
        let bytes = std::fs::read(file).map_err(|source| Error::File {
            action: "read",
            path: file.into(),
            source,
        })?;
        newest = newest.max(newest_glibc(&bytes));
    }
    Ok(newest.map_or("libc6".into(), |minor| format!("libc6 (>= 2.{minor})")))
}

/// The largest `N` of all `GLIBC_2.N` in a file.
fn newest_glibc(file: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"GLIBC_2.";
    let found = file.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let minor = |(at, _): (usize, _)| {
        let digits = file.get(at + NAME.len()..)?.iter().take_while(|byte| byte.is_ascii_digit());
        let digits: String = digits.map(|byte| char::from(*byte)).collect();
        digits.parse().ok()
    };
    found.filter_map(minor).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_decides() {
        assert_eq!(
            newest_glibc(b"\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_PRIVATE\0GLIBC_2.2.5\0"),
            Some(34)
        );
        assert_eq!(newest_glibc(b"\x7fELF"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_size_is_of_whole_kibibytes_and_follows_no_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::create_dir(folder.join("a")).expect("a folder");
        std::fs::write(folder.join("a/b"), [0; 1025]).expect("a file");
        std::os::unix::fs::symlink("a/b", folder.join("c")).expect("a link");
        assert_eq!(kibibytes(folder).expect("a size"), 1 + 1 + 2 + 1);
    }
}
