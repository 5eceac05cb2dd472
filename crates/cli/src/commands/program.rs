// SPDX-License-Identifier: BSD-3-Clause
//! A plugin that is a program: the command that starts it, from the name of its file.
//!
//! | file | command |
//! |---|---|
//! | executable, begins with `#!` | the file |
//! | ends in a suffix of [`INTERPRETERS`] | its interpreter and the file |
//! | any other | none: a shared library, which is loaded |

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use becket_host::PluginSpec;

use crate::exit::Exit;
use crate::failure::Failure;

/// Suffixes of programs, and what runs them.
const INTERPRETERS: [(&str, &str); 4] =
    [("py", "python3"), ("js", "node"), ("mjs", "node"), ("cjs", "node")];

/// The command of the program in this file; `None` if it is no program.
pub(crate) fn command(path: &Path) -> Option<Vec<OsString>> {
    let file = match path.components().count() {
        // Without a folder it would be looked for on `PATH`.
        1 => Path::new(".").join(path),
        _ => path.to_owned(),
    };
    if is_script(path) {
        return Some(vec![file.into()]);
    }
    let suffix = path.extension()?;
    let (_, interpreter) = INTERPRETERS.iter().find(|(known, _)| suffix == *known)?;
    Some(vec![(*interpreter).into(), file.into()])
}

fn is_script(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let is_executable = file.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    let mut begin = [0; 2];
    is_executable && file.read_exact(&mut begin).is_ok() && begin == *b"#!"
}

/// What a host loads from this file: a native plugin, or a program in a process of its own, in the
/// sandbox that `becket serve` has by default.
pub(crate) fn spec(name: &str, path: &Path) -> Result<PluginSpec, Failure> {
    match command(path) {
        None => Ok(PluginSpec::path(name, path)),
        #[cfg(feature = "process")]
        Some(command) => {
            let plugin = becket_gateway::config::PluginConfig::default();
            let program = becket_gateway::InProcess::Program(command, &plugin);
            Ok(PluginSpec::remote(name, super::worker::processes()?(program)))
        }
        #[cfg(not(feature = "process"))]
        Some(_) => Err(refused(
            path,
            "programs run in a process of their own, and this build has not the feature `process`",
            "`cargo install --path crates/cli` in a checkout of Becket installs all of it"
                .to_owned(),
        )),
    }
}

/// The failure of a command that does not work on programs.
pub(crate) fn refused(path: &Path, cause: &'static str, hint: String) -> Failure {
    Failure::new(Exit::Usage, format!("{} is a program", path.display())).cause(cause).hint(hint)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_is_known_by_its_suffix_or_its_first_line() {
        let words = |path: &str| {
            let command = command(Path::new(path))?;
            Some(command.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>())
        };
        assert_eq!(words("plugin.py").unwrap(), ["python3", "./plugin.py"]);
        assert_eq!(words("a/plugin.mjs").unwrap(), ["node", "a/plugin.mjs"]);
        assert_eq!(words("libplugin.so"), None);
        assert_eq!(words("plugin"), None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        assert_eq!(words(path.to_str().unwrap()), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(words(path.to_str().unwrap()).unwrap(), [path.to_str().unwrap()]);
    }
}
