//! The plugin {{name}}.
//!
//! An entry is a method and a line in `ENTRIES`. It may answer at once, as these do, or take
//! `call.later()` and answer later, from any thread; or be a future.

use becket_plugin::{
    Answered, Call, Context, Entry, Failure, Host, Plugin, Sink, define_plugin,
};
use serde::Deserialize;

struct Greeter {
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    greeting: String,
}

impl Plugin for Greeter {
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_DEFAULT: &'static str = r#"{"greeting":"Hello"}"#;
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::unary("hello", "greets whom the payload names", Self::hello),
        Entry::stream("countdown", "sends 3, 2, 1", Self::countdown),
    ];

    fn start(host: Host) -> Result<Self, Failure> {
        Ok(Self { config: host.config()? })
    }
}

impl Greeter {
    /// One answer: a greeting from the configuration, and what was sent.
    fn hello(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let whom = match std::str::from_utf8(call.payload()) {
            Ok("") => "world",
            Ok(whom) => whom,
            Err(_) => return Err(Failure::invalid("the payload is not UTF-8")),
        };
        let text = format!("{}, {whom}", self.config.greeting);
        Ok(call.answer_owned(text))
    }

    /// A stream: as many frames as it likes, then the end.
    fn countdown(&self, _: Context<'_>, sink: Sink) -> Result<(), Failure> {
        for frame in ["3", "2", "1"] {
            sink.send(frame.as_bytes())?;
        }
        sink.finish();
        Ok(())
    }
}

define_plugin! { plugin: Greeter }

#[cfg(test)]
mod tests {
    use becket_plugin::NrStatus;
    use becket_plugin::testing::FakeHost;

    #[test]
    fn hello_greets_whom_the_payload_names() {
        let config = r#"{"greeting":"Hi"}"#;
        let host = FakeHost::builder().of::<super::Greeter>().config(config).build().unwrap();
        assert_eq!(host.call("hello", b"you").body, b"Hi, you");
        assert_eq!(host.call("hello", b"").body, b"Hi, world");
    }

    #[test]
    fn countdown_counts_down() {
        let host = FakeHost::of::<super::Greeter>();
        assert_eq!(host.stream("countdown", b"").collect(), [b"3", b"2", b"1"]);
        host.finish().assert_clean();
    }

    #[test]
    fn a_payload_that_is_no_text_is_invalid() {
        let host = FakeHost::of::<super::Greeter>();
        assert_eq!(host.call("hello", b"\xff").status, NrStatus::Invalid);
    }
}
