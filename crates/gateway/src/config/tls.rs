// SPDX-License-Identifier: BSD-3-Clause
//! `[tls]`: certificates of the public listeners, and which clients show one.
//!
//! # Invariants
//!
//! 1. A configuration has paths and no secrets. The files are read when the gateway starts, at each reload, and
//!    by [`Config::load_with_files`](super::Config::load_with_files).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::check::{Complaint, WAIT_MS_MAX, in_range};
use super::locate::KeyPath;

/// How many certificates there may be beside the first.
const MORE_MAX: usize = 64;

/// Certificates, and which clients show one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and those that sign it, as PEM, the certificate first.
    pub certificate: PathBuf,
    /// Its private key, as PEM, without a passphrase.
    pub key: PathBuf,
    /// Certificates for clients that ask for one of their names (SNI).
    pub more: Vec<CertificateConfig>,
    /// Whether clients are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// The certificates, as PEM, that a client's must be signed by.
    pub client_ca: Option<PathBuf>,
    /// How long a handshake may take; then the connection is closed.
    pub handshake_timeout_ms: u64,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            more: Vec::new(),
            client_certificates: ClientCertificates::default(),
            client_ca: None,
            handshake_timeout_ms: 10_000,
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateConfig {
    /// The certificate and those that sign it, as PEM, the certificate first.
    pub certificate: PathBuf,
    /// Its private key, as PEM, without a passphrase.
    pub key: PathBuf,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not.
    #[default]
    Off,
    /// A client may show one; one that is not signed by `client_ca` ends the handshake.
    Optional,
    /// A client must show one.
    Required,
}

impl TlsConfig {
    /// Each certificate with its key, and where they are in the file: the first for clients without SNI.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (KeyPath, &Path, &Path)> {
        let own = (root(), self.certificate.as_path(), self.key.as_path());
        let more = self.more.iter().enumerate().map(|(index, pair)| {
            (root().key("more").index(index), pair.certificate.as_path(), pair.key.as_path())
        });
        std::iter::once(own).chain(more)
    }

    /// Every file that it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.pairs().flat_map(|(_, certificate, key)| [certificate, key]);
        pairs.chain(self.client_ca.as_deref())
    }

    /// Makes relative paths relative to `base`.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let more = self.more.iter_mut().flat_map(|pair| [&mut pair.certificate, &mut pair.key]);
        for path in [&mut self.certificate, &mut self.key]
            .into_iter()
            .chain(more)
            .chain(self.client_ca.as_mut())
        {
            *path = base.join(&*path);
        }
    }
}

/// The table.
pub(crate) fn root() -> KeyPath {
    KeyPath::default().key("tls")
}

/// What is wrong with the table, without a look at the files.
pub(super) fn check(tls: &TlsConfig) -> Result<(), Complaint> {
    for (path, certificate, key) in tls.pairs() {
        for (name, file) in [("certificate", certificate), ("key", key)] {
            // A path that was made relative to a folder ends in a slash.
            if file.as_os_str().is_empty() || file.as_os_str().as_encoded_bytes().ends_with(b"/") {
                return Err(Complaint::new(
                    path.clone(),
                    format!("`{path}` has no `{name}`"),
                    "name two PEM files: `certificate = \"server.pem\"` and `key = \"server.key\"`",
                ));
            }
        }
    }
    if tls.more.len() > MORE_MAX {
        return Err(Complaint::new(
            root().key("more"),
            format!("`tls.more` has {} certificates", tls.more.len()),
            format!("keep at most {MORE_MAX}: one certificate may have many names"),
        ));
    }
    in_range(root().key("handshake_timeout_ms"), tls.handshake_timeout_ms, 1, WAIT_MS_MAX)?;
    match (tls.client_certificates, &tls.client_ca) {
        (ClientCertificates::Off, None) => Ok(()),
        (ClientCertificates::Off, Some(_)) => Err(Complaint::new(
            root().key("client_ca"),
            "`tls.client_ca` is set and clients are not asked for a certificate".to_owned(),
            "write `client_certificates = \"required\"` or \"optional\", or remove `client_ca`",
        )),
        (_, None) => Err(Complaint::new(
            root().key("client_certificates"),
            "`tls.client_certificates` is set and `tls.client_ca` is not".to_owned(),
            "name the file of certificates that sign those of clients: `client_ca = \"clients.pem\"`",
        )),
        (_, Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::testing::refused;
    use super::*;

    const PAIR: &str = "[tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n";

    #[test]
    fn a_certificate_and_its_key_are_given_together() {
        assert!(Config::parse(PAIR, "t").is_ok());
        for (text, message) in [
            ("[tls]\n", "error: t:1:1: `tls` has no `certificate`"),
            ("[tls]\ncertificate = \"a\"\n", "`tls` has no `key`"),
            ("[tls]\nkey = \"a\"\n", "`tls` has no `certificate`"),
            ("[tls]\nkey = \"\"\ncertificate = \"a\"\n", "`tls` has no `key`"),
        ] {
            let text = refused(text);
            assert!(text.contains(message) && text.contains("hint: "), "{text}");
        }
        let text = refused(&format!("{PAIR}[[tls.more]]\ncertificate = \"b.pem\"\n"));
        assert!(text.contains("error: t:4:1: `tls.more[0]` has no `key`"), "{text}");
    }

    #[test]
    fn clients_are_asked_for_what_can_be_checked() {
        for (lines, message) in [
            ("client_ca = \"c.pem\"", "error: t:4:13: `tls.client_ca` is set"),
            ("client_certificates = \"required\"", "error: t:4:23: `tls.client_certificates`"),
            ("client_certificates = \"requird\"", "did you mean `required`?"),
            ("handshake_timeout_ms = 0", "error: t:4:24: `tls.handshake_timeout_ms` is 0"),
        ] {
            let text = refused(&format!("{PAIR}{lines}\n"));
            assert!(text.contains(message), "{text}");
        }
        for asked in ["optional", "required"] {
            let text = format!("{PAIR}client_certificates = \"{asked}\"\nclient_ca = \"c.pem\"\n");
            assert!(Config::parse(&text, "t").is_ok());
        }
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let text = format!(
            "{PAIR}client_certificates = \"optional\"\nclient_ca = \"/c.pem\"\n[[tls.more]]\n\
             certificate = \"b.pem\"\nkey = \"b.key\"\n"
        );
        let tls = Config::parse(&text, "/etc/becket.toml").unwrap().tls.unwrap();
        let files: Vec<_> = tls.files().map(|file| file.to_str().unwrap()).collect();
        assert_eq!(files, ["/etc/a.pem", "/etc/a.key", "/etc/b.pem", "/etc/b.key", "/c.pem"]);
        assert!(refused("[tls]\ncertificate = \"a\"\n").contains("has no `key`"));
        let tls = TlsConfig { key: "/etc/".into(), certificate: "/etc/a".into(), ..tls };
        assert!(check(&tls).is_err());
    }
}
