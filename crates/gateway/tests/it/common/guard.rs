// SPDX-License-Identifier: BSD-3-Clause
//! A plugin of filters.

use std::sync::Arc;

use becket_plugin::{
    Answered, Call, Context, Entry, Failure, Host, NrStatus, OwnedCall, Plugin, Reply, Sink,
    define_plugin,
};

use super::kit::probe;

pub struct Guard;

impl Plugin for Guard {
    const NAME: &'static str = "guard";
    const VERSION: &'static str = "1.0.0";
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::unary("filter", "lets everything pass", |_: &Guard, call: Call<'_>| {
            Ok(call.answer(b"continue"))
        }),
        Entry::unary("say", "answers what `x-say` has, and what `x-later` has afterwards", say),
        Entry::unary("see", "answers the request with what it saw of it", see),
        Entry::unary("watch", "answers the answer with what it saw of it", watch),
        Entry::unary("outer", "marks both ways", |_: &Guard, call| Ok(mark(call, "outer"))),
        Entry::unary("middle", "marks both ways", |_: &Guard, call| Ok(mark(call, "middle"))),
        Entry::unary("inner", "marks both ways", |_: &Guard, call| Ok(mark(call, "inner"))),
        Entry::unary("fail", "fails with the status in `x-fail`", fail),
        Entry::future("gated", "lets pass when its probe's gate opens", gated),
        Entry::stream("frames", "is no filter", |_: &Guard, _: Context<'_>, sink: Sink| {
            sink.finish();
            Ok(())
        }),
    ];

    fn start(_: Host) -> Result<Self, Failure> {
        Ok(Self)
    }
}

define_plugin! { plugin: Guard, export: false }

fn is_request(call: &Call<'_>) -> bool {
    call.request().header("becket-phase") == Some("request")
}

/// `|` is a line feed, `\r` and `\0` are those.
fn say(_: &Guard, call: Call<'_>) -> Result<Answered, Failure> {
    let request = call.request();
    let text = match is_request(&call) {
        true => {
            let later = request.header("x-later").map(|later| format!("|context {later}"));
            let said = request.header("x-say").unwrap_or("continue");
            format!("{said}{}", later.unwrap_or_default())
        }
        false => request.header("becket-context").unwrap_or_default().replace('/', "|"),
    };
    let text = text.replace('|', "\n").replace("\\r", "\r").replace("\\0", "\0");
    Ok(call.answer(text.as_bytes()))
}

fn seen(call: &Call<'_>) -> String {
    let request = call.request();
    let mut headers: Vec<_> =
        request.headers().map(|(name, value)| format!("{name}={value}")).collect();
    headers.sort();
    let body = String::from_utf8_lossy(call.payload()).into_owned();
    format!(
        "{} {} {} [{}] {body}",
        request.method(),
        request.path(),
        request.query(),
        headers.join(" ")
    )
}

fn see(_: &Guard, call: Call<'_>) -> Result<Answered, Failure> {
    let text = format!("respond 200\nset x-seen: yes\n\n{}", seen(&call));
    Ok(call.answer(text.as_bytes()))
}

fn watch(_: &Guard, call: Call<'_>) -> Result<Answered, Failure> {
    let text = match is_request(&call) {
        true => "continue\ncontext a secret: 7".to_owned(),
        false => format!("respond 203\n\n{}", seen(&call)),
    };
    Ok(call.answer(text.as_bytes()))
}

fn mark(call: Call<'_>, name: &str) -> Answered {
    let text = match is_request(&call) {
        true => format!("continue\nadd x-order: {name}\ncontext {name}'s"),
        false => {
            let context = call.request().header("becket-context").unwrap_or_default();
            format!("continue\nadd x-order: {name} with {context}")
        }
    };
    call.answer(text.as_bytes())
}

fn fail(_: &Guard, call: Call<'_>) -> Result<Answered, Failure> {
    let status: u32 = call.request().header("x-fail").unwrap_or_default().parse()?;
    Ok(call.answer_status(NrStatus(status), b"continue"))
}

async fn gated(_: Arc<Guard>, call: OwnedCall) -> Result<Reply, Failure> {
    struct Leaving(Arc<super::kit::Probe>);
    impl Drop for Leaving {
        fn drop(&mut self) {
            self.0.left.add_permits(1);
        }
    }
    let probe = probe(call.header("x-test").unwrap_or_default());
    let _leaving = Leaving(Arc::clone(&probe));
    probe.entered.add_permits(1);
    let _ = probe.gate.acquire().await;
    Ok(Reply::new("continue".to_owned()))
}
