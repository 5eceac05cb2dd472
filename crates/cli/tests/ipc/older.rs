// SPDX-License-Identifier: BSD-3-Clause
//! A client of protocol 1.0, byte by byte, beside clients of protocol 2.

use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

use serde_json::Value;

use crate::world::{World, becket};

const HELLO: u16 = 1;
const CHAN_MAKE: u16 = 10;
const CHAN_SEND: u16 = 11;
const CHAN_RECV: u16 = 13;

const ABI_MAJOR: u16 = 1;
const ABI_MINOR: u16 = 2;
const KIND: u16 = 5;
const ELEM_SIZE: u16 = 6;
const CAPACITY: u16 = 7;
const TIMEOUT_MS: u16 = 8;
const CHAN_ID: u16 = 20;
const ELEMENT: u16 = 21;
const RESULT: u16 = 22;

const BUFFERED: u32 = 1;

struct Older(OwnedFd);

fn number(attribute: u16, value: u32) -> Vec<u8> {
    bytes(attribute, &value.to_be_bytes())
}

fn bytes(attribute: u16, value: &[u8]) -> Vec<u8> {
    let mut tlv = attribute.to_be_bytes().to_vec();
    tlv.extend_from_slice(&(value.len() as u16).to_be_bytes());
    tlv.extend_from_slice(value);
    tlv
}

impl Older {
    fn connect(world: &World) -> Self {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(&world.socket).unwrap()).unwrap();
        let older = Self(socket);
        let hello = older.ask(HELLO, &[number(ABI_MAJOR, 1), number(ABI_MINOR, 0)]);
        assert_eq!(find(&hello, ABI_MAJOR), Some(1_u32.to_be_bytes().to_vec()));
        older
    }

    /// Sends a request and receives the payload of the answer.
    fn ask(&self, command: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        self.say(command, attributes);
        self.receive(command)
    }

    /// Sends a request in one packet.
    fn say(&self, command: u16, attributes: &[Vec<u8>]) {
        let payload = attributes.concat();
        let mut frame = command.to_be_bytes().to_vec();
        frame.extend_from_slice(&[0, 0]);
        frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        frame.extend_from_slice(&payload);
        send(&self.0, &frame, SendFlags::empty()).unwrap();
    }

    /// Receives the payload of an answer, which comes in one packet or two.
    fn receive(&self, command: u16) -> Vec<u8> {
        let mut answer = Vec::new();
        loop {
            let mut packet = [0; 1024];
            let (read, _) = recv(&self.0, &mut packet, RecvFlags::empty()).unwrap();
            assert!(read > 0, "the server has closed");
            answer.extend_from_slice(&packet[..read]);
            let length = u32::from_be_bytes(answer[4..8].try_into().unwrap()) as usize;
            if answer.len() >= 8 + length {
                assert_eq!(answer[..2], command.to_be_bytes());
                return answer[8..].to_vec();
            }
        }
    }
}

/// The value of an attribute.
fn find(mut payload: &[u8], attribute: u16) -> Option<Vec<u8>> {
    while let Some((head, rest)) = payload.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (value, after) = rest.split_at(length);
        if head[..2] == attribute.to_be_bytes() {
            return Some(value.to_vec());
        }
        payload = after;
    }
    None
}

#[test]
fn a_client_of_protocol_1_and_one_of_protocol_2_share_a_channel() {
    let world = World::new(&[]);
    let older = Older::connect(&world);
    let shape = [number(KIND, BUFFERED), number(ELEM_SIZE, 5), number(CAPACITY, 8)];
    let made = older.ask(CHAN_MAKE, &shape);
    let id = u32::from_be_bytes(find(&made, CHAN_ID).unwrap().try_into().unwrap());
    let channel = format!("#{id}");
    let wait = || [number(CHAN_ID, id), number(TIMEOUT_MS, u32::MAX)].concat();

    let sent = older.ask(CHAN_SEND, &[wait(), bytes(ELEMENT, b"hello")]);
    assert_eq!(find(&sent, RESULT), Some(vec![0; 4]));
    assert_eq!(world.recv(&channel, 1), "hello\n");

    world.send(&channel, "again\n");
    let received = older.ask(CHAN_RECV, &[wait()]);
    assert_eq!(find(&received, ELEMENT), Some(b"again".to_vec()));

    // Elements of protocol 1.0 are all of one length.
    let send = world.ipc(&["send", &channel]).stdin("too long\n").assert().code(4);
    send.stderr_eq(snapbox::str![[r#"
error: line 1 was not accepted
cause: the element does not have the length of the channel's elements
hint:  0 elements before it were accepted by #1001

"#]]);
    assert_eq!(world.figures(&channel)["receives"], 2);
}

/// The last lines of a kind that `becket mon` writes.
fn watched(world: &World, kind: &str) -> Vec<Value> {
    let run =
        becket(&["mon", "--headless", "--duration", "100ms", "--interval", "100ms", "--socket"])
            .arg(&world.socket)
            .assert()
            .success();
    let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).collect()
}

#[test]
fn the_monitor_shows_clients_of_protocol_1() {
    let world = World::new(&["jobs:bounded:4"]);
    let older = Older::connect(&world);
    let shape = [number(KIND, BUFFERED), number(ELEM_SIZE, 5), number(CAPACITY, 8)];
    let made = older.ask(CHAN_MAKE, &shape);
    let id = u32::from_be_bytes(find(&made, CHAN_ID).unwrap().try_into().unwrap());
    // It waits for a sender.
    older.say(CHAN_RECV, &[number(CHAN_ID, id), number(TIMEOUT_MS, u32::MAX)]);
    let session = loop {
        let sessions = watched(&world, "session");
        let session = sessions.into_iter().rfind(|session| session["protocol"] == 1).unwrap();
        if session["requests"] == 1 {
            break session;
        }
    };
    assert_eq!(session["peer_pid"], std::process::id());
    assert_eq!(session["transport"], "unix-seqpacket");
    assert_eq!((&session["frames_in_total"], &session["frames_out_total"]), (&3.into(), &2.into()));
    assert!(session["bytes_in_total"].as_u64().unwrap() > 0);
    assert!(session["bytes_out_total"].as_u64().unwrap() > 0);
    world.send(&format!("#{id}"), "hello\n");
    assert_eq!(find(&older.receive(CHAN_RECV), ELEMENT), Some(b"hello".to_vec()));
    drop(older);
    let is_there = || watched(&world, "session").iter().any(|session| session["protocol"] == 1);
    while is_there() {}
}
