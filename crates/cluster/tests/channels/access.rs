// SPDX-License-Identifier: BSD-3-Clause
//! TLS, client certificates, users, tokens, keys and credentials files: the right ones connect, others
//! end with an error that names the cause.
//!
//! Certificates are made by `openssl`, keys by the crate `nkeys`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use becket_cluster::{ConnectOptions, Connection, Kind, OpenError, Options};
use futures_lite::future::block_on;
use nkeys::KeyPair;
use tempfile::TempDir;

use crate::open::LONG;
use crate::server::Server;

pub(crate) fn connect(url: &str, options: ConnectOptions) -> Result<Connection, OpenError> {
    block_on(Connection::connect_with(url, options))
}

/// Sends a value and receives it.
pub(crate) fn works(connection: Result<Connection, OpenError>) {
    let kind = Kind::Bounded { capacity: 1 };
    let (tx, rx) = block_on(connection.unwrap().open("jobs", kind, Options::default())).unwrap();
    tx.send("a").timeout(LONG).wait().unwrap();
    assert_eq!(rx.recv().timeout(LONG).wait().unwrap(), "a");
}

/// The connection was refused, for this cause.
fn fails(connection: Result<Connection, OpenError>, cause: &str) {
    let error = connection.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:"), "{error}");
    assert!(error.contains(cause), "expected {cause:?} in {error:?}");
}

/// A certificate authority, with a certificate for servers on loopback and one for clients.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        let folder = authority.0.path();
        openssl(folder, "req -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem");
        for (name, extra) in [("server", "subjectAltName=IP:127.0.0.1"), ("client", "")] {
            // Without this the certificate has version 1, which rustls refuses.
            let text = format!("basicConstraints=CA:FALSE\n{extra}\n");
            fs::write(folder.join("extensions"), text).unwrap();
            openssl(folder, &format!("req -subj /CN={name} -keyout {name}.key -out {name}.csr"));
            openssl(
                folder,
                &format!(
                    "x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
                     -extfile extensions -out {name}.pem"
                ),
            );
        }
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn trusted(&self) -> ConnectOptions {
        ConnectOptions::new().add_root_certificates(self.file("ca.pem"))
    }

    fn with_client(&self, options: ConnectOptions) -> ConnectOptions {
        options.add_client_certificate(self.file("client.pem"), self.file("client.key"))
    }

    fn server(&self, more: &str) -> Server {
        let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| self.file(name));
        Server::start_with(&format!(
            "tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {ca:?}, {more} }}"
        ))
    }
}

fn openssl(folder: &Path, args: &str) {
    let made = if args.starts_with("req") {
        "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    } else {
        ""
    };
    let status = Command::new("openssl")
        .args(args.split_whitespace())
        .args(made.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("`openssl` makes the certificates of this test").success(), "{args}");
}

fn tls(server: &Server) -> String {
    server.url().replace("nats://", "tls://")
}

#[test]
fn tls_needs_a_server_that_a_trusted_authority_has_signed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server("");
    works(connect(&tls(&server), authority.trusted()));
    // The server requires TLS also where the URL does not.
    works(connect(&server.url(), authority.trusted()));
    fails(connect(&tls(&server), ConnectOptions::new()), "certificate");
    fails(connect(&tls(&server), other.trusted()), "certificate");
    let missing = ConnectOptions::new().add_root_certificates("/nowhere/ca.pem".into());
    fails(connect(&tls(&server), missing), "No such file");
    // A server without TLS is not talked to in the clear.
    fails(connect(&tls(&Server::start()), authority.trusted()), "IO error");
}

#[test]
fn a_server_may_require_a_certificate_of_its_clients() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server("verify: true");
    works(connect(&tls(&server), authority.with_client(authority.trusted())));
    fails(connect(&tls(&server), authority.trusted()), "alert: CertificateRequired");
    fails(connect(&tls(&server), other.with_client(authority.trusted())), "alert: ");
}

/// A server for each way to prove a client, what proves it, and what does not.
pub(crate) struct Way {
    pub(crate) server: Server,
    pub(crate) right: ConnectOptions,
    pub(crate) wrong: ConnectOptions,
}

pub(crate) const SECRET: &str = "hush-hush";

/// Each way, and all texts that are to stay secret.
pub(crate) fn ways() -> (Vec<Way>, Vec<String>) {
    let new = ConnectOptions::new;
    let mut secrets = vec![SECRET.to_owned()];
    let user = Way {
        server: Server::start_with("authorization { user: agent, password: hush-hush }"),
        right: new().user_and_password("agent".into(), SECRET.into()),
        wrong: new().user_and_password("agent".into(), "hush-hush-not".into()),
    };
    let token = Way {
        server: Server::start_with("authorization { token: hush-hush }"),
        right: new().token(SECRET.into()),
        wrong: new().token("hush-hush-not".into()),
    };
    let mut seed = |key: &KeyPair| {
        secrets.push(key.seed().unwrap());
        key.seed().unwrap()
    };
    let (known, unknown) = (KeyPair::new_user(), KeyPair::new_user());
    let public = known.public_key();
    let key = Way {
        server: Server::start_with(&format!("authorization {{ users: [ {{ nkey: {public} }} ] }}")),
        right: new().nkey(seed(&known)),
        wrong: new().nkey(seed(&unknown)),
    };
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let (user_key, stranger) = (KeyPair::new_user(), KeyPair::new_account());
    let limits = r#""mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1,"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"conn":-1,"leaf":-1,"wildcards":true"#;
    let account_jwt = jwt(&operator, &account, "account", &format!(r#""limits":{{{limits}}}"#));
    let operator_jwt = jwt(&operator, &operator, "operator", "");
    let of_user = r#""pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1"#;
    let credentials = |signer: &KeyPair, seed: &str| {
        let jwt = jwt(signer, &user_key, "user", of_user);
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        (jwt, text)
    };
    let user_seed = seed(&user_key);
    let ((right_jwt, right), (wrong_jwt, wrong)) =
        (credentials(&account, &user_seed), credentials(&stranger, &user_seed));
    secrets.extend([right_jwt, wrong_jwt]);
    let folder = tempfile::tempdir().unwrap();
    let from_file = |text: String| {
        let file = folder.path().join("agent.creds");
        fs::write(&file, text).unwrap();
        // The client reads files on a runtime of tokio only.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(new().credentials_file(file)).unwrap()
    };
    // A server with JetStream has an account of its own.
    let system = KeyPair::new_account();
    let system_jwt = jwt(&operator, &system, "account", "");
    let (account, system) = (account.public_key(), system.public_key());
    let file = Way {
        server: Server::start_with(&format!(
            "operator: {operator_jwt}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{ {account}: {account_jwt}, {system}: {system_jwt} }}"
        )),
        right: from_file(right),
        wrong: from_file(wrong),
    };
    (vec![user, token, key, file], secrets)
}

/// The claims of a NATS JWT of version 2, signed.
fn jwt(issuer: &KeyPair, subject: &KeyPair, kind: &str, more: &str) -> String {
    let (issuer_key, subject_key) = (issuer.public_key(), subject.public_key());
    let comma = if more.is_empty() { "" } else { "," };
    let claims = format!(
        r#"{{"jti":"{kind}","iat":1700000000,"iss":"{issuer_key}","name":"{kind}","sub":"{subject_key}","nats":{{"type":"{kind}","version":2{comma}{more}}}}}"#
    );
    let header = base64(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", base64(claims.as_bytes()));
    let signature = base64(&issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// For URLs, without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let three = chunk.iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte));
        let three = three << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |at| DIGITS[(three >> (18 - 6 * at)) as usize & 63] as char)
    });
    digits.collect()
}

#[test]
fn users_tokens_keys_and_credentials_files_are_proved() {
    let (ways, _) = ways();
    for Way { server, right, wrong } in ways {
        works(connect(&server.url(), right));
        fails(connect(&server.url(), wrong), "authorization violation");
        fails(connect(&server.url(), ConnectOptions::new()), "authorization violation");
    }
    let server = Server::start_with("authorization { user: agent, password: \"a/b c\" }");
    let with = |user: &str| server.url().replace("nats://", &format!("nats://{user}@"));
    works(block_on(Connection::connect(&with("agent:a%2Fb%20c"))));
    fails(block_on(Connection::connect(&with("agent:a"))), "authorization violation");
}
