// SPDX-License-Identifier: BSD-3-Clause
//! Gateways that offer plugins to each other, over a real server; and `becket cluster`.

#[path = "../../../cluster/tests/server/one.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use becket_cluster::{Connection, Kind, Options};
use futures_lite::future::block_on;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::server::Server as Nats;
use crate::serve::{Server, curl};
use crate::support::{becket, sample};

const OFFERED: &str = "offered on the cluster";
const LOADED: &str = "loaded from the cluster";

/// The sample plugin at a placement.
fn configuration(folder: &Path, placement: &str) -> PathBuf {
    configured(folder, "linked = \"sample\"", placement)
}

/// The same, of a file or linked.
fn configured(folder: &Path, plugin: &str, placement: &str) -> PathBuf {
    let file = folder.join("becket.toml");
    let text = format!("[plugins.sample]\n{plugin}\nplacement = \"{placement}\"\n");
    // Whole when it is seen: the gateway watches it.
    fs::write(folder.join("next"), text).unwrap();
    fs::rename(folder.join("next"), &file).unwrap();
    file
}

/// A gateway of this configuration, and its address.
fn gateway(nats: &Nats, file: Option<&Path>) -> (Server, String) {
    let (gateway, at, started) = started(nats, file);
    assert_eq!(started["cluster"], json!({ "urls": [nats.url()], "connected": true }));
    (gateway, at)
}

/// The same, and the line that it begins with.
fn started(nats: &Nats, file: Option<&Path>) -> (Server, String, Value) {
    let url = nats.url();
    let mut args = vec!["--json", "--cluster", &url];
    args.extend(file.map(|file| ["--config", file.to_str().unwrap()]).into_iter().flatten());
    let mut gateway = Server::start(&args);
    let started = gateway.started();
    let at = format!("http://{}", started["listen"].as_str().unwrap());
    (gateway, at, started)
}

fn post(url: &str, body: &str) -> (String, String) {
    let output = Process::new("curl")
        .args(["-sS", "-w", "\n%{http_code}", "-d", body, url])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

fn answered(url: &str, body: &str) {
    assert_eq!(post(url, body), ("200".to_owned(), body.to_owned()));
}

/// What `becket cluster NAME --json` prints, a value a line.
fn cluster(name: &str, nats: &Nats) -> Vec<Value> {
    let output =
        becket().args(["cluster", name, "--json", "--cluster", &nats.url()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_plugin_is_called_where_it_is_offered() {
    let (nats, folder) = (Nats::start(), TempDir::new().unwrap());
    let file = configuration(folder.path(), "cluster");
    let (mut front, at) = gateway(&nats, Some(&file));
    let echo = format!("{at}/sample/echo");
    // Nothing offers it yet.
    let (status, body) = post(&echo, "hi");
    assert_eq!(status, "503", "{body}");
    assert!(cluster("plugins", &nats).is_empty());

    let (mut node, there) = gateway(&nats, None);
    node.says(OFFERED);
    front.says(LOADED);
    answered(&echo, "hi");
    let stream = |at: &str| curl(&format!("{at}/sample/stream"));
    assert_eq!(stream(&at), stream(&there));

    let nodes = cluster("plugins", &nats);
    let [offer] = &nodes[..] else { panic!("{nodes:?}") };
    assert_eq!((&offer["plugin"], &offer["name"]), (&"sample".into(), &"sample-rust".into()));
    assert!(!offer["node"].as_str().unwrap().is_empty());
    let entries = offer["entries"].as_array().unwrap();
    let echo_entry = entries.iter().find(|entry| entry["name"] == "echo").unwrap();
    assert_eq!((&echo_entry["requests"], &echo_entry["errors"]), (&1.into(), &0.into()));
    let status = &cluster("status", &nats)[0];
    assert_eq!((&status["plugins"], &status["offers"]), (&1.into(), &1.into()));
    assert!(status["server"]["jetstream"].is_object());

    node.signal(Signal::TERM);
    assert!(node.ended().success());
    assert_eq!(post(&echo, "hi").0, "503");
    // It was loaded once, so the next node that offers it needs no word of the front's.
    let (mut next, _) = gateway(&nats, None);
    next.says(OFFERED);
    answered(&echo, "hi");
}

#[test]
fn a_plugin_moves_by_one_word_and_no_request_is_lost() {
    moves("linked = \"sample\"", "inline");
}

#[test]
fn a_plugin_moves_between_processes_of_its_own_and_the_cluster() {
    moves(&format!("path = {:?}", sample()), "process");
}

/// A plugin moves from a placement on this machine to the cluster and back, under load.
fn moves(plugin: &str, local: &str) {
    let (nats, folder) = (Nats::start(), TempDir::new().unwrap());
    let (mut node, _) = gateway(&nats, None);
    node.says(OFFERED);
    let file = configured(folder.path(), plugin, local);
    let (mut front, at, begun) = started(&nats, Some(&file));
    front.says(OFFERED);
    let admin = begun["admin"].as_str().unwrap();
    let workers = || -> usize {
        let all: Value = serde_json::from_str(&curl(&format!("http://{admin}/plugins"))).unwrap();
        all["plugins"][0]["workers"]["workers"].as_array().map_or(0, Vec::len)
    };
    let echo = format!("{at}/sample/echo");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let call = || {
            let mut calls = 0;
            while !is_over.load(Ordering::Relaxed) {
                answered(&echo, "hi");
                calls += 1;
            }
            calls
        };
        let callers = [scope.spawn(call), scope.spawn(call)];
        for placement in ["cluster", local, "cluster"] {
            configured(folder.path(), plugin, placement);
            front.says("configuration reloaded");
            // What ran here has ended, and what runs there is no process of this gateway.
            assert_eq!(workers() > 0, placement == "process", "{placement}");
            let nodes = if placement == "cluster" { 1 } else { 2 };
            if nodes == 2 {
                front.says(OFFERED);
            }
            assert_eq!(cluster("plugins", &nats).len(), nodes, "{placement}");
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(callers.into_iter().all(|caller| caller.join().unwrap() > 0));
    });
    // The last node has left: what calls it stays as it was, as there is nothing to move to.
    configured(folder.path(), plugin, local);
    front.says(OFFERED);
    drop(node);
    while cluster("plugins", &nats).len() > 1 {}
    configured(folder.path(), plugin, "cluster");
    front.says("no node offers the plugin");
    front.says(OFFERED);
    answered(&echo, "hi");
}

#[test]
fn without_a_server_what_is_local_is_served() {
    let mut nats = Nats::start();
    nats.kill();
    let (mut node, at, begun) = started(&nats, None);
    assert_eq!(begun["cluster"]["connected"], false);
    let echo = format!("{at}/sample/echo");
    answered(&echo, "hi");
    node.says("the cluster is away");
    for _ in 0..2 {
        nats.restart();
        node.says("connected to the cluster");
        while cluster("plugins", &nats).is_empty() {}
        nats.kill();
        node.says("the cluster is away");
        answered(&echo, "hi");
    }
}

#[test]
fn what_is_wrong_is_said_and_no_secret_with_it() {
    let folder = TempDir::new().unwrap();
    let nats = Nats::start_with("authorization { token: hush-hush }\njetstream: disabled\n");
    let url = nats.url();
    let secret = folder.path().join("secret");
    let file = folder.path().join("becket.toml");
    let written = |token: &str, to: &str| {
        fs::write(&secret, format!("{token}\n")).unwrap();
        fs::write(&file, format!("[cluster]\nurl = \"{to}\"\ntoken = \"file:secret\"\n")).unwrap();
    };
    let asked = |args: &[&str]| {
        let output = becket().args(args).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!text.contains("hush"), "{text}");
        (output.status.code().unwrap(), text)
    };
    let config = file.to_str().unwrap();
    written("hush-other", &url);
    for args in [
        &["serve", "--listen", "127.0.0.1:0", "--admin", "off", "--config", config][..],
        &["cluster", "status", "--config", config],
        &["cluster", "status", "--cluster", &url],
    ] {
        let (code, text) = asked(args);
        assert_eq!(code, 1, "{text}");
        for part in ["refused the connection", "\ncause: ", "\nhint: "] {
            assert!(text.contains(part), "{text}");
        }
    }
    written("hush-hush", &url);
    assert_eq!(asked(&["cluster", "status", "--config", config]).0, 0);
    let (code, text) = asked(&["cluster", "channels", "--config", config]);
    assert!(code == 1 && text.contains("hint:  channels need JetStream"), "{text}");
    let with_secret = url.replace("nats://", "nats://hush-hush@");
    let (code, text) = asked(&["cluster", "status", "--cluster", &with_secret]);
    assert!(code != 0 && text.contains("`token = \"env:NAME\"`"), "{text}");
    drop(nats);
    let (code, text) = asked(&["cluster", "plugins", "--config", config]);
    assert!(code == 1 && text.contains("no server of the cluster answers at"), "{text}");
    fs::remove_file(&secret).unwrap();
    let (code, text) = asked(&["cluster", "plugins", "--config", config]);
    assert!(code == 1 && text.contains("cannot be read"), "{text}");
}

#[test]
fn channels_are_listed_with_what_they_hold() {
    let nats = Nats::start();
    assert!(cluster("channels", &nats).is_empty());
    block_on(async {
        let connection = Connection::connect(&nats.url()).await.unwrap();
        let open = |name, kind| connection.open(name, kind, Options::default());
        let (jobs, taken) = open("jobs", Kind::Bounded { capacity: 3 }).await.unwrap();
        jobs.send("one").await.unwrap();
        jobs.send("two").await.unwrap();
        let lease = taken.lease().await.unwrap();
        let (meeting, _) = open("meeting", Kind::Rendezvous).await.unwrap();
        meeting.close().await.unwrap();
        let (latest, _) = open("latest", Kind::Conflated).await.unwrap();
        latest.send("old").await.unwrap();
        latest.send("new").await.unwrap();
        latest.close().await.unwrap();
        let listed = cluster("channels", &nats);
        let of = |name: &str, field: &str| {
            listed.iter().find(|channel| channel["name"] == name).unwrap()[field].clone()
        };
        assert_eq!(listed.len(), 3, "{listed:?}");
        assert_eq!((of("jobs", "kind"), of("jobs", "capacity")), ("bounded".into(), 3.into()));
        assert_eq!((of("jobs", "len"), of("jobs", "in_hand")), (2.into(), 1.into()));
        assert_eq!((of("latest", "kind"), of("latest", "len")), ("conflated".into(), 1.into()));
        assert_eq!(of("meeting", "kind"), "rendezvous");
        let closed = ["jobs", "latest", "meeting"].map(|name| of(name, "is_closed"));
        assert_eq!(closed, [false, true, true].map(Value::from));
        drop(lease);
    });
    let stored = &cluster("status", &nats)[0]["server"]["jetstream"];
    assert!(stored["streams"].as_u64().unwrap() >= 3, "{stored}");
}
