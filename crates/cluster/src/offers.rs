// SPDX-License-Identifier: BSD-3-Clause
//! The task that answers the offers of a rendezvous.
//!
//! A sender's offer goes to one process with receivers, or to the one that a note named. It is
//! accepted if a receive waits, and answered when that receive returns the value; otherwise it is
//! refused at once, and the sender calls for a note, which it waits for. The answer to a call is a note, at once if
//! a receive waits, and otherwise as soon as one does: receives that no sender waits for send none.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Message;
use becket_chan::timer;
use bytes::Bytes;
use futures_lite::future::or;

use crate::channel::ANSWER_TIMEOUT;
use crate::delivery::{Delivery, Home};
use crate::engine::Subscription;
use crate::limits::at_most;
use crate::publish::answer;

/// The name of the group in which each offer has one receiver.
const GROUP: &str = "receivers";
/// Calls that are remembered. Senders whose call is forgotten have their own retry.
const CALLS_MAX: usize = 4096;
/// How often the gate is read while a receive waits: the note of the close may be lost.
const LOOK_PERIOD: Duration = Duration::from_secs(30);

type Ends = (becket_chan::Sender<Delivery>, becket_chan::Receiver<Delivery>);

/// Fills the inbox until the channel is closed, or the receivers are dropped.
pub(crate) async fn run(home: Arc<Home>, ends: Ends) {
    let channel = &home.channel;
    let engine = &channel.engine;
    let own = engine.new_inbox();
    // Calls first: a sender whose offer is refused calls, and waits for the note.
    let subscribed = async {
        let calls = engine.subscribe(channel.names.call.clone()).await?;
        let direct = engine.subscribe(own.clone()).await?;
        let offers = engine.queue_subscribe(channel.names.data.clone(), GROUP).await?;
        Ok::<_, async_nats::SubscribeError>((offers, direct, calls))
    };
    let (mut offers, mut direct, mut calls) = match subscribed.await {
        Ok(subscribed) => subscribed,
        Err(error) => {
            tracing::debug!(channel = channel.name, %error, "no offers can be received");
            return;
        }
    };
    let note = || channel.engine.post(&channel.names.room, Bytes::from(own.clone()));
    // A sender may have called before this was there.
    let (mut has_changed, mut unanswered) = (false, 1usize);
    let mut looked = engine.now();
    loop {
        if channel.is_closed() || home.gone.is_cancelled() {
            break;
        }
        let (inbox, wanted) = (&ends.1, home.admitted());
        if inbox.len() > wanted {
            drop(inbox.split_off(wanted));
        }
        let free = wanted.saturating_sub(home.untaken.load(Ordering::SeqCst));
        // Also if the number is the same as before: another receive may wait now.
        if std::mem::take(&mut has_changed) && free > 0 && unanswered > 0 {
            unanswered -= 1;
            note();
        }
        // In this order, not at random: the lab repeats its runs. Offers are last, since there may be many.
        tokio::select! {
            biased;
            _ = channel.closed.cancelled() => {}
            _ = home.gone.cancelled() => {}
            () = home.changed.notified() => has_changed = true,
            () = timer::sleep_until(looked + LOOK_PERIOD), if wanted > 0 => {
                looked = engine.now();
                if let Err(error) = channel.look_at_gate().await {
                    tracing::debug!(channel = channel.name, error, "no answer");
                }
            }
            call = calls.next() => {
                if call.is_none() {
                    return;
                }
                match free {
                    0 => unanswered = (unanswered + 1).min(CALLS_MAX),
                    _ => note(),
                }
            }
            offer = direct.next() => {
                let Some(offer) = offer else { return };
                arrived(&home, &ends, offer);
            }
            offer = offers.next() => {
                let Some(offer) = offer else { return };
                arrived(&home, &ends, offer);
            }
        }
    }
    let answer = if channel.is_closed() { answer::CLOSED } else { answer::REFUSED };
    if channel.is_closed() {
        // Values whose receive has them already are theirs; the senders of others keep theirs.
        for delivery in ends.1.split_off(0) {
            delivery.refuse(answer);
        }
        ends.0.close();
        let refusing = refuse_all(&home, [&mut offers, &mut direct], answer);
        let gone = async {
            home.gone.cancelled().await;
        };
        or(refusing, gone).await;
    }
    at_most(ANSWER_TIMEOUT, leave(&home, [offers, direct], answer)).await;
}

fn arrived(home: &Arc<Home>, (filled, _): &Ends, offer: Message) {
    let Some(reply) = offer.reply else { return };
    if home.untaken.load(Ordering::SeqCst) < home.admitted() {
        let delivery = Delivery::new(home, offer.payload, reply.to_string(), (0, 1));
        // Its receiver is this task's own.
        let _sent = filled.try_send(delivery);
    } else {
        home.channel.engine.post(&reply, Bytes::from_static(answer::REFUSED));
    }
}

/// Refuses the offers that are on their way. One without an answer would be in doubt.
async fn leave(home: &Home, [mut offers, mut direct]: [Subscription; 2], answer: &'static [u8]) {
    if offers.drain().await && direct.drain().await {
        refuse_all(home, [&mut offers, &mut direct], answer).await;
    }
}

/// Refuses offers until both subscriptions end.
async fn refuse_all(home: &Home, [offers, direct]: [&mut Subscription; 2], answer: &'static [u8]) {
    loop {
        let offer = tokio::select! {
            biased;
            Some(offer) = offers.next() => offer,
            Some(offer) = direct.next() => offer,
            else => return,
        };
        if let Some(reply) = offer.reply {
            home.channel.engine.post(&reply, Bytes::from_static(answer));
        }
    }
}
