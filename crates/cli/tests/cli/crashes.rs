// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin crashes`: the processes of a plugin that a server runs, and how they ended.

use std::process::Command as Process;

use snapbox::str;
use tempfile::TempDir;

use crate::serve::Server;
use crate::support::{becket, compile, root};

#[test]
fn crashes_are_shown_with_their_reason() {
    let dir = TempDir::new().unwrap();
    compile(&root().join("examples/zoo/plugins/aborts.c"), &dir.path().join("aborts.so"));
    let config = dir.path().join("becket.toml");
    let text = "[plugins.bad]\npath = \"./aborts.so\"\nplacement = \"process\"\n\
                [plugins.sample]\nlinked = \"sample\"\n";
    std::fs::write(&config, text).unwrap();
    let mut server = Server::start(&["--json", "--config", config.to_str().unwrap()]);
    let started = server.started();
    let (admin, listen) = (started["admin"].as_str().unwrap(), started["listen"].as_str().unwrap());
    let crashes = |name| becket().args(["plugin", "crashes", name, "--admin", admin]).assert();
    crashes("bad").success().stderr_eq("").stdout_eq(str![[r#"
bad  ready, 1 of 1 worker running, 0 restarts
no worker has ended unasked

"#]]);
    let status = Process::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "x"])
        .arg(format!("http://{listen}/bad/hit"))
        .output()
        .unwrap();
    assert_eq!(status.stdout, b"502");
    server.says("a worker has crashed");
    crashes("bad").success().stderr_eq("").stdout_eq(str![[r#"
bad  [..], [..] of 1 worker running, [..]

[..] ago  signal  signal: 6 (SIGABRT)[..]
worker 0, pid [..], ran [..], 1 call failed
SIGABRT in thread [..]
...
  zoo_h[..](aborts.so+0x[..])
...
"#]]);
    crashes("sample").code(1).stdout_eq("").stderr_eq(str![[r#"
error: plugin `sample` has no processes
cause: it runs in the gateway's own process, and would end with it
hint:  `placement = "process"` gives it one

"#]]);
    crashes("other").code(1).stdout_eq("").stderr_eq(str![[r#"
error: the gateway has no plugin `other`
hint:  it has: bad, sample

"#]]);
}

#[test]
fn without_a_gateway_there_is_a_hint() {
    // A port that no service has.
    becket()
        .args(["plugin", "crashes", "bad", "--admin", "127.0.0.1:1"])
        .assert()
        .code(1)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: no answer from the admin listener at 127.0.0.1:1
cause: Connection refused [..]
hint:  `becket serve` prints where it is; name it with `--admin`

"#]]);
}
