// SPDX-License-Identifier: BSD-3-Clause
//! From one channel into another.

use rustix::process::Signal;
use snapbox::str;

use crate::world::{Running, World, becket, numbers, process, stdout};

#[test]
fn everything_moves_from_one_server_to_another() {
    let (one, other) = (World::new(&["a:bounded:16"]), World::new(&["b:bounded:2"]));
    let mut pipe = process(&["ipc", "pipe", "a", "b", "--from-socket"]);
    pipe.arg(&one.socket).arg("--to-socket").arg(&other.socket);
    let mut pipe = Running::start(pipe);
    let mut send = one.start(&["send", "a", "--close"]);
    let writing = std::thread::spawn(move || {
        send.write(numbers(1, 3000).as_bytes());
        send.ended()
    });
    assert_eq!(other.recv("b", 3000), numbers(1, 3000));
    assert_eq!(writing.join().unwrap(), Some(0));
    assert_eq!(pipe.ended(), Some(0));
    assert!(pipe.stderr().starts_with("a is closed; moved to b: 3 000 elements "));
    assert_eq!(other.figures("b")["closed"], false);
}

#[test]
fn what_the_other_channel_refuses_goes_back() {
    let world = World::new(&["a:bounded:8", "b:bounded:8"]);
    world.send("a", &numbers(1, 3));
    world.client().close_channel("b", Some("full up")).wait().unwrap();
    world.ipc(&["pipe", "a", "b"]).assert().code(4).stdout_eq("").stderr_eq(str![[r#"
error: b takes no more: 0 elements moved from a
cause: the channel is closed: full up
hint:  the one in hand is back in front of a

"#]]);
    assert_eq!(world.recv("a", 3), numbers(1, 3));
}

#[test]
fn what_is_in_hand_when_a_signal_comes_goes_back() {
    let world = World::new(&["a:bounded:3", "b:rendezvous"]);
    let mut pipe = world.start(&["pipe", "a", "b"]);
    // The fourth is accepted when the first is in flight.
    world.send("a", &numbers(1, 4));
    pipe.signal(Signal::TERM);
    assert_eq!(pipe.ended(), Some(130));
    snapbox::assert_data_eq!(
        pipe.stderr(),
        str![[r#"
interrupted: 0 elements moved from a to b

"#]]
    );
    assert_eq!(world.recv("a", 4), numbers(1, 4));
    assert_eq!(world.figures("b")["sends"], 0);
}

#[test]
fn a_killed_pipe_costs_the_element_in_hand_at_most() {
    let world = World::new(&["a:bounded:64", "b:bounded:1"]);
    let mut pipe = world.start(&["pipe", "a", "b"]);
    world.send("a", &numbers(1, 50));
    assert_eq!(world.recv("b", 10), numbers(1, 10));
    pipe.signal(Signal::KILL);
    assert_eq!(pipe.ended(), None);
    let client = world.client();
    client.close_channel("a", None).wait().unwrap();
    client.close_channel("b", None).wait().unwrap();
    let rest = |channel| {
        let rest = world.ipc(&["recv", channel]).assert().success();
        crate::world::parsed(&stdout(rest.get_output()))
    };
    let seen = [rest("b"), rest("a")].concat();
    let lost = 40 - seen.len();
    assert!(lost <= 1, "{seen:?}");
    assert!(seen.windows(2).all(|two| two[0] < two[1]), "in order, none twice: {seen:?}");
}

#[test]
fn a_channel_does_not_flow_into_itself() {
    let world = World::new(&["a:bounded:8"]);
    world.ipc(&["pipe", "a", "a"]).assert().code(2).stderr_eq(str![[r#"
error: a would flow into itself
cause: FROM and TO are the same channel
hint:  name two channels, or two servers by --from-socket and --to-socket

"#]]);
    // With any spelling of the socket's path.
    let other_way = world.socket.parent().unwrap().join("../private/ipc.sock");
    let pipe = world.ipc(&["pipe", "a", "a", "--to-socket"]).arg(other_way);
    pipe.assert().code(2);
    becket(&["ipc", "pipe", "a", "b", "--socket", "x", "--to-socket", "y"]).assert().code(2);
}
