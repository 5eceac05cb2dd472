// SPDX-License-Identifier: BSD-3-Clause
//! A plugin that takes its time when it is asked for an entry that it does not describe holds no
//! thread that serves.

use std::fs::File;
use std::process::Command;

use becket_host::Host;
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::common;
use crate::plugin::{Workshop, run};
use crate::probe::Client;

#[test]
fn a_plugin_that_is_asked_for_an_entry_holds_no_thread_of_the_gateway() {
    let (workshop, dir) = (Workshop::new(), TempDir::new().unwrap());
    let (library, pipe) = (workshop.build_asked(), dir.path().join("asked"));
    run(Command::new("mkfifo").arg(&pipe));
    let before = format!(
        "listen = \"127.0.0.1:0\"\nwatch = false\n[admin]\nenabled = false\n[plugins.kit]\n\
         linked = \"kit\"\n[plugins.slow]\npath = {library:?}\nconfig.asked = {pipe:?}\n\
         limits.block_report_ms = 60000\n",
    );
    let route = "[[routes]]\npath = \"/asked\"\nplugin = \"slow\"\nentry = \"any\"\n";
    // The only one.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let gateway = runtime.block_on(common::start_on(&before, Host::new())).unwrap();
    let addr = gateway.addr();
    let after = common::config(&format!("{before}{route}"));
    let reload = runtime.spawn(async move {
        let reloaded = gateway.reload(after).await;
        (gateway, reloaded)
    });
    // Comes back when the plugin is asked, which lasts as long as this is open.
    let asked = File::options().write(true).open(&pipe).unwrap();
    assert_eq!(Client::connect(addr).post("/kit/echo", "meanwhile").0, 200);
    assert!(!reload.is_finished(), "it was answered after the plugin, not meanwhile");
    drop(asked);
    let (_gateway, reloaded) = runtime.block_on(reload).unwrap();
    assert!(reloaded.unwrap().dead_routes.is_empty());
    assert_eq!(Client::connect(addr).post("/asked", "x").0, 200);
    runtime.shutdown_background();
}
