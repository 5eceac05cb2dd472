// SPDX-License-Identifier: BSD-3-Clause
//! Nodes that are killed, servers that restart, hosts that fall silent.
//!
//! A node that is killed is a process of this program, started with [`NODE`] in the environment.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use becket_cluster::ClusterPlugin;
use becket_host::{
    CallError, Host, Limits, Plugin, PluginSpec, Request, Rollout, RolloutCause, RolloutResult,
    StreamError,
};

use crate::nodes::{Node, Server, load, load_with};
use crate::sample_spec;
use crate::support::wait::{poll_once, until, wait};

const NODE: &str = "BECKET_CLUSTER_NODE";

/// A node in a process of its own, killed with this value.
struct NodeProcess(Child);

impl NodeProcess {
    fn start(server: &Server) -> Self {
        Self::offering(server, "sample")
    }

    fn offering(server: &Server, name: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["ends::a_killed_node_costs_its_calls_in_flight_only", "--exact"])
            .env(NODE, format!("{} {name}", server.url()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Offers the sample until its stdin is closed.
fn be_a_node(url_and_name: &str) {
    let (url, name) = url_and_name.split_once(' ').unwrap();
    let connection = futures_lite::future::block_on(becket_cluster::Connection::connect(url));
    let _node = Node::start(&connection.unwrap(), sample_spec(name, "c"));
    let _end = std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new());
}

/// Which node answered: the other process has the sample in C.
fn answered_by(plugin: &Plugin) -> Result<String, CallError> {
    let answer = wait(plugin.call_raw("unary", b""))?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

#[test]
fn a_killed_node_costs_its_calls_in_flight_only() {
    if let Ok(url_and_name) = std::env::var(NODE) {
        return be_a_node(&url_and_name);
    }
    let server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let mut other = NodeProcess::start(&server);
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    until(|| answered_by(&plugin).unwrap().contains("from c"));

    // So many that both have some: nine seconds each.
    let mut slow: Vec<_> = (0..32).map(|_| plugin.call_raw("slow", b"9000")).collect();
    slow.iter_mut().for_each(|call| assert!(poll_once(call).is_pending()));
    until(|| node.offer.in_hand() > 0);
    // The others are at the other node when this was answered by both.
    until(|| answered_by(&plugin).unwrap().contains("from c"));
    let here = node.offer.in_hand();
    assert!(here < slow.len());
    other.kill();
    let killed = Instant::now();

    // The other node goes on: calls fail at most until the server sees that its connection is gone.
    until(|| answered_by(&plugin).is_ok());
    let (mut crashed, mut answered) = (0, 0);
    for call in slow {
        match wait(call) {
            Ok(_) => answered += 1,
            Err(CallError::Crashed) => crashed += 1,
            Err(error) => panic!("{error}"),
        }
        if crashed > 0 && answered == 0 {
            assert!(killed.elapsed() < Duration::from_secs(9), "{:?}", killed.elapsed());
        }
    }
    assert_eq!(answered, here);
    assert!(crashed > 0);
    for _ in 0..16 {
        assert!(answered_by(&plugin).unwrap().contains("from rust"));
    }
}

#[test]
fn a_killed_nodes_calls_and_streams_fail_within_five_seconds() {
    let server = Server::start();
    let mut node = NodeProcess::start(&server);
    let host = Host::new();
    // It waits for the node, which has just been started.
    let plugin = load(&host, &server.connect(), "sample");
    let mut chat = wait(plugin.stream("chat", Request::default())).unwrap();
    assert_eq!(&wait(chat.next()).unwrap().unwrap().body[..], b"welcome");
    let mut slow = plugin.call_raw("slow", b"20000");
    assert!(poll_once(&mut slow).is_pending());
    // It has the call when it has answered a later one.
    answered_by(&plugin).unwrap();
    node.kill();
    let killed = Instant::now();
    assert!(matches!(wait(slow), Err(CallError::Crashed)));
    assert!(matches!(wait(chat.next()), Err(StreamError::Crashed)));
    let elapsed = killed.elapsed();
    assert!(elapsed < Duration::from_secs(6), "{elapsed:?}");
    assert!(matches!(answered_by(&plugin), Err(CallError::PluginFailed)));
}

#[test]
fn a_rollout_to_a_node_that_is_killed_costs_its_own_calls_and_is_taken_back() {
    let server = Server::start();
    let _node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let mut new = NodeProcess::offering(&server, "sample-2");
    let (host, connection) = (Host::new(), server.connect());
    let plugin = load(&host, &connection, "sample");
    let spec = PluginSpec::remote("sample", Arc::new(ClusterPlugin::new(&connection, "sample-2")));
    let rollout = Rollout { percent: 50, calls_min: u64::MAX, errors_max: 0, ..Rollout::default() };
    wait(plugin.roll_out(Some(spec), rollout)).unwrap();
    for at in 0..10 {
        let wanted = ["from rust", "from c"][at % 2];
        assert!(answered_by(&plugin).unwrap().contains(wanted), "call {at}");
    }
    assert_eq!(plugin.rollouts().last, None);
    new.kill();
    // Every second call is for the one that is gone.
    assert!(answered_by(&plugin).unwrap().contains("from rust"));
    let error = answered_by(&plugin).unwrap_err();
    assert!(matches!(error, CallError::Crashed | CallError::PluginFailed), "{error}");
    let end = wait(plugin.rollout_over()).unwrap();
    assert_eq!((end.result, end.cause), (RolloutResult::TakenBack, RolloutCause::Errors));
    assert_eq!((end.progress.calls, end.progress.errors), (6, 1));
    (0..16).for_each(|_| assert!(answered_by(&plugin).unwrap().contains("from rust")));
}

#[test]
fn a_call_longer_than_the_silence_is_kept_by_notes() {
    let server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    let mut chat = wait(plugin.stream("chat", Request::default())).unwrap();
    let began = Instant::now();
    let answer = wait(plugin.call_raw("slow", b"6000")).unwrap();
    assert!(answer.status.is_ok() && began.elapsed() >= Duration::from_secs(6));
    // A stream on which nothing moved, likewise.
    wait(chat.send(b"still here")).unwrap();
    let mut frames = Vec::new();
    while frames.len() < 2 {
        frames.push(wait(chat.next()).unwrap().unwrap().body.to_vec());
    }
    assert_eq!(frames, [&b"welcome"[..], b"echo: still here"]);
    assert_eq!(node.offer.in_hand(), 1);
}

#[test]
fn a_server_that_restarts_costs_what_was_in_flight() {
    let mut server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let host = Host::new();
    // A call while there is no server fails by silence, long before its deadline.
    let limits = Limits { deadline_ms: 60_000, ..Limits::default() };
    let plugin = load_with(&host, &server.connect(), "sample", limits);
    let mut slow = plugin.call_raw("slow", b"50000");
    assert!(poll_once(&mut slow).is_pending());
    until(|| node.offer.in_hand() == 1);
    server.kill();
    let killed = Instant::now();
    assert!(matches!(wait(slow), Err(CallError::Crashed)));
    assert!(killed.elapsed() < Duration::from_secs(6), "{:?}", killed.elapsed());
    server.restart();
    // Each of these fails typed, or is answered.
    until(|| match wait(plugin.call_raw("echo", b"again")) {
        Ok(answer) => answer.body[..] == *b"again",
        Err(CallError::Crashed | CallError::PluginFailed) => false,
        Err(error) => panic!("{error}"),
    });
    // The call that was cut off is cancelled there, by the message that waited for the server.
    until(|| node.offer.in_hand() == 0);
}

#[test]
fn an_unload_ends_without_a_server_too() {
    let mut server = Server::start();
    let _node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    wait(plugin.call_raw("echo", b"")).unwrap();
    server.kill();
    // The server cannot take it, and nothing waits for that for ever.
    plugin.notify("echo", b"").unwrap();
    assert_eq!(wait(host.unload("sample")).unwrap(), 0);
    assert!(matches!(wait(plugin.call_raw("echo", b"")), Err(CallError::Unloaded)));
}

#[test]
fn a_stream_whose_host_is_silent_ends_on_the_node() {
    let mut server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    let chat = wait(plugin.stream("chat", Request::default())).unwrap();
    assert_eq!(node.offer.in_hand(), 1);
    server.kill();
    until(|| node.offer.in_hand() == 0);
    until(|| node.plugin.snapshot().streams == 0);
    drop(chat);
    server.restart();
}

#[test]
fn nothing_runs_twice_and_each_call_has_one_outcome_while_nodes_come_and_go() {
    let server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    let outcomes = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    match wait(plugin.call_raw("echo", b"x")) {
                        Ok(_) | Err(CallError::Crashed | CallError::PluginFailed) => {}
                        Err(error) => panic!("{error}"),
                    }
                    outcomes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..3 {
            let other = Node::start(&server.connect(), sample_spec("sample", "c"));
            futures_lite::future::block_on(other.offer.withdraw(Duration::from_secs(9)));
        }
    });
    assert_eq!(outcomes.load(Ordering::Relaxed), 800);
    let (asked, ran) = (plugin.snapshot(), node.plugin.snapshot());
    assert!(ran.calls <= asked.calls, "{} {}", ran.calls, asked.calls);
    assert_eq!(asked.calls, asked.ok + asked.failed.total());
}
