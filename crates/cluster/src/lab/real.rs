// SPDX-License-Identifier: BSD-3-Clause
//! The model and the real server give the same answers.

use std::sync::Arc;
use std::time::Duration;

use becket_lab::choice::Choices;
use bytes::Bytes;
use futures_lite::future::block_on;
use parking_lot::Mutex;

use super::client::Client;
use super::network::{Faults, Network};
use super::world::{Ended, World};
use crate::engine::Engine;
use crate::names::Names;
use crate::options::{Kind, Options};
use crate::publish::{Answer, only_if_open};

#[path = "../../tests/server/mod.rs"]
mod server;

const WAITING: &str = r#"{"batch":1,"expires":20000000000,"no_wait":false}"#;
const AT_ONCE: &str = r#"{"batch":1,"no_wait":true}"#;

/// What a server answers: the same questions to each.
struct Script {
    engine: Engine,
    names: Arc<Names>,
    kind: Kind,
    answers: Vec<String>,
}

impl Script {
    async fn new(engine: Engine, kind: Kind) -> Self {
        let name = format!("jobs-{}", kind.token());
        let names = Arc::new(Names::new("lab", &name, kind, 1).unwrap());
        engine.prepare(&names, (name, kind, Options::default())).await.unwrap();
        Self { engine, names, kind, answers: vec![format!("{kind:?}")] }
    }

    async fn send(&mut self, value: &'static str, id: &str) {
        let headers = only_if_open(&self.names.condition(), Some(id));
        let sent = self.engine.request(&self.names.data, Some(headers), value.into()).await;
        self.answers.push(format!("{value}, id {id}: {:?}", Answer::of_stream(sent)));
    }

    async fn close(&mut self) {
        let headers = only_if_open(&self.names.condition(), None);
        let sent = self.engine.request(&self.names.gate, Some(headers), "end".into()).await;
        self.answers.push(format!("close: {:?}", Answer::of_stream(sent)));
    }

    /// The subject that acknowledges the message, if there is one.
    async fn pull(&mut self, request: &'static str) -> Option<String> {
        let (stream, kind) = (&self.names.stream, self.kind.token());
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.jobs-{kind}");
        let message = self.engine.request_message(&subject, request.into()).await.unwrap();
        let Some(info) = self.engine.info(&message) else {
            self.answers.push(format!("pull: {:?}", message.status.map(|it| it.as_u16())));
            return None;
        };
        let (number, attempt, pending) = (info.sequence, info.attempt, info.pending);
        let value = String::from_utf8_lossy(&message.payload).into_owned();
        self.answers.push(format!("pull: {value}, {number}, attempt {attempt}, {pending} left"));
        message.reply.map(|reply| reply.to_string())
    }

    async fn acknowledge(&mut self, reply: Option<String>, how: &'static str) {
        let reply = reply.unwrap();
        let answer = self.engine.request(&reply, None, Bytes::from_static(how.as_bytes())).await;
        let count = self.engine.count(&self.names, 0).await;
        self.answers.push(format!("{how}: {}, {count:?} stored", answer.is_ok()));
    }

    async fn all(mut self) -> Vec<String> {
        self.send("a", "1").await;
        self.send("a", "1").await;
        self.send("b", "2").await;
        self.send("c", "3").await;
        self.send("a", "1").await;
        let first = self.pull(AT_ONCE).await;
        self.acknowledge(first, "-NAK").await;
        let first = self.pull(WAITING).await;
        self.acknowledge(first.clone(), "+WPI").await;
        self.acknowledge(first.clone(), "+ACK").await;
        self.acknowledge(first, "+ACK").await;
        self.send("c", "3").await;
        self.send("a", "1").await;
        self.close().await;
        self.close().await;
        self.send("d", "4").await;
        self.send("c", "3").await;
        while let Some(next) = self.pull(AT_ONCE).await {
            self.acknowledge(Some(next), "+ACK").await;
        }
        let gate = self.engine.end(&self.names).await;
        self.answers.push(format!("{gate:?}"));
        self.answers
    }
}

#[test]
fn the_model_answers_as_the_server_does() {
    let server = server::Server::start();
    let real = server.connect();
    let kinds =
        [Kind::Bounded { capacity: 2 }, Kind::Conflated, Kind::Unlimited { bytes_max: 1 << 20 }];
    for kind in kinds {
        let engine = Engine::Nats(real.link().clone());
        let expected = block_on(async { Script::new(engine, kind).await.all().await });
        let world = World::new(Choices::seeded(1), Network::new(Faults::default(), None));
        let (engine, answers) = (Engine::Model(Client::new(&world)), Arc::new(Mutex::new(None)));
        let kept = answers.clone();
        let playing = async move {
            *kept.lock() = Some(Script::new(engine, kind).await.all().await);
        };
        let ended = world.run(playing, (Duration::from_secs(60), Duration::ZERO));
        assert_eq!(ended, Ended::Done);
        assert_eq!(answers.lock().take().unwrap(), expected);
    }
}

/// What the model assumes of a server that starts again: of a message that was acknowledged, it has not kept the id.
#[test]
fn a_server_that_starts_again_knows_the_ids_of_what_it_stores() {
    let mut server = server::Server::start();
    let kind = Kind::Unlimited { bytes_max: 1 << 20 };
    block_on(async {
        let real = server.connect();
        let mut script = Script::new(Engine::Nats(real.link().clone()), kind).await;
        script.send("a", "1").await;
        script.send("b", "2").await;
        let first = script.pull(AT_ONCE).await;
        script.acknowledge(first, "+ACK").await;
    });
    server.kill();
    server.start_again();
    let answers = block_on(async {
        let real = server.connect();
        let mut script = Script::new(Engine::Nats(real.link().clone()), kind).await;
        script.send("b", "2").await;
        script.send("a", "1").await;
        script.answers
    });
    let expected =
        ["b, id 2: Accepted { duplicate: true }", "a, id 1: Accepted { duplicate: false }"];
    assert_eq!(answers[1..], expected);
}
