// SPDX-License-Identifier: BSD-3-Clause
//! Channels between processes by protocol 2: C and C, C and Rust in both directions, the death of
//! each side; and one channel in C's and in Rust's hands, in one process.

use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::ptr;
use std::thread;

use becket_chan::{bounded, rendezvous};
use becket_ipc::blocks::BlockRef;
use becket_ipc::{Client, Element, Server};
use becket_zcopy::{Class, Meta, Pool, Region};
use kcoro::chan::Chan;
use kcoro::chan::copy::{kc_chan_recv, kc_chan_send};
use kcoro::chan::make::kc_chan_destroy;
use kcoro::errno;
use kcoro::select::{
    SelectSet, kc_select_add_recv, kc_select_create, kc_select_destroy, kc_select_wait,
};
use kcoro::session::client::{OpenOpts, SessionOpts};
use kcoro::session::msg::{
    Msg, kc_chan_make_msg, kc_msg_data, kc_msg_len, kc_msg_make, kc_msg_release,
};
use kcoro::session::rust;

use crate::common::{C, CPP, Library, check, folder, include, program, run, ways};
use crate::peer::{Peer, place};

#[test]
fn the_header_is_strict_c11_and_cpp17_alone_and_twice_and_agrees_with_the_types() {
    let mut source =
        "#include \"kcoro_session.h\"\n#include \"kcoro_session.h\"\nint probe(void);\n".to_owned();
    let mut same = |what: &str, number: usize| {
        source.push_str(&format!(
            "#ifndef __cplusplus\n_Static_assert({what} == {number}, \"\");\n#endif\n"
        ));
    };
    same("sizeof(kc_session_opts_t)", size_of::<SessionOpts>());
    same("offsetof(kc_session_opts_t, flags)", offset_of!(SessionOpts, flags));
    same("offsetof(kc_session_opts_t, attempts_max)", offset_of!(SessionOpts, attempts_max));
    same(
        "offsetof(kc_session_opts_t, backoff_first_ms)",
        offset_of!(SessionOpts, backoff_first_ms),
    );
    same("offsetof(kc_session_opts_t, backoff_max_ms)", offset_of!(SessionOpts, backoff_max_ms));
    same("offsetof(kc_session_opts_t, handshake_ms)", offset_of!(SessionOpts, handshake_ms));
    same(
        "offsetof(kc_session_opts_t, message_bytes_max)",
        offset_of!(SessionOpts, message_bytes_max),
    );
    same("sizeof(kc_open_opts_t)", size_of::<OpenOpts>());
    same("offsetof(kc_open_opts_t, flags)", offset_of!(OpenOpts, flags));
    same("offsetof(kc_open_opts_t, window)", offset_of!(OpenOpts, window));
    same("offsetof(kc_open_opts_t, kind)", offset_of!(OpenOpts, kind));
    same("offsetof(kc_open_opts_t, capacity)", offset_of!(OpenOpts, capacity));
    same("-KC_EUNKNOWN", 121);
    for language in [C, CPP] {
        let file = folder().join("header").with_extension(language.extension);
        std::fs::write(&file, &source).unwrap();
        run(language.compiler().args(["-fsyntax-only", "-I"]).arg(include()).arg(&file));
    }
}

#[test]
fn messages_and_servers() {
    check("session_serve");
}

#[test]
fn sessions() {
    check("session");
}

#[test]
fn a_client_and_a_server_in_c() {
    for (language, library) in ways() {
        let (_directory, socket) = place();
        let mut server = program("session_serve", language, library);
        server.arg(&socket);
        let server = Peer::start(server);
        run(program("session", language, library).arg("client").arg(&socket));
        server.ends();
        assert!(!socket.exists());
    }
}

#[test]
fn a_client_in_c_and_a_server_in_rust() {
    let (_directory, socket) = place();
    let server = Server::bind(&socket).unwrap();
    let (jobs, meet, news) = (bounded::<Element>(2), rendezvous(), bounded(2));
    let ((ask, asked), (answers, answered)) = (bounded::<Element>(4), bounded::<Element>(4));
    server.export("jobs", Some(jobs.0.clone()), Some(jobs.1.clone())).unwrap();
    server.export("meet", Some(meet.0.clone()), Some(meet.1.clone())).unwrap();
    server.export("news", None, Some(news.1.clone())).unwrap();
    server.export("ask", Some(ask), None).unwrap();
    server.export("answers", None, Some(answered)).unwrap();
    let answering = thread::spawn(move || {
        while let Ok(element) = asked.recv().wait() {
            let block = match element.as_block() {
                None => 0_u32,
                Some(BlockRef::Own(_)) => 1,
                Some(_) => 2,
            };
            let numbers = [element.len() as u32, block, sum_of(element.as_slice())];
            let answer: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
            drop(element);
            let _closed = answers.send(answer.into()).wait();
        }
    });
    run(program("session", &C, Library::Shared).arg("client").arg(&socket));
    drop(server);
    answering.join().unwrap();
}

fn sum_of(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

#[test]
fn a_client_in_rust_and_a_server_in_c() {
    let (_directory, socket) = place();
    let server = Peer::server(&socket);
    let client = Client::connect(&socket).wait().unwrap();
    let (jobs, taken) =
        (client.sender("jobs").wait().unwrap(), client.receiver("jobs").wait().unwrap());
    let large: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 3) as u8).collect();
    for message in [b"hello".to_vec(), Vec::new(), large] {
        jobs.send(message.clone()).wait().unwrap();
        assert_eq!(taken.recv().wait().unwrap().as_slice(), message);
    }
    assert!(client.sender("news").wait().is_err(), "it is offered to receive alone");
    // Blocks: copied at first, then by descriptor.
    let region = Region::memfd(1 << 16, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 1 << 15, blocks: 2 }]).unwrap();
    let (ask, answers) =
        (client.sender("ask").wait().unwrap(), client.receiver("answers").wait().unwrap());
    loop {
        let mut lease = pool.lease(1 << 15).unwrap().wait().unwrap();
        lease.fill(7);
        ask.send(lease.freeze()).wait().unwrap();
        let answer = answers.recv().wait().unwrap();
        let number =
            |at: usize| u32::from_ne_bytes(answer.as_slice()[at..at + 4].try_into().unwrap());
        assert_eq!((number(0), number(8)), (1 << 15, sum_of(&[7; 1 << 15])));
        if number(4) == 2 {
            break;
        }
    }
    server.ends();
    assert!(taken.recv().wait().is_err());
}

#[test]
fn the_death_of_the_server_ends_every_wait() {
    let (_directory, socket) = place();
    let server = Peer::server(&socket);
    let client = Peer::client("session", "dies", &socket);
    server.kill();
    client.ends();
}

#[test]
fn the_death_of_a_client_leaves_what_it_was_not_sent() {
    let (_directory, socket) = place();
    let server = Peer::server(&socket);
    let mut client = Peer::client("session", "waits", &socket);
    let other = Client::connect(&socket).wait().unwrap();
    let jobs = other.sender("jobs").wait().unwrap();
    jobs.send("taken").wait().unwrap();
    client.is_ready();
    jobs.send("left").wait().unwrap();
    client.kill();
    let left = other.receiver("jobs").wait().unwrap();
    assert_eq!(left.recv().wait().unwrap().as_slice(), b"left");
    server.ends();
}

#[test]
fn a_session_outlives_its_servers() {
    let (_directory, socket) = place();
    let mut client = Peer::client("session", "reconnects", &socket);
    for line in ["first\n", "second\n", "third\n"] {
        let server = Peer::server(&socket);
        client.says(line);
        client.is_ready();
        server.kill();
    }
    client.ends();
}

/// A handle that may go to another thread.
#[derive(Clone, Copy)]
struct Handle(*mut Chan);

// SAFETY: the handles of this library may be used by any thread.
unsafe impl Send for Handle {}

impl Handle {
    fn send<T>(self, value: &T, timeout_ms: i64) -> c_int {
        // SAFETY: the handle is valid, and so is the element.
        unsafe { kc_chan_send(self.0, ptr::from_ref(value).cast(), timeout_ms) }
    }

    fn recv<T: Copy>(self, place: T, timeout_ms: i64) -> Result<T, c_int> {
        let mut value = place;
        // SAFETY: the handle is valid, and so is the place.
        let code = unsafe { kc_chan_recv(self.0, (&raw mut value).cast(), timeout_ms) };
        if code == errno::OK { Ok(value) } else { Err(code) }
    }

    fn destroy(self) {
        // SAFETY: valid, and not used again.
        unsafe { kc_chan_destroy(self.0) };
    }
}

#[test]
fn c_sends_and_rust_receives() {
    let (sender, receiver) = bounded::<[u32; 20]>(1);
    let c = Handle(rust::sends(sender));
    assert_eq!(c.send(&[1_u32; 20], 0), errno::OK);
    assert_eq!(c.send(&[2_u32; 20], 0), errno::EAGAIN);
    assert_eq!(c.send(&[2_u32; 20], 5), errno::ETIME);
    assert_eq!(c.recv([0_u32; 20], 0), Err(errno::ENOTSUP));
    let sending = thread::spawn(move || {
        let c = c;
        (c, c.send(&[3_u32; 20], -1))
    });
    assert_eq!(receiver.recv().wait(), Ok([1; 20]));
    assert_eq!(receiver.recv().wait(), Ok([3; 20]));
    let (c, sent) = sending.join().unwrap();
    assert_eq!(sent, errno::OK);
    // Each side finds what the other one has closed.
    c.destroy();
    assert!(receiver.recv().wait().is_err());
    let (sender, receiver) = bounded::<u64>(1);
    let c = Handle(rust::sends(sender));
    drop(receiver);
    assert_eq!(c.send(&1_u64, -1), errno::EPIPE);
    c.destroy();
}

#[test]
fn rust_sends_and_c_receives() {
    let (sender, receiver) = rendezvous::<u16>();
    let c = Handle(rust::receives(receiver));
    assert_eq!(c.recv(0_u16, 0), Err(errno::EAGAIN));
    assert_eq!(c.recv(0_u16, 5), Err(errno::ETIME));
    assert_eq!(c.send(&1_u16, 0), errno::ENOTSUP);
    let receiving = thread::spawn(move || {
        let c = c;
        (c, c.recv(0_u16, -1))
    });
    sender.send(9).wait().unwrap();
    let (c, received) = receiving.join().unwrap();
    assert_eq!(received, Ok(9));
    // In a select, which waits.
    let (mut set, mut out, mut selected) = (ptr::null_mut::<SelectSet>(), 0_u16, -2);
    let sending = thread::spawn(move || (sender.send(10).wait(), sender));
    // SAFETY: the places are valid for as long as the set.
    unsafe {
        assert_eq!(kc_select_create(&raw mut set, ptr::null()), errno::OK);
        assert_eq!(kc_select_add_recv(set, c.0, (&raw mut out).cast()), errno::OK);
        let mut result = 1;
        assert_eq!(kc_select_wait(set, -1, &raw mut selected, &raw mut result), errno::OK);
        kc_select_destroy(set);
    }
    assert_eq!((selected, out), (0, 10));
    let (sent, sender) = sending.join().unwrap();
    sent.unwrap();
    drop(sender);
    assert_eq!(c.recv(0_u16, -1), Err(errno::EPIPE));
    c.destroy();
}

fn message(text: &str) -> *mut Msg {
    let mut msg = ptr::null_mut();
    // SAFETY: the place and the bytes are valid.
    let code = unsafe { kc_msg_make(&raw mut msg, text.as_ptr().cast::<c_void>(), text.len()) };
    assert_eq!(code, errno::OK);
    msg
}

fn text_of(msg: *mut Msg) -> String {
    // SAFETY: a message that was received, and is released once.
    unsafe {
        let bytes = std::slice::from_raw_parts(kc_msg_data(msg).cast::<u8>(), kc_msg_len(msg));
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        kc_msg_release(msg);
        text
    }
}

#[test]
fn a_channel_of_messages_is_made_by_either_side() {
    // By C: Rust has both ends of it.
    let mut made = ptr::null_mut();
    // SAFETY: the place is valid.
    assert_eq!(unsafe { kc_chan_make_msg(&raw mut made, 1, 2) }, errno::OK);
    let c = Handle(made);
    // SAFETY: the handle is valid.
    let (sender, receiver) =
        unsafe { (rust::sender(made).unwrap(), rust::receiver(made).unwrap()) };
    sender.send("from Rust".into()).wait().unwrap();
    assert_eq!(text_of(c.recv(ptr::null_mut::<Msg>(), -1).unwrap()), "from Rust");
    assert_eq!(c.send(&message("from C"), -1), errno::OK);
    assert_eq!(receiver.recv().wait().unwrap().as_slice(), b"from C");
    c.destroy();
    assert!(sender.is_closed());
    // By Rust.
    let (sender, receiver) = bounded::<Element>(2);
    let c = Handle(rust::messages(Some(sender.clone()), Some(receiver.clone())));
    assert_eq!(c.send(&message("hello"), -1), errno::OK);
    assert_eq!(receiver.recv().wait().unwrap().as_slice(), b"hello");
    sender.send("world".into()).wait().unwrap();
    assert_eq!(text_of(c.recv(ptr::null_mut::<Msg>(), -1).unwrap()), "world");
    // A channel of plain elements has no such ends.
    let plain = Handle(rust::sends(bounded::<u8>(1).0));
    // SAFETY: the handle is valid.
    assert!(unsafe { rust::sender(plain.0) }.is_none());
    plain.destroy();
    c.destroy();
}
