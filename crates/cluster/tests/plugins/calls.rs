// SPDX-License-Identifier: BSD-3-Clause
//! Hosts, nodes and other clients.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use async_nats::{ConnectOptions, HeaderMap};
use becket_cluster::{ClusterPlugin, Connection};
use becket_host::{
    CallError, EntryKind, Host, Limits, NrStatus, Plugin, PluginSpec, PluginState, Request,
};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;

use crate::nodes::{Node, Server, load};
use crate::sample_spec;
use crate::support::native::Workshop;
use crate::support::script::Script;
use crate::support::wait::{poll_once, until, wait};

#[test]
fn a_plugin_of_another_host_is_called_by_name() {
    for language in ["rust", "c"] {
        let server = Server::start();
        let node = Node::start(&server.connect(), sample_spec("sample", language));
        let host = Host::new();
        let plugin = load(&host, &server.connect(), "sample");
        let info = plugin.info();
        assert_eq!((info.placement, info.reported_name), ("cluster", format!("sample-{language}")));
        assert_eq!(info.version, node.plugin.info().version);
        let described = |plugin: &Plugin| {
            let entries = plugin.entries().into_iter();
            entries.map(|entry| (entry.name, entry.kind, entry.help)).collect::<Vec<_>>()
        };
        assert_eq!(described(&plugin), described(&node.plugin));

        let answer = wait(plugin.call_raw("echo", b"bytes")).unwrap();
        assert_eq!(&answer.body[..], b"bytes");
        let error = wait(plugin.call_raw("none", b"")).unwrap_err();
        assert!(matches!(error, CallError::UnknownEntry(_)), "{error}");
        // The deadline goes along, and what is cancelled there is not in hand any more.
        let slow = wait(plugin.call_raw("slow", b"60000").timeout(Duration::from_millis(50)));
        assert!(matches!(slow, Err(CallError::DeadlineExceeded)));
        until(|| node.offer.in_hand() == 0);
        wait(host.unload("sample")).unwrap();
    }
}

#[test]
fn a_call_that_is_dropped_is_cancelled_on_its_node() {
    let server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    // Far longer than `until` waits: only the cancellation ends it.
    let mut call = plugin.call_raw("slow", b"600000").timeout(Duration::from_secs(600));
    assert!(poll_once(&mut call).is_pending());
    until(|| node.offer.in_hand() == 1);
    drop(call);
    until(|| node.offer.in_hand() == 0);
    until(|| node.plugin.snapshot().pending == 0);
}

#[test]
fn what_a_thread_sends_is_in_order_also_where_the_client_has_no_room() {
    const SENT: u32 = 2000;
    let server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let options = ConnectOptions::new().client_capacity(1);
    let connection = block_on(Connection::connect_with(&server.url(), options)).unwrap();
    let host = Host::new();
    let plugin = load(&host, &connection, "sample");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut seen = client.subscribe("becket.plugin.sample.echo").await.unwrap();
        client.flush().await.unwrap();
        for number in 0..SENT {
            plugin.notify("echo", &number.to_le_bytes()).unwrap();
        }
        for number in 0..SENT {
            assert_eq!(seen.next().await.unwrap().payload, &number.to_le_bytes()[..]);
        }
    });
    drop(node);
}

#[test]
fn metadata_of_any_kind_reaches_the_plugin() {
    let server = Server::start();
    let _node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    let request =
        Request::new("12345").method("GET").path("/\u{fc}\r\nNats-Expected: 1").query("%");
    let request = request.header("x-becket-echo", " spaces ").header("b", "");
    let answer = wait(plugin.call("unary", request)).unwrap();
    let wanted = "Hello from rust: GET /\u{fc}\r\nNats-Expected: 1?%, 2 headers, 5 bytes, x-becket-echo= spaces ";
    assert_eq!(std::str::from_utf8(&answer.body).unwrap(), wanted);
}

#[test]
fn without_a_node_a_load_fails_in_time_and_a_call_at_once() {
    let server = Server::start();
    let (host, connection) = (Host::new(), server.connect());
    let limits = Limits { load_timeout_ms: 4000, ..Limits::default() };
    let spec = PluginSpec::remote("sample", Arc::new(ClusterPlugin::new(&connection, "sample")));
    let error = host.load(spec.limits(limits)).unwrap_err();
    assert!(error.to_string().contains("no node offers the plugin `sample`"), "{error}");
    assert_eq!(error.cause().unwrap(), "none answered within 3.5s");
    assert!(error.hint().unwrap().contains("start a node"));

    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let plugin = load(&host, &connection, "sample");
    wait(plugin.call_raw("echo", b"")).unwrap();
    assert_eq!(block_on(node.offer.withdraw(Duration::from_secs(9))), 0);
    let began = Instant::now();
    let error = wait(plugin.call_raw("echo", b"")).unwrap_err();
    assert!(matches!(error, CallError::PluginFailed), "{error}");
    let opened = wait(plugin.stream("chat", Request::default()));
    assert!(matches!(opened, Err(CallError::PluginFailed)), "{opened:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "not by silence");

    // One that joins later serves, without a reload.
    let _later = Node::start(&server.connect(), sample_spec("sample", "rust"));
    wait(plugin.call_raw("echo", b"")).unwrap();
}

#[test]
fn a_load_waits_for_the_first_node_and_asks_whenever_one_is_announced() {
    let server = Server::start();
    let (host, connection) = (Host::new(), server.connect());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::scope(|scope| {
        let loading = runtime.block_on(async {
            let client = async_nats::connect(server.url()).await.unwrap();
            let mut asked = client.subscribe("$SRV.INFO.sample").await.unwrap();
            client.flush().await.unwrap();
            let loading = scope.spawn(|| load(&host, &connection, "sample"));
            asked.next().await.unwrap();
            // By the time alone it would not ask as often before the load is given up.
            for _ in 0..20 {
                client.publish("becket.offered.sample", "".into()).await.unwrap();
                asked.next().await.unwrap();
            }
            loading
        });
        assert!(!loading.is_finished());
        let _node = Node::start(&server.connect(), sample_spec("sample", "rust"));
        let plugin = loading.join().unwrap();
        assert_eq!(&wait(plugin.call_raw("echo", b"here")).unwrap().body[..], b"here");
    });
}

/// Publishes as a host does.
async fn call_as_host(client: &async_nats::Client, subject: &str, reply: &str) {
    let (subject, reply) = (subject.to_owned(), reply.to_owned());
    client.publish_with_reply(subject, reply, "600000".into()).await.unwrap();
}

#[test]
fn a_cancellation_that_overtakes_its_call_keeps_it_from_running() {
    let server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let inbox = client.new_inbox();
        let reply = |at: u32| format!("{inbox}.{at:x}:");
        let cancel = async |at| {
            client.publish("becket.cancel.sample", reply(at).into()).await.unwrap();
        };
        let slow = "becket.plugin.sample.slow";
        call_as_host(&client, slow, &reply(1)).await;
        client.flush().await.unwrap();
        until(|| node.offer.in_hand() == 1);
        // The first comes before its call. The node has it when it has the second, which ends one in hand.
        cancel(2).await;
        cancel(1).await;
        client.flush().await.unwrap();
        until(|| node.offer.in_hand() == 0);
        call_as_host(&client, slow, &reply(2)).await;
        call_as_host(&client, slow, &reply(3)).await;
        client.flush().await.unwrap();
        until(|| node.plugin.snapshot().calls == 2);
        assert_eq!(node.offer.in_hand(), 1, "the third, which came behind it");
        cancel(3).await;
        client.flush().await.unwrap();
        until(|| node.offer.in_hand() == 0);
        assert_eq!(node.plugin.snapshot().calls, 2);
    });
}

/// The plugin in versions, of the host's tests.
const VERSIONED: &str = include_str!("../../../host/tests/rules/reloaded.c");

#[test]
fn a_node_that_reloads_its_plugin_hands_the_state_over_and_loses_no_call_of_other_hosts() {
    let server = Server::start();
    let workshop = Workshop::new();
    let build = |version: &str| {
        let source = format!("#define VERSION \"{version}\"\n#define STATE\n{VERSIONED}");
        workshop.build("versioned", &source)
    };
    let spec = PluginSpec::path("versioned", build("one"));
    let node = Node::start(&server.connect(), spec);
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "versioned");
    let ask = |entry| String::from_utf8(wait(plugin.call_raw(entry, b"")).unwrap().body.to_vec());
    assert_eq!([ask("count").unwrap(), ask("version").unwrap()], ["1", "one"]);
    let mut held = plugin.call_raw("hold", b"");
    assert!(poll_once(&mut held).is_pending());
    until(|| node.offer.in_hand() == 1);
    build("two");
    let mut reload = Box::pin(node.plugin.reload());
    while node.plugin.state() != PluginState::Reloading {
        assert!(poll_once(&mut reload).is_pending());
        thread::yield_now();
    }
    let mut waits = plugin.call_raw("count", b"");
    assert!(poll_once(&mut waits).is_pending());
    drop(held);
    wait(reload).unwrap();
    assert_eq!(*wait(waits).unwrap().body, *b"2", "the count goes on");
    assert_eq!(ask("version").unwrap(), "two");
}

#[test]
fn nodes_share_the_calls() {
    let server = Server::start();
    let nodes: Vec<_> = ["rust", "c"]
        .iter()
        .map(|language| Node::start(&server.connect(), sample_spec("sample", language)))
        .collect();
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    let mut seen = HashSet::new();
    for _ in 0..64 {
        let answer = wait(plugin.call_raw("unary", b"")).unwrap();
        seen.insert(answer.body.to_vec());
    }
    assert_eq!(seen.len(), 2);
    let served: Vec<_> = nodes.iter().map(|node| node.plugin.snapshot().calls).collect();
    assert_eq!(served.iter().sum::<u64>(), 64, "{served:?}");
}

#[test]
fn any_client_calls_an_entry_and_finds_the_service() {
    let server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("my sample", "rust"));
    assert_eq!(node.plugin.entries()[0].kind, EntryKind::Unary);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let echo = "becket.plugin.my%20sample.echo";
        let answer = client.request(echo, "bytes".into()).await.unwrap();
        assert_eq!((&answer.payload[..], answer.headers), (&b"bytes"[..], None));

        let mut headers = HeaderMap::new();
        headers.insert("Becket-Method", "GET");
        headers.insert("Becket-Path", "/a%20b");
        headers.append("Becket-Header", "x-becket-echo: hand");
        let unary = "becket.plugin.my%20sample.unary";
        let answer = client.request_with_headers(unary, headers, "".into()).await.unwrap();
        let text = "Hello from rust: GET /a%20b, 1 headers, 0 bytes, x-becket-echo=hand";
        assert_eq!(&answer.payload[..], text.as_bytes());

        let mut headers = HeaderMap::new();
        headers.insert("Becket-Deadline-Ms", "20");
        let slow = "becket.plugin.my%20sample.slow";
        let answer = client.request_with_headers(slow, headers, "9000".into()).await.unwrap();
        let headers = answer.headers.unwrap();
        assert_eq!(headers.get("Nats-Service-Error-Code").unwrap().as_str(), "504");
        assert_eq!(headers.get("Becket-Outcome").unwrap().as_str(), "late");
        let fail = "becket.plugin.my%20sample.fail";
        let answer = client.request(fail, "2".into()).await.unwrap();
        let headers = answer.headers.unwrap();
        assert_eq!(headers.get("Nats-Service-Error-Code").unwrap().as_str(), "500");
        assert!(headers.get("Becket-Status").is_some());

        // Several answers to one inbox.
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.unwrap();
        for _ in 0..3 {
            client.publish_with_reply(echo, inbox.clone(), "again".into()).await.unwrap();
        }
        for _ in 0..3 {
            assert_eq!(&answers.next().await.unwrap().payload[..], b"again");
        }

        let info = client.request("$SRV.INFO.my-sample", "".into()).await.unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info.payload).unwrap();
        assert_eq!(info["metadata"]["plugin"], "my sample");
        assert_eq!(info["endpoints"].as_array().unwrap().len(), node.plugin.entries().len());
        let stats = client.request("$SRV.STATS.my-sample", "".into()).await.unwrap();
        let stats: serde_json::Value = serde_json::from_slice(&stats.payload).unwrap();
        let endpoints = stats["endpoints"].as_array().unwrap();
        let of = |name: &str| endpoints.iter().find(|it| it["name"] == name).unwrap();
        assert_eq!(of("echo")["num_requests"], 4);
        assert_eq!(of("slow")["num_errors"], 1);
    });
}

#[test]
fn entries_that_are_not_listed_are_called_by_name() {
    let server = Server::start();
    let script = Script::new(|api, call| {
        api.send(call.sid, NrStatus::Ok, format!("{}!", call.entry).as_bytes());
        NrStatus::Ok
    });
    let node_host = Host::new();
    let (node_plugin, _) = script.load(&node_host, "un.listed");
    let _offer = block_on(becket_cluster::offer(&server.connect(), &node_plugin)).unwrap();
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "un.listed");
    for entry in ["a", "a.b *>", "\u{e4}"] {
        let answer = wait(plugin.call_raw(entry, b"")).unwrap();
        assert_eq!(&answer.body[..], format!("{entry}!").as_bytes());
    }
    assert_eq!(node_plugin.snapshot().calls, 3);
}

#[test]
fn what_is_longer_than_a_message_is_refused() {
    let server = Server::start();
    let _node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    let too_long = vec![0; 4 << 20];
    let request = Request::new(too_long.clone()).method("GET");
    let error = wait(plugin.call("echo", request)).unwrap_err();
    assert!(matches!(error, CallError::Refused { status: NrStatus::TooLong }), "{error}");
    let answer = wait(plugin.call_raw("echo", &too_long[..(4 << 20) - 200])).unwrap();
    assert_eq!(answer.body.len(), (4 << 20) - 200);
}
