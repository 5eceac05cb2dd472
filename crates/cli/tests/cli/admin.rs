// SPDX-License-Identifier: BSD-3-Clause
//! `becket admin`: actions of a running gateway, with its token.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use snapbox::str;

use crate::serve::{Server, curl};
use crate::support::becket;

#[test]
fn a_gateway_is_reloaded_and_drained_by_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let (config, token) = (folder.path().join("becket.toml"), folder.path().join("token"));
    fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let text = |more: &str| {
        format!(
            "watch = false\n[admin]\ntoken = \"file:token\"\n[plugins.a]\nlinked = \"sample\"\n{more}"
        )
    };
    fs::write(&config, text("")).unwrap();
    let mut server = Server::start(&["--json", "--config", config.to_str().unwrap()]);
    let started = server.started();
    let admin = format!("http://{}", started["admin"].as_str().unwrap());
    let token = format!("file:{}", token.display());
    let ask = |action: &[&str]| {
        becket().args(["admin"]).args(action).args(["--url", &admin, "--token", &token]).assert()
    };
    fs::write(&config, text("[plugins.b]\nlinked = \"sample\"\n")).unwrap();
    ask(&["reload"]).success().stdout_eq(str![[r#"
ok the configuration was reloaded
   loaded: b

"#]]);
    let listen = started["listen"].as_str().unwrap();
    assert_eq!(curl(&format!("http://{listen}/b/echo")), "");
    fs::write(&config, text("lisen = 1\n")).unwrap();
    ask(&["reload"]).code(1).stderr_eq(str![[r#"
error: [..]becket.toml:6:1: unknown key `lisen`
hint:  known here: path, linked, command, protocol, placement, cluster_name, offer, sandbox, workers, sticky, restart, rollout, config, limits, layout, sha256, dispatch, private_copy, watch

"#]]);
    ask(&["quarantine-off", "b"]).code(1).stderr_eq(str![[r#"
error: the plugin is not quarantined: it is ready

"#]]);
    ask(&["quarantine-off", "c"]).code(1).stderr_eq(str![[r#"
error: there is no plugin of this name
hint:  known here: a, b

"#]]);
    let wrong = becket()
        .args(["admin", "drain", "--url", &admin, "--token", "env:WRONG"])
        .env("WRONG", "another token of some length")
        .assert();
    wrong.code(1).stderr_eq(str![[r#"
error: the token is another one
hint:  `--token` says where the gateway's token is

"#]]);
    ask(&["drain", "--json"]).success().stdout_eq(str![[r#"
{"done":"drain","report":null}

"#]]);
    assert_eq!(server.ended().code(), Some(0));
    ask(&["reload"]).code(1).stderr_eq(str![[r#"
error: http://127.0.0.1:[..]/ cannot be asked
cause: Connection refused (os error 111)
hint:  is the gateway running? `becket serve` prints where its admin page is

"#]]);
    becket().args(["admin", "drain", "--token", "0123456789abcdef"]).assert().code(2).stderr_eq(
        str![[r#"
error: `--token` has no place of a token
hint:  write file:PATH or env:NAME, and not the token itself

"#]],
    );
}
