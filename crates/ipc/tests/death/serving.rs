// SPDX-License-Identifier: BSD-3-Clause
//! A server with four channels, for clients of both protocols.

use becket_ipc::Server;
use becket_ipc::channels::{Channels, Wanted};

use crate::client::options;
use crate::part::{CHANNELS, Part, Transport, path};
use crate::report::{Reporter, What, number};

pub(crate) fn play(part: &Part) {
    let reporter = Reporter::of_process();
    let builder = Server::builder().options(options());
    let server = builder.bind_both(path(&part.directory, Transport::Seqpacket)).unwrap();
    for (name, kind) in CHANNELS {
        let wanted = Wanted { kind, capacity: 8, element_bytes: None };
        server.channels().make(Some(name), wanted).unwrap();
    }
    reporter.say(What::Ready, 0, 0);
    while let Some(b'd') = reporter.command() {
        say_what_is_left(server.channels(), &reporter);
        reporter.say(What::Idle, 0, 0);
    }
    drop(server);
    reporter.say(What::Done, 0, 0);
}

fn say_what_is_left(channels: &Channels, reporter: &Reporter) {
    for (at, (name, _)) in CHANNELS.into_iter().enumerate() {
        let channel = channels.by_name(name).unwrap();
        while let Ok(element) = channel.receiver().unwrap().try_recv() {
            match number(element.as_slice()) {
                Some(number) => reporter.say(What::Left, at as u8, number),
                None => reporter.say(What::Wrong, at as u8, element.len() as u64),
            }
        }
    }
}
