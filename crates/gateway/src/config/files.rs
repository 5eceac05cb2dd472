// SPDX-License-Identifier: BSD-3-Clause
//! Files that a configuration names and the gateway itself reads: certificates, keys, tokens.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::check::Complaint;
use super::cluster::Secret;
use super::locate::KeyPath;

/// What any other user of the machine may do with a file.
const OTHERS: u32 = 0o007;
/// What the group may not do with a secret.
const GROUP_WRITES: u32 = 0o020;

/// The longest file of a token.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;
/// The shortest token. One that is shorter can be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// The file's bytes, at most `bytes_max`.
pub(crate) fn read(path: &KeyPath, file: &Path, bytes_max: u64) -> Result<Vec<u8>, Complaint> {
    let unreadable = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => {
                "check the path: it is relative to the configuration's folder"
            }
            io::ErrorKind::PermissionDenied => "let the user that runs the gateway read the file",
            _ => "check that it is a file that can be read",
        };
        let what = format!("`{path}` is `{}`, which cannot be read", file.display());
        Complaint::new(path.clone(), what, hint).because(error.to_string())
    };
    let mut text = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(bytes_max + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > bytes_max {
        return Err(Complaint::new(
            path.clone(),
            format!("`{path}` is `{}`, which is longer than {bytes_max} bytes", file.display()),
            "keep only what the gateway needs in it",
        ));
    }
    Ok(text)
}

/// Refuses a secret that other users may read, or that its group may write. A file that is not there is no
/// complaint of this.
pub(crate) fn check_private(path: &KeyPath, file: &Path) -> Result<(), Complaint> {
    match fs::metadata(file).map(|meta| meta.permissions().mode()) {
        Ok(mode) if mode & (OTHERS | GROUP_WRITES) != 0 => Err(Complaint::new(
            path.clone(),
            format!("`{path}` is `{}`, which others may use", file.display()),
            format!(
                "`chmod o=,g-w {}`: its owner and, at most, its group may read it",
                file.display()
            ),
        )
        .because(format!("its mode is {:04o}", mode & 0o7777))),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A token: the first line of a file, or a variable.
pub(crate) fn read_token(path: &KeyPath, secret: &Secret) -> Result<String, Complaint> {
    let wrong = |cause: &str| {
        let what = match secret {
            Secret::File(file) => {
                format!("`{path}` is `file:{}`, which has no token", file.display())
            }
            Secret::Env(name) => format!("`{path}` is `env:{name}`, which has no token"),
        };
        let hint = "make one, such as by `openssl rand -hex 32`";
        Complaint::new(path.clone(), what, hint).because(cause.to_owned())
    };
    let token = match secret {
        Secret::Env(name) => {
            std::env::var(name).map_err(|_| wrong("the variable is not set, or is no text"))?
        }
        Secret::File(file) => {
            check_private(path, file)?;
            let text = read(path, file, TOKEN_FILE_BYTES_MAX)?;
            let text = String::from_utf8(text).map_err(|_| wrong("it is no text"))?;
            text.lines().next().unwrap_or_default().trim().to_owned()
        }
    };
    if token.len() < TOKEN_BYTES_MIN {
        return Err(wrong("it has less than 16 characters"));
    }
    match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token),
        false => Err(wrong("a character of it cannot be in a header")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;

    fn load(folder: &Path, lines: &str) -> Result<Config, ConfigError> {
        let file = folder.join("becket.toml");
        fs::write(&file, format!("[admin]\n{lines}\n")).unwrap();
        Config::load_with_files(&file)
    }

    #[test]
    fn a_token_is_private_and_long() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let lines = "token = \"file:token\"";
        let refused = || load(folder.path(), lines).unwrap_err().render();
        assert!(refused().contains("becket.toml:2:9: `admin.token` is `"), "{}", refused());
        let write = |text: &str, mode| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        for (text, mode, message) in [
            ("0123456789abcdef\n", 0o644, "others may use"),
            ("0123456789abcdef\n", 0o660, "its mode is 0660"),
            ("0123456789abcde\n", 0o600, "less than 16"),
            ("", 0o600, "less than 16"),
            ("0123456789 abcdef", 0o600, "cannot be in a header"),
        ] {
            write(text, mode);
            let refused = refused();
            assert!(refused.contains(message) && refused.contains("hint: "), "{refused}");
            assert!(!refused.contains("0123"), "{refused}");
        }
        write("0123456789abcdef\nmore", 0o640);
        load(folder.path(), lines).unwrap();
        let unset = load(folder.path(), "token = \"env:BECKET_NO_SUCH_VARIABLE\"").unwrap_err();
        assert!(unset.render().contains("the variable is not set"), "{}", unset.render());
        // What was written in place of its place is not shown.
        let error = load(folder.path(), "token = \"s3cret\"").unwrap_err().render();
        assert!(!error.contains("s3cret") && error.contains("[admin]"), "{error}");
    }
}
