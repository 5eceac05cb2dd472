// SPDX-License-Identifier: BSD-3-Clause
//! Plugins of version 2 of the ABI: vectors and owned bytes are given back exactly once, a lease is its
//! call's, ids of entries are of one load.

use std::time::Duration;

use becket_abi::NrStatus;
use becket_host::{
    Call, CallError, Dispatch, Host, Layout, Limits, LoadError, Plugin, PluginSpec, Request,
};

use crate::support::{
    counted,
    native::Workshop,
    unload_clean,
    wait::{LIMIT, poll_once, until, wait},
};
use crate::{FRAMES_BETWEEN, IS_INLINE, spec};

/// The plugin: its first lines have its entries and operations.
const SOURCE: &str = include_str!("v2.c");

fn source(definitions: &str) -> String {
    format!("{definitions}\n{SOURCE}")
}

/// Loads the plugin with what `configure` sets.
fn load_with(host: &Host, configure: impl FnOnce(PluginSpec) -> PluginSpec) -> Plugin {
    let workshop = Workshop::new();
    let path = workshop.build("second", &source(""));
    let spec = configure(spec("second", &path).dispatch(Dispatch::Caller));
    let plugin = host.load(spec).unwrap();
    assert_eq!(plugin.info().layout, "v2");
    plugin
}

fn load(host: &Host) -> Plugin {
    load_with(host, |spec| spec)
}

fn ask(plugin: &Plugin, entry: &str, payload: &str) -> String {
    let response = wait(plugin.call_raw(entry, payload.as_bytes())).unwrap();
    assert!(response.status.is_ok(), "{entry}: {}", response.status);
    String::from_utf8(response.body.to_vec()).unwrap()
}

/// What came of each operation.
fn run(plugin: &Plugin, script: &str) -> Vec<String> {
    ask(plugin, "run", script).split(' ').map(str::to_owned).collect()
}

/// Runs one operation.
fn one(plugin: &Plugin, operation: &str) -> String {
    run(plugin, operation).remove(0)
}

/// A call that the plugin holds under the number `k`.
fn hold<'a>(plugin: &'a Plugin, k: &'a str) -> Call<'a> {
    hold_for(plugin, k, LIMIT)
}

fn hold_for<'a>(plugin: &'a Plugin, k: &'a str, timeout: Duration) -> Call<'a> {
    one(plugin, &format!("clear {k}"));
    let mut call = plugin.call_raw("hold", k.as_bytes()).timeout(timeout);
    assert!(poll_once(&mut call).is_pending());
    until(|| one(plugin, &format!("held {k}")) == "1");
    call
}

/// Waits until so many vectors and bytes were given back, none of them wrongly.
fn given_back(plugin: &Plugin, times: usize) {
    let mut last = String::new();
    until(|| {
        last = one(plugin, "given");
        let (back, wrong) = last.split_once(':').unwrap();
        assert_eq!(wrong, "0", "given back wrongly");
        assert!(back.parse::<usize>().unwrap() <= times, "{back} of {times}");
        back == times.to_string()
    });
}

#[track_caller]
fn is_filled(body: &[u8], with: u8, len: usize) {
    assert_eq!(body.len(), len);
    assert!(body.iter().all(|byte| *byte == with), "other bytes than {with}");
}

#[test]
fn entries_are_called_by_name_and_by_id() {
    let host = Host::new();
    let plugin = load(&host);
    assert_eq!(ask(&plugin, "one", ""), "one");
    let entry = plugin.entry("how").unwrap();
    for _ in 0..3 {
        assert_eq!(*wait(entry.call_raw(b"")).unwrap().body, *b"id");
    }
    if IS_INLINE {
        assert_eq!(*entry.call_now(b"").unwrap().body, *b"id");
        assert_eq!(*plugin.call_now("how", b"").unwrap().body, *b"name");
        assert!(matches!(plugin.entry("three"), Err(CallError::UnknownEntry(_))));
    }
    // A request's other parts do not reach it.
    let request = Request::new("").method("GET").path("/path").header("key", "value");
    assert!(wait(plugin.call("one", request)).unwrap().status.is_ok());
    let unknown = wait(plugin.call_raw("three", b"")).unwrap_err();
    assert!(
        matches!(
            unknown,
            CallError::Refused { status: NrStatus::Invalid } | CallError::UnknownEntry(_)
        ),
        "{unknown:?}"
    );
    unload_clean(&host, &plugin);
}

#[test]
fn vectors_are_answers_and_given_back_once() {
    let host = Host::new();
    let plugin = load(&host);
    let mut back = 0;
    for len in [0, 1, 64, 65, 5000, 200_000] {
        for (owned, free) in [(0, 0), (0, 8), (1, 0), (1, 1)] {
            let call = hold(&plugin, "0");
            let vec = format!("vec 0 0 {len} {} {owned} {free}", len + 7);
            assert_eq!(one(&plugin, &vec), "0", "{vec}");
            let body = wait(call).unwrap().body;
            is_filled(&body, b'v', len);
            if IS_INLINE && len > 64 && (owned, free) == (1, 1) {
                given_back(&plugin, back);
            }
            drop(body);
            back += usize::from((owned, free) == (1, 1));
            given_back(&plugin, back);
        }
        let call = hold(&plugin, "0");
        assert_eq!(one(&plugin, &format!("bytes 0 3 {len} 1")), "0");
        let response = wait(call).unwrap();
        assert_eq!(response.status, NrStatus::Unsupported);
        assert_eq!(response.body.len(), len);
        drop(response);
        back += 1;
        given_back(&plugin, back);
        // Inside `handle`.
        let script = format!("vec 9 0 {len} {len} 1 1");
        assert_eq!(wait(plugin.call_raw("run", script.as_bytes())).unwrap().body.len(), len);
        back += 1;
        if IS_INLINE {
            assert_eq!(plugin.call_now("run", script.as_bytes()).unwrap().body.len(), len);
            back += 1;
        }
        given_back(&plugin, back);
    }
    unload_clean(&host, &plugin);
}

#[test]
fn what_no_vector_may_be_is_refused_counted_and_still_given_back() {
    let host = Host::new();
    let plugin = load(&host);
    let mut back = 0;
    let (mut refused, mut call) = (0, hold(&plugin, "0"));
    for (operation, is_given_back) in [
        ("null 0 8 8 1", true),
        ("null 0 8 8 0", false),
        ("null 0 8 0 1", true),
        ("null 0 4611686018427387904 0 1", true),
        ("vec 0 0 9 8 1 1", true),
        ("vec 0 0 900 800 1 1", true),
        ("vec 0 0 9 9 2 1", false),
        ("vec 0 0 9 9 255 1", false),
        ("vec 0 0 9 9 1 8", false),
        ("vec 0 0 9 9 1 4095", false),
        ("vec 0 0 9 9 1 9223372036854775816", false),
        ("bytes 0 0 9 8", false),
        ("bytes 0 0 9 18446744073709551608", false),
    ] {
        assert_eq!(one(&plugin, operation), "2", "{operation}");
        refused += 1;
        back += usize::from(is_given_back);
        given_back(&plugin, back);
        counted(&plugin, |now| now.refused_answers.invalid >= refused);
        assert_eq!(plugin.snapshot().refused_answers.invalid, refused, "{operation}");
        assert!(poll_once(&mut call).is_pending(), "{operation}: the call is open");
    }
    // The call is as open as before.
    assert_eq!(one(&plugin, "vec 0 0 9 9 1 1"), "0");
    assert_eq!(wait(call).unwrap().body.len(), 9);
    back += 1;
    // An answer that is too long ends its call, and has a number that version 2 knows.
    for operation in [
        "vec 0 0 4611686018427387904 4611686018427387904 1 1",
        "vec 0 0 67108865 67108865 1 1",
        "bytes 0 0 4611686018427387904 1",
    ] {
        call = hold(&plugin, "0");
        assert_eq!(one(&plugin, operation), "2", "{operation}");
        assert_eq!(wait(call).unwrap().status, NrStatus::TooLong, "{operation}");
        back += 1;
        given_back(&plugin, back);
    }
    unload_clean(&host, &plugin);
}

#[test]
fn answers_to_nobody_are_given_back_once() {
    let host = Host::new();
    let limits = Limits { stream_frames_max: 1, ..Limits::default() };
    let plugin = load_with(&host, |spec| spec.limits(limits));
    let mut back = 0;
    for operation in ["vec 0 0 9 9 1 1", "vec 0 0 900 900 1 1", "bytes 0 0 900 1"] {
        // A second answer; one after the caller has left; one that its caller never read.
        let call = hold(&plugin, "0");
        assert_eq!(run(&plugin, &format!("{operation}\n{operation}")), ["0", "2"], "{operation}");
        back += 1;
        drop(call);
        back += 1;
        given_back(&plugin, back);
        drop(hold(&plugin, "0"));
        back += 1;
        until(|| {
            let is_late = one(&plugin, operation) == "2";
            back += usize::from(!is_late);
            is_late
        });
        given_back(&plugin, back);
        // Past the deadline.
        let call = hold_for(&plugin, "1", Duration::from_secs(1));
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
        let late = operation.replace(" 0 0 ", " 1 0 ");
        back += 1;
        until(|| {
            let is_late = one(&plugin, &late) == "2";
            back += usize::from(!is_late);
            is_late
        });
        given_back(&plugin, back);
    }
    // A full stream takes nothing and gives nothing back to the plugin; what is queued is given back with it.
    let stream = wait(plugin.stream("hold", Request::new("2"))).unwrap();
    until(|| one(&plugin, "held 2") == "1");
    for operation in ["vec 2 0 900 900 1 1", "vec 2 0 9 9 1 1", "bytes 2 0 900 1"] {
        let mut sent = 0;
        until(|| {
            let status = one(&plugin, operation);
            back += 1;
            sent += 1;
            assert!(sent <= 2 + FRAMES_BETWEEN, "{operation}: {sent} frames");
            assert!(status == "0" || status == "6", "{operation}: {status}");
            status == "6"
        });
    }
    drop(stream);
    given_back(&plugin, back);
    unload_clean(&host, &plugin);
}

#[test]
fn a_lease_is_of_its_call_and_good_once() {
    let host = Host::new();
    let plugin = load(&host);
    for len in [1, 64, 65, 100_000] {
        let (call, other) = (hold(&plugin, "0"), hold(&plugin, "1"));
        let script = format!(
            "lease 0 {len}\nlease 0 {len}\nlease 1 {len}\ncommit 0 0 0 0 200000\n\
             commit 0 0 0 0 4611686018427387904\ncommit 0 0 1 0 {len}\n\
             commit 0 0 1099511627776 0 {len}\ncommit 0 1 0 0 {len}\ncommit 0 0 0 0 {len}\n\
             commit 0 0 0 0 {len}\ncommit 1 1 0 3 {len}",
        );
        let came = run(&plugin, &script);
        let first = ["leased", "none", "leased", "2", "2", "2", "2", "2", "0", "2", "0"];
        assert_eq!(came, first, "of {len} bytes");
        let response = wait(call).unwrap();
        is_filled(&response.body, b'l', len);
        let response = wait(other).unwrap();
        assert_eq!((response.status, response.body.len()), (NrStatus::Unsupported, len));
        // Inside `handle`.
        let script = format!("lease 9 {len}\ncommit 9 9 0 0 {len}");
        assert_eq!(wait(plugin.call_raw("run", script.as_bytes())).unwrap().body.len(), len);
        if IS_INLINE {
            assert_eq!(plugin.call_now("run", script.as_bytes()).unwrap().body.len(), len);
        }
    }
    unload_clean(&host, &plugin);
}

#[test]
fn leases_are_bounded_and_end_with_their_call() {
    let host = Host::new();
    let limits = Limits { leases_max: 2, lease_bytes_max: 1024, ..Limits::default() };
    let plugin = load_with(&host, |spec| spec.limits(limits));
    let refused = |times: u64| counted(&plugin, |now| now.resources_refused == times);
    let call = hold(&plugin, "0");
    for cap in ["0", "1025", "9223372036854775808", "18446744073709551615"] {
        assert_eq!(one(&plugin, &format!("lease 0 {cap}")), "none", "{cap} bytes");
    }
    refused(4);
    // Two at once.
    let (second, third) = (hold(&plugin, "1"), hold(&plugin, "2"));
    assert_eq!(run(&plugin, "lease 0 8\nlease 1 8\nlease 2 8"), ["leased", "leased", "none"]);
    refused(5);
    // Answered in another way, it is over: once more, as often as one likes.
    assert_eq!(run(&plugin, "vec 0 0 9 9 1 1\nlease 2 8"), ["0", "leased"]);
    assert_eq!(one(&plugin, "commit 0 0 0 0 8"), "2", "the call is over");
    assert_eq!(run(&plugin, "commit 1 1 0 0 8\ncommit 2 2 0 0 8"), ["0", "0"]);
    for call in [call, second, third] {
        assert!(matches!(wait(call).unwrap().body.len(), 8 | 9));
    }
    // An answer that is refused for its bytes leaves call and lease as they are.
    let call = hold(&plugin, "0");
    assert_eq!(run(&plugin, "lease 0 8\nnull 0 8 8 0\ncommit 0 0 0 0 8"), ["leased", "2", "0"]);
    assert_eq!(*wait(call).unwrap().body, *b"llllllll");
    // Refused in `handle`, each time with a lease.
    for _ in 0..10 {
        let error = wait(plugin.call_raw("refuse", b"")).unwrap_err();
        assert!(matches!(error, CallError::Refused { status: NrStatus::Err }), "{error:?}");
    }
    let (call, second) = (hold(&plugin, "0"), hold(&plugin, "1"));
    assert_eq!(run(&plugin, "lease 0 8\nlease 1 8"), ["leased", "leased"]);
    assert_eq!(run(&plugin, "commit 0 0 0 0 8\ncommit 1 1 0 0 8"), ["0", "0"]);
    drop((call, second));
    // A stream has none.
    let stream = wait(plugin.stream("hold", Request::new("3"))).unwrap();
    until(|| one(&plugin, "held 3") == "1");
    assert_eq!(one(&plugin, "lease 3 8"), "none");
    drop(stream);
    unload_clean(&host, &plugin);
}

#[test]
fn a_lease_whose_caller_left_makes_room_and_stays_written_to() {
    let host = Host::new();
    let limits = Limits { leases_max: 2, ..Limits::default() };
    let plugin = load_with(&host, |spec| spec.limits(limits));
    // A lease of a call whose caller leaves; then the plugin's side of the call is over too.
    let leave = |k: &str| {
        let call = hold(&plugin, k);
        assert_eq!(one(&plugin, &format!("lease {k} 4096")), "leased", "for call {k}");
        drop(call);
        until(|| one(&plugin, &format!("state {k} x")).starts_with("2:"));
    };
    let parked = |times: u64| counted(&plugin, |now| now.leases_parked == times);
    leave("0");
    leave("1");
    parked(2);
    // Both are over: others get theirs, and what writes into the first two writes into nothing of others.
    let (call, second) = (hold(&plugin, "2"), hold(&plugin, "3"));
    assert_eq!(run(&plugin, "lease 2 4096\nlease 3 4096"), ["leased", "leased"]);
    assert_eq!(run(&plugin, "touch 0\ntouch 1"), ["touched", "touched"]);
    assert_eq!(run(&plugin, "commit 2 2 0 0 4096\ncommit 3 3 0 0 4096"), ["0", "0"]);
    for call in [call, second] {
        is_filled(&wait(call).unwrap().body, b'l', 4096);
    }
    // As many as that are kept for their calls; one more is refused, until an answer comes late.
    leave("4");
    leave("5");
    let (call, second) = (hold(&plugin, "2"), hold(&plugin, "3"));
    assert_eq!(run(&plugin, "lease 2 8\nlease 3 8"), ["none", "none"]);
    assert_eq!(run(&plugin, "vec 0 0 1 1 0 0\nlease 2 8\nlease 3 8"), ["2", "leased", "none"]);
    // The buffer of 4 took that place, that of 5 the next.
    parked(3);
    assert_eq!(run(&plugin, "commit 1 1 0 0 8\nlease 3 8"), ["2", "leased"]);
    parked(4);
    drop((call, second));
    unload_clean(&host, &plugin);
}

/// At its deadline as with its caller; a late answer gives the buffer back, and what it wrote there is not read.
#[test]
fn a_lease_of_a_call_that_ran_out_of_time_is_over() {
    let host = Host::new();
    let limits = Limits { leases_max: 1, ..Limits::default() };
    let plugin = load_with(&host, |spec| spec.limits(limits));
    for round in 1..=3 {
        // On a busy machine it may be over before the plugin has its lease.
        let is_leased = (1..10).any(|doubled| {
            let call = hold_for(&plugin, "0", Duration::from_millis(50 << doubled));
            let is_leased = one(&plugin, "lease 0 4096") == "leased";
            let late = wait(call);
            assert!(matches!(late, Err(CallError::DeadlineExceeded)), "{late:?}");
            is_leased
        });
        assert!(is_leased, "in round {round}");
        counted(&plugin, |now| now.leases_parked == round);
        let call = hold(&plugin, "1");
        assert_eq!(
            run(&plugin, "lease 1 64\ntouch 0\ncommit 1 1 0 0 64"),
            ["leased", "touched", "0"]
        );
        is_filled(&wait(call).unwrap().body, b'l', 64);
        // Late, and the buffer is the host's again.
        assert_eq!(one(&plugin, "commit 0 0 0 0 8"), "2");
    }
    unload_clean(&host, &plugin);
}

#[test]
fn streams_go_both_ways() {
    let host = Host::new();
    let plugin = load(&host);
    for _ in 0..3 {
        let mut stream = wait(plugin.stream("stream", Request::default())).unwrap();
        assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"first");
        is_filled(&wait(stream.next()).unwrap().unwrap().body, b'f', 100);
        for len in [0, 1, 100, 10_000] {
            let data = vec![7; len];
            wait(stream.send(&data)).unwrap();
            is_filled(&wait(stream.next()).unwrap().unwrap().body, 7, len);
        }
        stream.close().unwrap();
        let last = wait(stream.next()).unwrap().unwrap();
        assert_eq!((last.status, &*last.body), (NrStatus::StreamEnd, &b"last"[..]));
        assert!(wait(stream.next()).unwrap().is_none());
        // Over: what comes now is refused, and given back.
        assert_eq!(one(&plugin, "vec 0 0 100 100 1 1"), "2");
    }
    given_back(&plugin, 3 * 6);
    unload_clean(&host, &plugin);
}

#[test]
fn state_is_behind_host_ctx() {
    let host = Host::new();
    let plugin = load(&host);
    let call = hold(&plugin, "0");
    assert_eq!(run(&plugin, "state 0 kept\nstate 9 own"), ["0:kept:0", "0:own:0"]);
    assert_eq!(run(&plugin, "vec 0 0 1 1 0 0\nstate 0 late"), ["0", "2::0"]);
    drop(call);
    unload_clean(&host, &plugin);
}

#[test]
fn an_id_of_an_entry_is_of_one_load() {
    let workshop = Workshop::new();
    let names = |order: &str| source(&format!("#define NAMES {order}"));
    let path = workshop.build("second", &names("\"one\", \"two\", \"run\", \"hold\""));
    let host = Host::new();
    let plugin = host.load(spec("second", &path).dispatch(Dispatch::Caller)).unwrap();
    let entries = ["one", "two"].map(|name| plugin.entry(name).unwrap());
    let answers = || {
        entries.each_ref().map(|entry| {
            let answer = wait(entry.call_raw(b""));
            answer.map(|answer| String::from_utf8(answer.body.to_vec()).unwrap())
        })
    };
    let is =
        |answers: [Result<String, CallError>; 2]| answers.map(Result::unwrap) == ["one", "two"];
    assert!(is(answers()));
    workshop.build("second", &names("\"run\", \"two\", \"hold\", \"one\""));
    wait(plugin.reload()).unwrap();
    assert!(is(answers()), "the ids have changed places");
    workshop.build("second", &names("\"two\""));
    wait(plugin.reload()).unwrap();
    let [one, two] = answers();
    assert!(one.is_err(), "there is none: {one:?}");
    assert_eq!(two.unwrap(), "two");
    unload_clean(&host, &plugin);
}

/// What the load of the plugin with these definitions says.
fn refusal(definitions: &str, layout: Option<Layout>) -> String {
    let workshop = Workshop::new();
    let path = workshop.build("second", &source(definitions));
    let mut spec = spec("second", &path);
    if let Some(layout) = layout {
        spec = spec.layout(layout);
    }
    let error = Host::new().load(spec).unwrap_err();
    format!("{error}; {:?}; {:?}", error.cause(), error.hint())
}

#[test]
fn what_is_no_plugin_of_version_2_is_refused_with_the_reason() {
    for (definitions, wanted) in [
        ("#define VERSION 3", "has ABI version 3; this host runs version 2"),
        ("#define VERSION 1", "has ABI version 1; this host runs version 2"),
        ("#define SIZE 55", "struct_size"),
        ("#define SIZE 0", "struct_size"),
        ("#define INIT NR_UNSUPPORTED", "`init` of plugin second answered Unsupported"),
        ("#define VTABLE .handle = handle, .init = 0", "has no `init`"),
        ("#define VTABLE .init = init, .handle_by_id = handle_by_id", "has no `handle`"),
        ("#define VTABLE init, handle, .stream_data = (void *)8", "stream_data"),
    ] {
        let said = refusal(definitions, None);
        assert!(said.contains(wanted), "{definitions}: {said}");
    }
}

#[test]
fn what_is_left_out_or_has_grown_is_taken() {
    let workshop = Workshop::new();
    let host = Host::new();
    let least = workshop.build("least", &source("#define VTABLE init, handle\n#define SIZE 4096"));
    let plugin = host.load(spec("least", &least)).unwrap();
    assert_eq!(ask(&plugin, "one", ""), "one");
    let by_name = plugin.entry("how").unwrap();
    assert_eq!(*wait(by_name.call_raw(b"")).unwrap().body, *b"name");
    drop(wait(plugin.stream("stream", Request::default())).unwrap());
    unload_clean(&host, &plugin);
    // One without the other is nothing.
    let half = "#define VTABLE .init = init, .handle = handle, .handle_by_id = handle_by_id";
    let plugin = host.load(spec("half", &workshop.build("half", &source(half)))).unwrap();
    assert_eq!(*wait(plugin.entry("how").unwrap().call_raw(b"")).unwrap().body, *b"name");
    unload_clean(&host, &plugin);
}

#[test]
fn a_file_of_both_versions_is_of_the_first_unless_asked_for() {
    let workshop = Workshop::new();
    let path = workshop.build("both", &source("#define BOTH"));
    let host = Host::new();
    let layout = |spec: PluginSpec, wanted: &str| {
        let plugin = host.load(spec).unwrap();
        assert_eq!(plugin.info().layout, wanted);
        unload_clean(&host, &plugin);
    };
    layout(spec("both", &path), "becket");
    if !IS_INLINE {
        return;
    }
    layout(spec("both", &path).layout(Layout::V2), "v2");
    layout(spec("both", &path).layout(Layout::Documented), "documented");
    for wanted in [Layout::Documented, Layout::Raw, Layout::Short] {
        let said = refusal("", Some(wanted));
        for part in ["does not export `nylon_ring_get_plugin_v1`", "leave `layout` out"] {
            assert!(said.contains(part), "{wanted}: {said}");
        }
    }
}

#[test]
fn an_image_has_one_instance() {
    if !IS_INLINE {
        return;
    }
    let workshop = Workshop::new();
    let path = workshop.build("alone", &source(""));
    let host = Host::new();
    let in_place = |name| host.load(PluginSpec::path(name, &path).private_copy(false));
    let plugin = in_place("first").unwrap();
    assert!(matches!(in_place("second"), Err(LoadError::SecondInstance { .. })));
    let copy = host.load(PluginSpec::path("third", &path)).unwrap();
    assert_eq!(ask(&copy, "one", ""), "one");
    unload_clean(&host, &copy);
    unload_clean(&host, &plugin);
    let again = in_place("second").unwrap();
    assert_eq!(ask(&again, "two", ""), "two");
    unload_clean(&host, &again);
}
