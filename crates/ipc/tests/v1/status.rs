// SPDX-License-Identifier: BSD-3-Clause
//! The status of clients for a monitor: identity, traffic, waiting operations.

use becket_ipc::Server;
use becket_ipc::monitor::SessionReport;
use becket_ipc::v1::Limits;

use crate::raw::{
    CHAN_ID, EVERY_PACKING, FOR_EVER, Packing, RECV, RESULT, Raw, TIMEOUT_MS, TRY_RECV, client,
    four, limited, payload, server, stranger,
};

const HEADER_BYTES: u64 = 8;
/// `HELLO`, in either direction: two numbers.
const HELLO_BYTES: u64 = HEADER_BYTES + 16;

#[test]
fn it_counts_traffic_and_waiting_operations() {
    for packing in EVERY_PACKING {
        let server = server();
        let mut one = client(&server, packing);
        let session = || server.sessions().remove(0);
        let first = session();
        let transport = if packing == Packing::Stream { "unix-stream" } else { "unix-seqpacket" };
        assert_eq!((server.sessions().len(), first.transport), (1, transport));
        assert_eq!(first.peer.pid, std::process::id());
        // A dispatch counts answers after it has sent them.
        let until = |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                std::thread::yield_now();
            }
        };
        until(&|| session().frames_out == 1);
        let first = session();
        assert_eq!(
            (first.frames_in, first.bytes_in, first.bytes_out),
            (1, HELLO_BYTES, HELLO_BYTES)
        );
        let id = one.make(1, 4, 8);
        until(&|| session().frames_out == 2);
        let before = session();
        let recv: [(u16, &[u8]); 2] = [(CHAN_ID, &four(id)), (TIMEOUT_MS, &four(FOR_EVER))];
        let recv_bytes = HEADER_BYTES + payload(&recv).len() as u64;
        for waiting in 1..=3 {
            one.say(RECV, &recv);
            until(&|| session().waiting == waiting);
        }
        let after = session();
        assert_eq!((after.id, after.frames_out), (first.id, before.frames_out));
        assert_eq!(after.frames_in, before.frames_in + 3);
        assert_eq!(after.bytes_in, before.bytes_in + 3 * recv_bytes);
        assert_eq!((after.malformed, after.refused, after.queued_bytes), (0, 0, 0));
        let report = SessionReport::of_v1(&after);
        assert_eq!((report.protocol, report.requests, report.streams), (1, 3, 0));
        assert_eq!((report.protocol_name().as_str(), report.has_streams()), ("1.0", false));
        // Another client has its own status, and one that disconnected has none.
        let other = client(&server, packing);
        assert_eq!(server.sessions().len(), 2);
        assert_ne!(server.sessions()[1].id, first.id);
        drop(one);
        until(&|| server.sessions().len() == 1);
        drop(other);
        until(&|| server.sessions().is_empty());
    }
}

#[test]
fn it_counts_refusals_and_unread_answers() {
    // The server reads on while its answers wait: this thread, which reads none, would block in its sends.
    let limits = Limits { waits_max: 1, answers_max: 1 << 16, ..Limits::default() };
    let server = limited(limits);
    let (mut one, served) = stranger(&server, Packing::One);
    one.hello();
    let id = one.make(1, 4, 8);
    let recv: [(u16, &[u8]); 2] = [(CHAN_ID, &four(id)), (TIMEOUT_MS, &four(FOR_EVER))];
    one.say(RECV, &recv);
    assert_ne!(one.ask(RECV, &recv).number(RESULT), 0);
    one.say_bytes(TRY_RECV, &[0, 1, 0, 4, 0]);
    assert!(one.hear().is_some());
    let status = served.status();
    assert_eq!((status.refused, status.malformed), (1, 1));
    let refused = SessionReport::of_v1(&status).refused;
    assert_eq!(refused, [("malformed".to_owned(), 1), ("limit".to_owned(), 1)]);
    // Answers that do not fit into the socket wait here.
    while served.status().queued_bytes == 0 {
        one.say(TRY_RECV, &recv[..1]);
    }
}

#[test]
fn a_server_shows_clients_of_both_protocols_each_under_its_own_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    let server = Server::builder().bind_both(&path).unwrap();
    let client = becket_ipc::Client::connect(&path).wait().unwrap();
    let mut old = Raw::connect(&path, Packing::Two);
    old.hello();
    client.list(None).wait().unwrap();
    let (new, old_ones) = (server.sessions_later(), server.v1_sessions_later());
    assert_eq!((new().len(), old_ones().len()), (1, 1));
    assert_ne!(new()[0].id, old_ones()[0].id);
    assert_eq!(old_ones()[0].frames_in, 1);
    drop(server);
    assert_eq!((new().len(), old_ones().len()), (0, 0));
}
