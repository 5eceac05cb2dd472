// SPDX-License-Identifier: BSD-3-Clause
//! `becket serve`: the printed commands work, and signals have the documented effects.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command as Process, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use snapbox::str;
use tempfile::TempDir;

use crate::support::{becket, plugin, process, run, sample};

/// A server on ports that the system chose. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let listen = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        Self::of(process().args(listen).args(args))
    }

    /// One that this command starts.
    pub(crate) fn of(command: &mut Process) -> Self {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, err }
    }

    /// Its output until it serves.
    pub(crate) fn greeting(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for line in &mut self.out {
            let line = line.unwrap();
            let is_last = line == "Ctrl-C ends it.";
            lines.push(line);
            if is_last {
                return lines;
            }
        }
        panic!("it ended: {lines:?} {:?}", self.err.by_ref().collect::<Vec<_>>());
    }

    /// Its first line with `--json`.
    pub(crate) fn started(&mut self) -> Value {
        let line = self.out.next().expect("it ended").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The next line with `--json` that is this event, of this process or one that took over.
    pub(crate) fn event(&mut self, event: &str) -> Value {
        loop {
            let line = self.started();
            if line["event"] == event {
                return line;
            }
        }
    }

    /// What is left of stdout, until every process that has it ends.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.out.by_ref().map(Result::unwrap).collect()
    }

    /// Waits until stderr has a line with `text`, and returns it.
    pub(crate) fn says(&mut self, text: &str) -> String {
        let line = self.err.find(|line| line.as_ref().is_ok_and(|line| line.contains(text)));
        line.unwrap_or_else(|| panic!("it never said {text}")).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn curl(url: &str) -> String {
    let output = run(Process::new("curl").args(["-sS", "--fail-with-body", url]));
    String::from_utf8(output.stdout).unwrap()
}

/// What the printed commands answer.
fn answers(greeting: &[String]) -> Vec<String> {
    let lines = greeting.iter().filter_map(|line| line.strip_prefix("    "));
    // Not everyone has websocat; the line above it does the same.
    let lines = lines.filter(|line| !line.starts_with("websocat"));
    let answers = lines.map(|line| run(Process::new("sh").args(["-c", line])).stdout);
    answers.map(|answer| String::from_utf8(answer).unwrap()).collect()
}

#[test]
fn several_plugins_fit_on_a_screen_with_a_call_of_each_kind() {
    let library = sample().display().to_string();
    let plugins = ["a", "bb", "ccc", "d", "e"].map(|name| format!("--plugin={name}={library}"));
    let mut server = Server::start(&plugins.each_ref().map(String::as_str));
    let greeting = server.greeting();
    assert!(greeting.len() <= 24, "{greeting:#?}");
    snapbox::assert_data_eq!(
        greeting.join("\n"),
        str![[r#"
becket [..] serves on http://127.0.0.1:[..]

a    sample-c 0.1.0  unary, echo, stream, chat, state, slow, fail
bb   sample-c 0.1.0  unary, echo, stream, chat, state, slow, fail
ccc  sample-c 0.1.0  unary, echo, stream, chat, state, slow, fail
d    sample-c 0.1.0  unary, echo, stream, chat, state, slow, fail
e    sample-c 0.1.0  unary, echo, stream, chat, state, slow, fail

    curl -d hello http://127.0.0.1:[..]/a/unary
    curl -N http://127.0.0.1:[..]/a/stream
    printf 'hello/nagain/n' | [..]becket ws ws://127.0.0.1:[..]/a/chat

admin page    http://127.0.0.1:[..]/
metrics       http://127.0.0.1:[..]/metrics

With -v each entry has a line that calls it.
Ctrl-C ends it.
"#]]
    );
    snapbox::assert_data_eq!(
        answers(&greeting).join("\n---\n"),
        str![[r#"
Hello from c: POST /a/unary, [..] headers, 5 bytes
---
frame 1 of 5frame 2 of 5frame 3 of 5frame 4 of 5frame 5 of 5
---
welcome
echo: hello
echo: again

"#]]
    );
}

#[test]
fn every_line_that_it_prints_works_as_printed() {
    let mut server = Server::start(&["--verbose"]);
    let greeting = server.greeting();
    let answers = answers(&greeting);
    snapbox::assert_data_eq!(
        answers.join("\n---\n"),
        str![[r#"
Hello from rust: POST /sample/unary, [..] headers, 5 bytes
---
hello
---
frame 1 of 5frame 2 of 5frame 3 of 5frame 4 of 5frame 5 of 5
---
data: frame 1 of 5

...
event: end
data: 


---
welcome
echo: hello
echo: again

---
colour=blue
---
slow done
---
failed on request
"#]]
    );
    let admin = greeting.iter().find_map(|line| line.strip_prefix("admin page")).unwrap().trim();
    assert!(curl(admin).contains("<html"));
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn one_name_for_two_plugins_is_refused() {
    let twice = ["serve", "--plugin", "hi=a.so", "--plugin", "ho=a.so", "--plugin", "hi=b.so"];
    becket().args(twice).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: `--plugin hi=…` is given twice
cause: `hi` is to be both a.so and b.so
hint:  give each plugin a name of its own

"#]]);
}

#[test]
fn a_plugin_from_a_file_is_served_under_its_name() {
    let mut server = Server::start(&["--json", "--plugin", &format!("hi={}", plugin().display())]);
    let started = server.started();
    let listen = started["listen"].as_str().unwrap();
    assert_eq!(curl(&format!("http://{listen}/hi/hello")), "Hello, world");
    assert_eq!(started["routes"][0]["plugin"], "hi");
    server.signal(Signal::INT);
    let ended: Value = serde_json::from_str(&server.out.next().unwrap().unwrap()).unwrap();
    assert_eq!(ended["event"], "ended");
    assert_eq!(server.ended().code(), Some(0));
}

/// A chat that is open: its first frame has come.
struct Chat {
    child: Child,
    stdin: ChildStdin,
    out: Lines<BufReader<ChildStdout>>,
}

impl Chat {
    fn open(listen: &str) -> Self {
        let mut child =
            process().args(["ws", &format!("ws://{listen}/sample/chat")]).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(out.next().unwrap().unwrap(), "welcome");
        Self { child, stdin, out }
    }
}

#[test]
fn a_chat_goes_both_ways_and_ends_with_stdin() {
    let mut server = Server::start(&["--json"]);
    let mut chat = Chat::open(server.started()["listen"].as_str().unwrap());
    for i in 0..1000 {
        writeln!(chat.stdin, "message {i}").unwrap();
        assert_eq!(chat.out.next().unwrap().unwrap(), format!("echo: message {i}"));
    }
    drop(chat.stdin);
    assert!(chat.out.next().is_none());
    assert!(chat.child.wait().unwrap().success());
}

/// A request that is being answered, for a minute.
fn slow_request(listen: &str) -> TcpStream {
    let mut socket = TcpStream::connect(listen).unwrap();
    socket
        .write_all(
            b"POST /sample/slow HTTP/1.1\r\nhost: becket\r\ncontent-length: 5\r\n\
              expect: 100-continue\r\n\r\n",
        )
        .unwrap();
    let mut line = String::new();
    BufReader::new(socket.try_clone().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
    socket.write_all(b"60000").unwrap();
    socket
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut server = Server::start(&[]);
    let greeting = server.greeting();
    let (_, listen) = greeting[0].split_once("http://").unwrap();
    let _slow = slow_request(listen);
    server.signal(Signal::INT);
    // Two signals before the first is handled count as one.
    server.says("ending");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(130));
}

#[test]
fn what_is_not_answered_in_time_is_cut_and_reported() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("becket.toml");
    fs::write(&file, "[limits]\ndrain_ms = 50\n[plugins.sample]\nlinked = \"sample\"\n").unwrap();
    let mut server = Server::start(&["--json", "--config", &file.display().to_string()]);
    let _slow = slow_request(server.started()["listen"].as_str().unwrap());
    server.signal(Signal::TERM);
    let ended: Value = serde_json::from_str(&server.out.next().unwrap().unwrap()).unwrap();
    assert_eq!(ended["requests_cut"], 1);
    assert_eq!(server.ended().code(), Some(1));
}

#[test]
fn a_hangup_reads_the_configuration_again() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("becket.toml");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("watch = false\n[plugins.one]\nlinked = \"sample\"\n");
    let mut server = Server::start(&["--json", "--config", &file.display().to_string()]);
    let started = server.started();
    let url = |path: &str| format!("http://{}{path}", started["listen"].as_str().unwrap());
    assert!(curl(&url("/one/unary")).starts_with("Hello"));

    write("watch = false\n[plugins.two]\nlinked = \"sample\"\n");
    server.signal(Signal::HUP);
    server.says("configuration reloaded");
    assert!(curl(&url("/two/unary")).starts_with("Hello"));

    write("watch = false\n[plugins.three]\nlinkd = \"sample\"\n");
    server.signal(Signal::HUP);
    assert!(server.says("unknown key").contains("becket.toml:3:1"));
    assert!(curl(&url("/two/unary")).starts_with("Hello"), "the one before goes on");
}

/// The plugin's own processes are those of the configuration in force, which is the one before if a new one fails.
#[test]
fn workers_and_their_sandbox_follow_the_configuration() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("becket.toml");
    let write = |more: &str| {
        let path = sample().display().to_string();
        let plugin = format!("path = {path:?}\nplacement = \"process\"\n{more}");
        fs::write(&file, format!("watch = false\n[plugins.own]\n{plugin}")).unwrap();
    };
    write("workers = 3\n");
    let mut server = Server::start(&["--json", "--config", &file.display().to_string()]);
    let started = server.started();
    let (admin, listen) = (started["admin"].as_str().unwrap(), started["listen"].as_str().unwrap());
    // The profile, and of each worker its number of descriptors and its own variable.
    let seen = || {
        let all: Value = serde_json::from_str(&curl(&format!("http://{admin}/plugins"))).unwrap();
        let plugin = &all["plugins"][0];
        let workers = plugin["workers"]["workers"].as_array().unwrap().iter().map(|worker| {
            assert_eq!(worker["state"], "running");
            let read = |what| fs::read(format!("/proc/{}/{what}", worker["pid"])).unwrap();
            let limits = String::from_utf8(read("limits")).unwrap();
            let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
            let own = read("environ").split(|byte| *byte == 0).any(|variable| variable == b"OWN=1");
            (line.split_whitespace().next().unwrap().to_owned(), own)
        });
        let profile = plugin["info"]["sandbox"]["profile"].as_str().unwrap().to_owned();
        (profile, workers.collect::<Vec<_>>())
    };
    let expected = |profile: &str, count, descriptors: &str, own| {
        (profile.to_owned(), vec![(descriptors.to_owned(), own); count])
    };
    assert_eq!(seen(), expected("default", 3, "1024", false));

    let mut reload = |more: &str, says: &str| {
        write(more);
        server.signal(Signal::HUP);
        server.says(says);
    };
    reload("workers = 1\n", "configuration reloaded");
    assert_eq!(seen(), expected("default", 1, "1024", false));
    reload("workers = 2\nsandbox = \"strict\"\n", "configuration reloaded");
    assert_eq!(seen(), expected("strict", 2, "1024", false));
    let sandbox =
        "workers = 2\n[plugins.own.sandbox]\nprofile = \"strict\"\ndescriptors_max = 200\n";
    reload(&format!("{sandbox}env = {{ OWN = \"1\" }}\n"), "configuration reloaded");
    assert_eq!(seen(), expected("strict", 2, "200", true));

    reload(&format!("{sandbox}read = [\"/not/there\"]\n"), "the configuration in force stays");
    assert_eq!(seen(), expected("strict", 2, "200", true));
    reload("workers = 0\n", "`workers` of plugin `own` is 0");
    assert_eq!(seen(), expected("strict", 2, "200", true));
    assert!(curl(&format!("http://{listen}/own/unary")).starts_with("Hello"));
}

/// While a new version gets its share, the processes of both are shown.
#[test]
fn a_rollout_shows_the_workers_of_both_versions() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("becket.toml");
    let write = |more: &str| {
        let path = sample().display().to_string();
        let plugin = format!("path = {path:?}\nplacement = \"process\"\nrollout = {{}}\n{more}");
        fs::write(&file, format!("watch = false\n[plugins.own]\n{plugin}")).unwrap();
    };
    write("workers = 2\n");
    let mut server = Server::start(&["--json", "--config", &file.display().to_string()]);
    let started = server.started();
    let admin = started["admin"].as_str().unwrap();
    let seen = || {
        let all: Value = serde_json::from_str(&curl(&format!("http://{admin}/plugins"))).unwrap();
        let seen = &all["plugins"][0]["workers"];
        ["workers", "canary"].map(|of| {
            let workers = seen[of].as_array().unwrap().iter();
            workers.map(|one| one["generation"].as_u64().unwrap()).collect::<Vec<_>>()
        })
    };
    assert_eq!(seen(), [vec![1, 1], vec![]]);
    write("workers = 1\n");
    server.signal(Signal::HUP);
    server.says("configuration reloaded");
    assert_eq!(seen(), [vec![1, 1], vec![2]]);
    let metrics = curl(&format!("http://{admin}/metrics"));
    for (role, count) in [("stable", 2), ("canary", 1)] {
        let labels = format!("{{plugin=\"own\",role=\"{role}\"");
        let line = format!("becket_plugin_workers{labels},state=\"running\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}: {metrics}");
        let of_each = format!("becket_plugin_worker_calls{labels},worker=");
        assert_eq!(metrics.matches(&of_each).count(), count, "{metrics}");
    }
}

#[test]
fn a_changed_configuration_is_read_without_a_signal() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("becket.toml");
    fs::write(&file, "[plugins.one]\nlinked = \"sample\"\n").unwrap();
    let mut server = Server::start(&["--json", "--config", &file.display().to_string()]);
    let started = server.started();
    fs::write(&file, "[plugins.two]\nlinked = \"sample\"\n").unwrap();
    server.says("configuration reloaded");
    let listen = started["listen"].as_str().unwrap();
    assert!(curl(&format!("http://{listen}/two/unary")).starts_with("Hello"));
}

#[test]
fn an_emptied_configuration_is_refused_and_the_one_before_goes_on() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("becket.toml");
    fs::write(&file, "[plugins.one]\nlinked = \"sample\"\n").unwrap();
    let mut server = Server::start(&["--config", &file.display().to_string()]);
    let greeting = server.greeting();
    let (_, listen) = greeting[0].split_once("http://").unwrap();

    fs::write(&file, "").unwrap();
    assert!(server.says("error:").ends_with("becket.toml: the configuration is empty"));
    assert!(server.says("").starts_with("cause: "));
    assert!(server.says("").starts_with("hint:  "));
    assert!(curl(&format!("http://{listen}/one/unary")).starts_with("Hello"));

    fs::write(&file, " \n").unwrap();
    server.says("the configuration is empty");
    server.signal(Signal::HUP);
    server.says("the configuration is empty");
    assert!(curl(&format!("http://{listen}/one/unary")).starts_with("Hello"));
    let admin = greeting.iter().find_map(|line| line.strip_prefix("admin page")).unwrap().trim();
    let metrics = curl(&format!("{admin}metrics"));
    assert!(metrics.contains("becket_config_reloads_total{result=\"failed\"} 3\n"), "{metrics}");

    fs::write(&file, "[plugins.two]\nlinked = \"sample\"\n").unwrap();
    server.says("configuration reloaded");
    assert!(curl(&format!("http://{listen}/two/unary")).starts_with("Hello"));
}

#[test]
fn an_address_that_is_taken_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    becket()
        .args(["serve", "--admin", "off", "--listen", &addr, "--quiet"])
        .assert()
        .code(1)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: [..]127.0.0.1:[..]
cause: Address already in use (os error 98)
hint:  [..]

"#]]);
}

#[test]
fn a_plugin_that_is_not_there_is_a_load_error() {
    becket()
        .args(["serve", "--admin", "off", "--listen", "127.0.0.1:0", "--quiet"])
        .args(["--plugin", "x=./none.so"])
        .current_dir(Path::new("/"))
        .assert()
        .code(3)
        .stdout_eq("");
}

#[test]
fn ws_says_what_is_wrong() {
    becket().args(["ws", "http:/x"]).assert().code(2).stdout_eq("");
    becket().args(["ws", "ftp://example.org/"]).assert().code(2).stderr_eq(str![[r#"
error: ftp://example.org/ is not an address of a WebSocket
cause: it must begin with ws://
hint:  an example is ws://127.0.0.1:8080/sample/chat

"#]]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    becket().args(["ws", &format!("ws://{free}/")]).assert().code(1).stderr_eq(str![[r#"
error: ws://127.0.0.1:[..]/ cannot be connected to
cause: Connection refused (os error 111)
hint:  is the server running? `becket serve` starts one

"#]]);
    let mut server = Server::start(&["--json"]);
    let listen = server.started()["listen"].as_str().unwrap().to_owned();
    becket().args(["ws", &format!("ws://{listen}/none")]).assert().code(4).stderr_eq(str![[r#"
error: ws://127.0.0.1:[..]/none is not served as a WebSocket
cause: the server answered 404
hint:  `curl` with the same address, http:// in front, shows what it says

"#]]);
}

#[test]
fn a_monitor_is_shown_the_plugins() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("private/serve.sock");
    let path = socket.to_str().unwrap();
    let mut server = Server::start(&["--json", "--monitor", path]);
    let started = server.started();
    assert_eq!(started["monitor"], path);
    let listen = started["listen"].as_str().unwrap();
    let post = |entry: &str, body: &str| {
        let url = format!("http://{listen}/sample/{entry}");
        run(Process::new("curl").args(["-sS", "-d", body, &url]));
    };
    let plugin = || {
        let mon = ["mon", "--headless", "--interval", "100ms", "--duration", "200ms", "--socket"];
        let run = becket().args(mon).arg(&socket).assert().success().stderr_eq("");
        let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let process = lines.iter().find(|line| line["kind"] == "process").unwrap();
        assert_eq!((&process["pid"], &process["name"]), (&started["pid"], &"becket serve".into()));
        lines.into_iter().rfind(|line| line["kind"] == "plugin").unwrap()
    };
    let idle = plugin();
    assert_eq!((&idle["name"], &idle["placement"]), (&"sample".into(), &"inline".into()));
    assert_eq!((&idle["calls_total"], &idle["latency_us_p50"]), (&0.into(), &Value::Null));
    for body in ["one", "two", "three"] {
        post("unary", body);
    }
    post("fail", "2");
    let busy = plugin();
    assert_eq!((&busy["calls_total"], &busy["fail_total"]), (&4.into(), &1.into()));
    assert_eq!(busy["errors"].as_object().unwrap().len(), 1, "{busy}");
    assert_eq!(busy["bytes_in_total"], "onetwothree2".len());
    assert!(busy["latency_us_p50"].as_f64().unwrap() > 0.0);
    assert_eq!((&busy["queue_depth"], &busy["in_flight"]), (&0.into(), &0.into()));
    assert_eq!((&busy["restarts_total"], &busy["reloads_total"]), (&0.into(), &0.into()));
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));
    assert!(!socket.exists(), "its socket goes with it");
}

#[test]
fn a_monitors_socket_that_cannot_be_had_is_said_before_anything_runs() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("private/serve.sock");
    let path = socket.to_str().unwrap();
    let mut first = Server::start(&["--json", "--monitor", path]);
    first.started();
    let options = ["serve", "--listen", "127.0.0.1:0", "--admin", "off", "--monitor", path];
    becket().args(options).assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: cannot listen at [..]/private/serve.sock
cause: another process listens there
hint:  stop it, or choose another path

"#]]);
    first.signal(Signal::TERM);
    assert_eq!(first.ended().code(), Some(0));
}
