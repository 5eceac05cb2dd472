// SPDX-License-Identifier: BSD-3-Clause
//! A client that leaves loses no elements.

use rustix::process::Signal;
use snapbox::str;

use crate::world::{World, numbers};

/// More bytes than a pipe holds, so that the writer waits in the middle of an element.
const LONG: usize = 200_000;

fn long(digit: &str) -> String {
    format!("{}\n", digit.repeat(LONG))
}

#[test]
fn what_a_reader_that_goes_did_not_get_is_received_by_the_next() {
    for window in ["0", "2", "64"] {
        let world = World::new(&["jobs:bounded:8"]);
        let lines: String = ["1", "2", "3", "4", "5"].map(long).concat();
        world.send("jobs", &lines);
        let mut recv = world.start(&["recv", "jobs", "--window", window]);
        assert!(recv.read(LONG + 1) == long("1").as_bytes());
        // It is in the middle of the second element, or will be.
        drop(recv.0.stdout.take());
        assert_eq!(recv.ended(), Some(0));
        snapbox::assert_data_eq!(
            recv.stderr(),
            str![[r#"
stdout has no reader any more: 1 element of jobs written

"#]]
        );
        let rest: String = ["2", "3", "4", "5"].map(long).concat();
        assert!(world.recv("jobs", 4) == rest, "window {window}");
        let figures = world.figures("jobs");
        assert_eq!((&figures["sends"], &figures["receives"]), (&5.into(), &5.into()));
    }
}

#[test]
fn a_reader_that_goes_is_noticed_while_nothing_comes() {
    let world = World::new(&["jobs:bounded:8"]);
    world.send("jobs", "a\n");
    let mut recv = world.start(&["recv", "jobs"]);
    assert_eq!(recv.read(2), b"a\n");
    drop(recv.0.stdout.take());
    assert_eq!(recv.ended(), Some(0));
}

#[test]
fn a_signal_lets_the_element_in_hand_end_and_leaves_the_rest() {
    let world = World::new(&["jobs:bounded:8"]);
    let lines: String = ["1", "2", "3"].map(long).concat();
    world.send("jobs", &lines);
    let mut recv = world.start(&["recv", "jobs"]);
    assert_eq!(recv.read(1), b"1");
    recv.signal(Signal::TERM);
    assert!(recv.read(LONG) == long("1").as_bytes()[1..]);
    assert_eq!(recv.ended(), Some(130));
    snapbox::assert_data_eq!(
        recv.stderr(),
        str![[r#"
interrupted: 1 element of jobs written

"#]]
    );
    assert!(world.recv("jobs", 2) == ["2", "3"].map(long).concat());
}

#[test]
fn no_more_than_the_count_is_taken() {
    let world = World::new(&["jobs:rendezvous"]);
    for (count, window) in [(3, "0"), (3, "64"), (20, "4")] {
        let mut send = world.start(&["send", "jobs", "--json"]);
        send.write(numbers(1, 30).as_bytes());
        let counted = count.to_string();
        let recv = world.ipc(&["recv", "jobs", "--window", window, "--count", &counted]).assert();
        let written = crate::world::stdout(recv.success().get_output());
        assert_eq!(written, numbers(1, count));
        send.signal(Signal::INT);
        assert_eq!(send.0.wait().unwrap().code(), Some(130));
        let report: serde_json::Value =
            serde_json::from_reader(send.0.stdout.take().unwrap()).unwrap();
        assert_eq!(report["accepted"], count, "window {window}");
    }
}

#[test]
fn a_signal_takes_back_what_was_not_accepted() {
    let world = World::new(&["jobs:rendezvous"]);
    let mut send = world.start(&["send", "jobs", "--json"]);
    send.write(numbers(1, 10).as_bytes());
    assert_eq!(world.recv("jobs", 3), numbers(1, 3));
    send.signal(Signal::INT);
    assert_eq!(send.0.wait().unwrap().code(), Some(130));
    let report: serde_json::Value = serde_json::from_reader(send.0.stdout.take().unwrap()).unwrap();
    assert_eq!((&report["accepted"], &report["unknown"]), (&3.into(), &0.into()));
    // The channel's wait queue has no other sends.
    let mut next = world.start(&["send", "jobs"]);
    next.write(b"next\n");
    assert_eq!(world.recv("jobs", 1), "next\n");
    assert_eq!(next.ended(), Some(0));
}

#[test]
fn a_time_that_is_over_has_an_exit_code_of_its_own() {
    let world = World::new(&["jobs:bounded:1"]);
    let recv = world.ipc(&["recv", "jobs", "--timeout", "20ms"]).assert().code(5);
    recv.stdout_eq("").stderr_eq(str![[r#"
error: nothing came from jobs for 20.00 ms
cause: 0 elements received before; no sender sent another
hint:  `[..] ipc stat --socket [..]` shows it

"#]]);
    let send = world.ipc(&["send", "jobs", "--timeout", "20ms"]).stdin("1\n2\n3\n");
    send.assert().code(5).stdout_eq("").stderr_eq(str![[r#"
error: jobs accepted nothing for 20.00 ms
cause: 1 element accepted before; the channel stays full
hint:  `[..] ipc stat --socket [..]` shows it

"#]]);
    assert_eq!(world.recv("jobs", 1), "1\n");
    assert_eq!(world.figures("jobs")["len"], 0, "what was not accepted is not there");
}

#[test]
fn a_closed_channel_says_so() {
    let world = World::new(&["jobs:bounded:8"]);
    world.send("jobs", "1\n");
    world.client().close_channel("jobs", Some("the day is over")).wait().unwrap();
    let send = world.ipc(&["send", "jobs"]).stdin("2\n").assert().code(4);
    send.stdout_eq("").stderr_eq(str![[r#"
error: jobs is closed: 0 elements accepted before
cause: closed with the reason: the day is over

"#]]);
    let recv = world.ipc(&["recv", "jobs"]).assert().success();
    recv.stdout_eq("1\n").stderr_eq(str![[r#"
jobs is closed: the day is over; received: 1 element (1 byte) in [..]

"#]]);
}

#[test]
fn when_the_server_ends_it_says_what_is_left() {
    let mut world = World::new(&["jobs:bounded:8"]);
    world.send("jobs", "1\n2\n");
    let mut recv = world.start(&["recv", "jobs", "--window", "0"]);
    assert_eq!(recv.read(4), b"1\n2\n");
    world.send("jobs", "3\n");
    assert_eq!(recv.read(2), b"3\n");
    world.server.signal(Signal::TERM);
    assert_eq!(recv.ended(), Some(1));
    snapbox::assert_data_eq!(
        recv.stderr(),
        str![[r#"
error: the server has gone: 3 elements of jobs written
cause: the peer closed the connection: the server has ended (code [..])

"#]]
    );
    let out = std::io::read_to_string(world.server.0.stdout.take().unwrap()).unwrap();
    assert_eq!(world.server.ended(), Some(0));
    // The server may not have noticed yet that the sender of the last element is gone.
    snapbox::assert_data_eq!(
        out,
        str![[r#"
{"channels":1,"connections_closed":[..],"elements_left":0,"event":"ended"}

"#]]
    );
    let left = std::fs::read_dir(world.socket.parent().unwrap()).unwrap().count();
    assert_eq!(left, 0, "no socket and no lock is left");
}

#[test]
fn what_was_fetched_from_a_channel_that_was_closed_goes_back() {
    let world = World::new(&["jobs:bounded:8"]);
    world.send("jobs", &["1", "2", "3", "4", "5"].map(long).concat());
    world.client().close_channel("jobs", None).wait().unwrap();
    let mut recv = world.start(&["recv", "jobs"]);
    assert!(recv.read(LONG + 1) == long("1").as_bytes());
    drop(recv.0.stdout.take());
    assert_eq!(recv.ended(), Some(0), "{}", recv.stderr());
    assert!(world.recv("jobs", 4) == ["2", "3", "4", "5"].map(long).concat());
    // Without a window no element is prefetched, and the current one is requeued.
    let other = World::new(&["jobs:bounded:8"]);
    other.send("jobs", &["1", "2"].map(long).concat());
    other.client().close_channel("jobs", None).wait().unwrap();
    let mut recv = other.start(&["recv", "jobs", "--window", "0"]);
    assert_eq!(recv.read(1), b"1");
    drop(recv.0.stdout.take());
    assert_eq!(recv.ended(), Some(0));
    assert!(other.recv("jobs", 2) == ["1", "2"].map(long).concat());
}
