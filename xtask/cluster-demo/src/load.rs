// SPDX-License-Identifier: BSD-3-Clause
//! The load: calls to all gateways, and numbered values through the channel, at a steady pace.
//!
//! Each caller and each sender waits for its answer, and at least for its next beat: so a pause of the
//! servers is a pause of the load, and no queue grows behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use becket_cluster::{Receiver, RecvError, SendError, Sender};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::WAIT_MAX;
use crate::error::Error;
use crate::gateways::PLUGIN;
use crate::http::Client;
use crate::record::{Call, Called, Record, Sending, Sent};

/// Callers of each gateway.
const CALLERS: u64 = 5;
const CALL_EVERY: Duration = Duration::from_millis(50);
/// A call to a node that is cut off ends after 5 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const SENDERS: u64 = 5;
const SEND_EVERY: Duration = Duration::from_millis(25);
const RECEIVERS: usize = 4;

/// Calls a second to each gateway, when all is well.
pub(crate) fn calls_a_second() -> u64 {
    a_second(CALLERS, CALL_EVERY)
}

/// Values a second, when all is well.
pub(crate) fn values_a_second() -> u64 {
    a_second(SENDERS, SEND_EVERY)
}

fn a_second(tasks: u64, every: Duration) -> u64 {
    (tasks as f64 / every.as_secs_f64()).round() as u64
}

/// A running load. It ends with this value.
pub(crate) struct Load {
    pub(crate) record: Arc<Record>,
    is_over: Arc<AtomicBool>,
    callers_and_senders: JoinSet<()>,
    receivers: JoinSet<()>,
    sender: Sender,
}

impl Load {
    pub(crate) fn start(gateways: &[SocketAddr], sender: Sender, receiver: &Receiver) -> Self {
        let (record, is_over) = (Arc::new(Record::default()), Arc::new(AtomicBool::new(false)));
        let (mut callers_and_senders, mut receivers) = (JoinSet::new(), JoinSet::new());
        for (gateway, address) in gateways.iter().enumerate() {
            for caller in 0..CALLERS {
                let (record, is_over) = (record.clone(), is_over.clone());
                callers_and_senders.spawn(call(record, is_over, (gateway, caller), *address));
            }
        }
        let next = Arc::new(AtomicU64::new(0));
        for _ in 0..SENDERS {
            let (record, is_over, next) = (record.clone(), is_over.clone(), next.clone());
            callers_and_senders.spawn(send(record, is_over, next, sender.clone()));
        }
        for _ in 0..RECEIVERS {
            receivers.spawn(receive(record.clone(), receiver.clone()));
        }
        Self { record, is_over, callers_and_senders, receivers, sender }
    }

    /// Stops calls and sends; returns when each has its outcome.
    pub(crate) async fn stop(&mut self) -> Result<(), Error> {
        self.is_over.store(true, Ordering::Relaxed);
        let what = "calls and sends have not ended";
        all(&mut self.callers_and_senders, what).await
    }

    /// Closes the channel; returns when all that it held is received.
    pub(crate) async fn drain(&mut self) -> Result<(), Error> {
        if let Err(error) = self.sender.close().timeout(WAIT_MAX).await {
            self.record.wrong(format!("the channel was not closed: {error}"));
        }
        all(&mut self.receivers, "the channel is not drained").await
    }
}

async fn all(tasks: &mut JoinSet<()>, what: &str) -> Result<(), Error> {
    let ended = async {
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|_| Error::Task)?;
        }
        Ok(())
    };
    // An outcome may take a second more than the timeout of its send.
    let limit = WAIT_MAX + Duration::from_secs(2);
    timeout(limit, ended).await.map_err(|_| Error::TooLong(what.into()))?
}

/// A beat each so often; one that is late moves those after it.
fn beat(every: Duration) -> Interval {
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// One call after the other. The plugin answers with what it was called with.
async fn call(
    record: Arc<Record>,
    is_over: Arc<AtomicBool>,
    (gateway, caller): (usize, u64),
    address: SocketAddr,
) {
    let (mut client, mut beat) = (Client::new(address), beat(CALL_EVERY));
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        beat.tick().await;
        number += 1;
        let body =
            Bytes::from(format!("call {number} of caller {caller} to gateway {}", gateway + 1));
        let begin = Instant::now();
        let outcome = once(&mut client, body).await;
        record.call(Call { gateway, begin, end: Instant::now(), outcome });
    }
}

/// One call, with its outcome.
pub(crate) async fn once(client: &mut Client, body: Bytes) -> Called {
    let path = format!("/{PLUGIN}/echo");
    match timeout(CALL_TIMEOUT, client.post(&path, body.clone())).await {
        Ok(Ok(answer)) => match answer.status {
            200 if answer.body == body => Called::Answered,
            200 => Called::Wrong(format!("{body:?} was answered {:?}", answer.body)),
            status @ 502..=504 => Called::Failed(status),
            status => Called::Wrong(format!("{body:?} was answered with status {status}")),
        },
        Ok(Err(failure)) => Called::Away(failure.to_string()),
        Err(_) => Called::Wrong(format!("{body:?} was not answered in {CALL_TIMEOUT:?}")),
    }
}

/// One value after the other. No two have the same number.
async fn send(record: Arc<Record>, is_over: Arc<AtomicBool>, next: Arc<AtomicU64>, sender: Sender) {
    let mut beat = beat(SEND_EVERY);
    while !is_over.load(Ordering::Relaxed) {
        beat.tick().await;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let begin = Instant::now();
        let outcome = match sender.send(number.to_string()).timeout(WAIT_MAX).await {
            Ok(()) => Sending::Acknowledged,
            Err(SendError::Unknown(_)) => Sending::Unknown,
            Err(error) => {
                record.wrong(format!("value {number} was refused: {error}"));
                Sending::Refused
            }
        };
        record.sent(Sent { number, begin, end: Instant::now(), outcome });
    }
}

/// One value after the other, each acknowledged, until the channel is closed and drained.
async fn receive(record: Arc<Record>, receiver: Receiver) {
    loop {
        match receiver.recv().await {
            Ok(value) => {
                match std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()) {
                    Some(number) => record.received(number),
                    None => record.wrong(format!("received {value:?}, which was not sent")),
                }
            }
            Err(RecvError::Closed { .. }) => break,
            Err(error) => {
                record.wrong(format!("a receive failed: {error}"));
                break;
            }
        }
    }
}
