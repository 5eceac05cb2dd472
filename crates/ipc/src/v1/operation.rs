// SPDX-License-Identifier: BSD-3-Clause
//! A send, a receive and a select as futures, with the protocol's errors.

use std::future::Future;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use becket_chan::{RecvError, Select, SelectError, SendError, Token, TryRecvError, TrySendError};
use becket_wire::v1::{ELEMENT_BYTES_MAX, Errno, Timeout};

use crate::Element;
use crate::channels::Channel;

/// An operation in progress.
pub(super) type Operation = Pin<Box<dyn Future<Output = Done> + Send>>;

/// How an operation ended.
#[derive(Debug)]
pub(super) enum Done {
    Sent(Result<(), Errno>),
    Received(Result<Taken, Errno>),
    Decided(Outcome),
}

/// A value that was received for a client, and its channel.
#[derive(Debug)]
pub(super) struct Taken {
    channel: Arc<Channel>,
    pub(super) element: Element,
}

/// How a select ended.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The clause that was decided; none if the timeout passed.
    pub(super) clause: Option<(u32, Arc<Channel>)>,
    /// The value of a receive.
    pub(super) result: Result<Option<Taken>, Errno>,
}

/// One operation of a select.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) channel: Arc<Channel>,
    /// The element to send; `None`: a receive.
    pub(super) element: Option<Element>,
}

impl Taken {
    /// Requeues it at the front of its channel.
    pub(super) fn put_back(self) {
        if let Some(receiver) = self.channel.receiver() {
            receiver.put_back(self.element);
        }
    }
}

/// Requeues values, of which the oldest comes first, so that each channel keeps this order: those
/// of one channel are requeued at once.
pub(super) fn put_back(mut values: Vec<Taken>) {
    // Stable: the values of one channel stay in their order.
    values.sort_by_key(|value| value.channel.id());
    let mut values = values.into_iter().peekable();
    while let Some(Taken { channel, element }) = values.next() {
        let others = iter::from_fn(|| values.next_if(|next| next.channel.id() == channel.id()));
        if let Some(receiver) = channel.receiver() {
            receiver.put_back_many(iter::once(element).chain(others.map(|other| other.element)));
        }
    }
}

/// Receives an element for a client; one that no answer can hold stays in the channel.
fn taken(channel: &Arc<Channel>, element: Element) -> Result<Taken, Errno> {
    let taken = Taken { channel: channel.clone(), element };
    if taken.element.len() > ELEMENT_BYTES_MAX as usize {
        taken.put_back();
        return Err(Errno::MSGSIZE);
    }
    Ok(taken)
}

/// Sends without waiting.
pub(super) fn try_send(channel: &Channel, element: Element) -> Result<(), Errno> {
    let sender = channel.sender().ok_or(Errno::NOTSUP)?;
    sender.try_send(element).map_err(|error| match error {
        TrySendError::Closed(_) => Errno::PIPE,
        _ => Errno::AGAIN,
    })
}

/// Receives without waiting.
pub(super) fn try_recv(channel: &Arc<Channel>) -> Result<Taken, Errno> {
    let receiver = channel.receiver().ok_or(Errno::NOTSUP)?;
    let element = receiver.try_recv().map_err(|error| match error {
        TryRecvError::Closed => Errno::PIPE,
        _ => Errno::AGAIN,
    })?;
    taken(channel, element)
}

/// Sends, waiting up to the limit.
pub(super) fn send(channel: Arc<Channel>, element: Element, limit: Option<Duration>) -> Operation {
    Box::pin(async move {
        let Some(sender) = channel.sender() else { return Done::Sent(Err(Errno::NOTSUP)) };
        let send = sender.send(element);
        let sent = match limit {
            Some(limit) => send.timeout(limit).await,
            None => send.await,
        };
        Done::Sent(sent.map_err(|error| send_errno(&error)))
    })
}

/// Receives, waiting up to the limit.
pub(super) fn recv(channel: Arc<Channel>, limit: Option<Duration>) -> Operation {
    Box::pin(async move {
        let Some(receiver) = channel.receiver() else {
            return Done::Received(Err(Errno::NOTSUP));
        };
        let recv = receiver.recv();
        let received = match limit {
            Some(limit) => recv.timeout(limit).await,
            None => recv.await,
        };
        let received = received.map_err(recv_errno);
        Done::Received(received.and_then(|element| taken(&channel, element)))
    })
}

/// Runs one of the clauses. It ends at once when the token is cancelled, unless a clause has
/// completed.
pub(super) fn select(clauses: Vec<Clause>, timeout: Timeout, token: Token) -> Operation {
    Box::pin(async move { Done::Decided(decide(clauses, timeout, &token).await) })
}

async fn decide(mut clauses: Vec<Clause>, timeout: Timeout, token: &Token) -> Outcome {
    let mut elements: Vec<_> = clauses.iter_mut().map(|clause| clause.element.take()).collect();
    let mut select = Select::new();
    let mut cases = Vec::with_capacity(clauses.len());
    for (clause, element) in clauses.iter().zip(&mut elements) {
        let ends = (element.take(), clause.channel.sender(), clause.channel.receiver());
        cases.push(match ends {
            (Some(element), Some(sender), _) => Case::Send(select.send(sender, element)),
            (None, _, Some(receiver)) => Case::Recv(select.recv(receiver)),
            // Refused when the clause was added.
            _ => return Outcome { clause: None, result: Err(Errno::NOTSUP) },
        });
    }
    let ready = select.ready().cancel_on(token);
    let ready = match timeout.duration() {
        Some(limit) => ready.timeout(limit).await,
        None => ready.await,
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(error) => return Outcome { clause: None, result: Err(select_errno(error, timeout)) },
    };
    let index = ready.index();
    let (Some(clause), Some(case)) = (clauses.get(index), cases.get_mut(index)) else {
        return Outcome { clause: None, result: Err(Errno::NOTSUP) };
    };
    let result = match std::mem::replace(case, Case::Over) {
        Case::Send(case) => match ready.send(case) {
            Some(Err(error)) => Err(send_errno(&error)),
            _ => Ok(None),
        },
        Case::Recv(case) => match ready.recv(case) {
            Some(Ok(element)) => taken(&clause.channel, element).map(Some),
            Some(Err(error)) => Err(recv_errno(error)),
            None => Ok(None),
        },
        Case::Over => Ok(None),
    };
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    Outcome { clause: Some((index, clause.channel.clone())), result }
}

enum Case {
    Send(becket_chan::SendCase<Element>),
    Recv(becket_chan::RecvCase<Element>),
    Over,
}

fn send_errno(error: &SendError<Element>) -> Errno {
    match error {
        SendError::TimedOut(_) => Errno::TIME,
        SendError::Cancelled(_) => Errno::CANCELED,
        _ => Errno::PIPE,
    }
}

fn recv_errno(error: RecvError) -> Errno {
    match error {
        RecvError::TimedOut => Errno::TIME,
        RecvError::Cancelled => Errno::CANCELED,
        _ => Errno::PIPE,
    }
}

fn select_errno(error: SelectError, timeout: Timeout) -> Errno {
    match error {
        SelectError::TimedOut if timeout == Timeout::Ms(0) => Errno::AGAIN,
        SelectError::TimedOut => Errno::TIME,
        SelectError::Cancelled => Errno::CANCELED,
        _ => Errno::INVAL,
    }
}
