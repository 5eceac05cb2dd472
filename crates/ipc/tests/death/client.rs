// SPDX-License-Identifier: BSD-3-Clause
//! A client of protocol 2: one thread or coroutine per channel, all over one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use becket_chan::Token;
use becket_coro::Runtime;
use becket_ipc::transport::SocketKind;
use becket_ipc::{Client, OpenError, Options, ReceiverOptions, RecvError, SendError};

use crate::part::{CHANNELS, Part, Role, Transport};
use crate::report::{Reporter, What, element, number};

/// Numbers of elements, over all connections of this process.
pub(crate) struct Numbers([AtomicU64; 4], u16);

impl Numbers {
    pub(crate) fn new(id: u16) -> Self {
        Self(Default::default(), id)
    }

    pub(crate) fn next(&self, channel: u8) -> u64 {
        let count = self.0[usize::from(channel)].fetch_add(1, Ordering::Relaxed);
        u64::from(self.1) << 48 | u64::from(channel) << 40 | count
    }
}

/// Connects on each start command, until the stop command.
pub(crate) fn each_time(reporter: &Reporter, connected: impl Fn(&Token)) {
    let stop = Token::new();
    let (start, started) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let start = start;
            while let Some(command) = reporter.command() {
                if command == b's' {
                    break;
                }
                start.send(()).unwrap();
            }
            stop.cancel();
        });
        reporter.say(What::Ready, 0, 0);
        while started.recv().is_ok() {
            connected(&stop);
            if stop.is_cancelled() {
                break;
            }
            reporter.say(What::Idle, 0, 0);
        }
    });
    reporter.say(What::Done, 0, 0);
}

/// No keep-alive: an end that is not reported at once is never reported, and the test hangs.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.limits.keep_alive_ms = 24 * 3_600_000;
    options
}

pub(crate) fn play(part: &Part) {
    let reporter = Arc::new(Reporter::of_process());
    let numbers = Arc::new(Numbers::new(part.id));
    // Every other client consists of coroutines.
    let is_coroutines = part.id % 2 == 1;
    let runtime = is_coroutines.then(|| Runtime::builder().workers(2).build().unwrap());
    let mut options = options();
    options.shared_memory = part.transport == Transport::SharedMemory;
    if part.transport == Transport::Seqpacket {
        options.socket = SocketKind::Seqpacket;
    }
    let (role, window) = (part.role, part.window);
    each_time(&reporter, |stop| {
        let client = match Client::connect_with(part.path(), options.clone()).wait() {
            Ok(client) => client,
            // The server was killed during the connect.
            Err(_) => return (0..4).for_each(|channel| reporter.say(What::Ended, channel, 0)),
        };
        let mut coroutines = Vec::new();
        thread::scope(|scope| {
            for channel in 0..4_u8 {
                let (client, name) = (client.clone(), CHANNELS[usize::from(channel)].0);
                let (reporter, stop, numbers) = (reporter.clone(), stop.clone(), numbers.clone());
                let worker = Worker { reporter, stop, channel, client, name };
                let work = move || match role {
                    Role::Sender => worker.send(&numbers),
                    _ => worker.receive(window),
                };
                match &runtime {
                    Some(runtime) => coroutines.push(runtime.spawn(work)),
                    None => drop(scope.spawn(work)),
                }
            }
        });
        coroutines.into_iter().for_each(|coroutine| coroutine.join().unwrap());
    });
}

struct Worker {
    reporter: Arc<Reporter>,
    stop: Token,
    channel: u8,
    client: Client,
    name: &'static str,
}

impl Worker {
    fn say(&self, what: What, number: u64) {
        self.reporter.say(what, self.channel, number);
    }

    fn not_opened(&self, error: &OpenError) {
        match error {
            OpenError::Disconnected(_) => self.say(What::Ended, 0),
            error => self.wrong(error),
        }
    }

    fn wrong(&self, error: &dyn std::fmt::Debug) {
        eprintln!("{}: {error:?}", self.name);
        self.say(What::Wrong, 0);
    }

    fn send(&self, numbers: &Numbers) {
        let sender = match self.client.sender(self.name).wait() {
            Ok(sender) => sender,
            Err(error) => return self.not_opened(&error),
        };
        while !self.stop.is_cancelled() {
            let number = numbers.next(self.channel);
            self.say(What::Intended, number);
            let element = element(number);
            let send = match fastrand::u8(..8) {
                0 => sender.send(element).timeout(Duration::from_micros(fastrand::u64(..2_000))),
                1 => sender.try_send(element),
                _ => sender.send(element).cancel_on(&self.stop),
            };
            match send.wait() {
                Ok(()) => self.say(What::Accepted, number),
                Err(
                    SendError::TimedOut(_) | SendError::Cancelled(_) | SendError::WouldBlock(_),
                ) => self.say(What::Refused, number),
                Err(SendError::Unknown { ended: None, .. }) => self.say(What::Unknown, number),
                Err(SendError::Unknown { ended: Some(_), .. }) => {
                    self.say(What::Unknown, number);
                    return self.say(What::Ended, 0);
                }
                Err(SendError::Disconnected { .. }) => {
                    self.say(What::Refused, number);
                    return self.say(What::Ended, 0);
                }
                Err(error) => return self.wrong(&error),
            }
        }
    }

    fn receive(&self, window: u32) {
        let options = ReceiverOptions::window(window);
        let receiver = match self.client.receiver_with(self.name, options).wait() {
            Ok(receiver) => receiver,
            Err(error) => return self.not_opened(&error),
        };
        loop {
            let receive = receiver.recv().cancel_on(&self.stop);
            let receive = match fastrand::u8(..8) {
                0 => receive.timeout(Duration::from_micros(fastrand::u64(..2_000))),
                _ => receive,
            };
            match receive.wait() {
                Ok(element) => match number(element.as_slice()) {
                    Some(number) => self.say(What::Received, number),
                    None => return self.wrong(&element),
                },
                Err(RecvError::TimedOut) => {}
                Err(RecvError::Cancelled) => return receiver.close().wait(),
                Err(RecvError::Disconnected(_)) => return self.say(What::Ended, 0),
                Err(error) => return self.wrong(&error),
            }
        }
    }
}
