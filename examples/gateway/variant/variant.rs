// SPDX-License-Identifier: BSD-3-Clause
//! A filter that gives a share of the users the variant `b` of the service, and each user always the same one.
//!
//! The service gets the variant in `x-variant`. What decides: the cookie `variant`, if it is `a` or `b`; else a hash of the
//! user's name in `x-user`, with `percent` of its configuration as the share of `b`. The client gets the cookie with
//! its first answer, so that it keeps its variant also when the share changes.
#![deny(unsafe_code)]

use becket_plugin::{Answered, Call, Entry, Failure, Host, Plugin, define_plugin};
use serde::Deserialize;

/// The plugin.
#[derive(Debug)]
pub struct Variant {
    config: Config,
}

#[derive(Debug, Deserialize)]
struct Config {
    /// The share of the users that get `b`.
    percent: u64,
}

impl Plugin for Variant {
    const NAME: &'static str = "variant";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_DEFAULT: &'static str = r#"{"percent":50}"#;
    const MAY_UNLOAD: bool = true;
    const NEVER_BLOCKS: bool = true;
    const ENTRIES: &'static [Entry<Self>] =
        &[Entry::unary("filter", "sets x-variant, and keeps it in a cookie", Self::filter)];

    fn start(host: Host) -> Result<Self, Failure> {
        let config: Config = host.config()?;
        match config.percent {
            0..=100 => Ok(Self { config }),
            _ => Err(Failure::invalid("percent: expected a number from 0 to 100")),
        }
    }
}

// ANCHOR: filter
impl Variant {
    fn filter(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let request = call.request();
        if request.header("becket-phase") == Some("response") {
            // Called in this phase only for a user whose variant is new.
            let variant = request.header("becket-context").unwrap_or("a");
            let cookie =
                format!("variant={variant}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax");
            return Ok(
                call.answer_owned(format!("continue\nadd vary: cookie\nadd set-cookie: {cookie}"))
            );
        }
        let kept = request.header("cookie").and_then(kept);
        let user = request.header("x-user").unwrap_or_default();
        let variant = kept.unwrap_or_else(|| self.of(user));
        let context = if kept.is_none() { format!("\ncontext {variant}") } else { String::new() };
        // What a client says in these names is not believed.
        Ok(call
            .answer_owned(format!("continue\nremove x_variant\nset x-variant: {variant}{context}")))
    }

    /// The variant of a user, always the same one for the same share.
    fn of(&self, user: &str) -> &'static str {
        if hash(user) % 100 < self.config.percent { "b" } else { "a" }
    }
}

/// The variant that a client has got before.
fn kept(cookies: &str) -> Option<&'static str> {
    let value = cookies.split(';').find_map(|pair| pair.trim().strip_prefix("variant="))?;
    ["a", "b"].into_iter().find(|known| *known == value)
}
// ANCHOR_END: filter

/// FNV-1a, and a last mix: the low bits of short names that are alike differ as well.
fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

define_plugin! { plugin: Variant }

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use becket_plugin::testing::{FakeHost, TestRequest};

    use super::*;

    fn host(percent: u64) -> FakeHost {
        let config = format!("{{\"percent\":{percent}}}");
        FakeHost::builder().of::<Variant>().config(config).build().unwrap()
    }

    fn ask(host: &FakeHost, headers: &[(&str, &str)]) -> String {
        let request = TestRequest::new("GET", "/").header("becket-phase", "request");
        let add = |request: TestRequest, (key, value): &(&str, &str)| request.header(key, value);
        let request = headers.iter().fold(request, add);
        host.call_with("filter", &request, b"").text().to_owned()
    }

    #[test]
    fn a_user_keeps_a_variant_and_a_share_of_the_users_gets_b() {
        let host = host(20);
        let mut b = 0;
        for at in 0..1000 {
            let user = format!("user-{at}");
            let asked = ask(&host, &[("x-user", &user), ("x-variant", "forged")]);
            assert_eq!(asked, ask(&host, &[("x-user", &user)]));
            let is_b = asked.contains("set x-variant: b\ncontext b");
            assert!(is_b || asked.contains("set x-variant: a\ncontext a"), "{asked}");
            b += usize::from(is_b);
        }
        assert!((150..250).contains(&b), "{b} of 1000 users have b");
    }

    #[test]
    fn a_cookie_decides_if_it_is_a_variant() {
        for (percent, variant) in [(0, "b"), (100, "a")] {
            let host = host(percent);
            let cookie = format!("x=1; variant={variant}");
            let asked = ask(&host, &[("cookie", &cookie), ("x-user", "alice")]);
            assert_eq!(asked, format!("continue\nremove x_variant\nset x-variant: {variant}"));
            for wrong in ["variant=c", "variant=", "xvariant=a", "variant=a\\r"] {
                let asked = ask(&host, &[("cookie", wrong)]);
                assert!(asked.contains("\ncontext "), "{wrong}: {asked}");
            }
        }
    }

    #[test]
    fn a_new_variant_is_kept_in_a_cookie() {
        let request = TestRequest::new("GET", "/").header("becket-phase", "response");
        let request = request.header("becket-context", "b");
        let answer = host(50).call_with("filter", &request, b"").text().to_owned();
        assert!(answer.contains("\nadd set-cookie: variant=b; Path=/;"), "{answer}");
    }

    #[test]
    fn a_share_is_a_percentage() {
        let config = "{\"percent\":101}";
        assert!(FakeHost::builder().of::<Variant>().config(config).build().is_err());
    }
}
