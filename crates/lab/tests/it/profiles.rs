// SPDX-License-Identifier: BSD-3-Clause
//! Profiles in files: every key has its bounds, and errors are reported with their line and a hint.

use becket_lab::generate::{self, EXAMPLES, Profile, ProfileError};

const STEADY: &str = generate::STEADY.toml;

fn refused(text: &str) -> ProfileError {
    Profile::from_toml(text, "P.toml").expect_err("it should be refused")
}

/// The line of a key, from 1.
fn line_of(text: &str, start: &str) -> usize {
    text.lines().position(|line| line.starts_with(start)).unwrap() + 1
}

/// The example with another value for a key.
fn with(key: &str, value: &str) -> String {
    let line = STEADY.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
    STEADY.replace(line, &format!("{key} = {value}"))
}

#[test]
fn profiles_of_the_lab_are_read_and_written() {
    for example in EXAMPLES {
        let profile = example.profile().unwrap();
        assert_eq!(profile.config.name, example.name);
        let written = profile.to_toml();
        let keys = |text: &str| {
            let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(keys(&written), keys(example.toml));
        assert_eq!(Profile::from_toml(&written, "again").unwrap(), profile);
    }
}

#[test]
fn numbers_have_bounds() {
    let bounds = [
        ("runtime_id", 1, i64::MAX as u64),
        ("max_flows", 1, 64),
        ("max_buffered_bytes", 1, 8 << 20),
        ("max_chunk_bytes", 1, 256 << 10),
        ("max_events", 1, 1 << 18),
        ("deterministic_seed", 0, i64::MAX as u64),
        ("flows", 1, 64),
        ("window_bytes", 1, 8 << 20),
        ("fault_budget", 0, 64),
        ("flow_bytes_max", 1, 256 << 10),
        ("out_bytes_max", 1, 256 << 10),
        ("budget_bytes_max", 1, 1 << 20),
    ];
    for (key, min, max) in bounds {
        let beyond = max.saturating_add(1).to_string();
        let below = (i128::from(min) - 1).to_string();
        for value in [below, beyond, "\"7\"".into(), "1.5".into()] {
            let text = with(key, &value);
            let error = refused(&text);
            assert_eq!(error.line(), Some(line_of(&text, &format!("{key} ="))), "{error} {value}");
            assert!(error.to_string().contains(&format!(": `{key}`: ")), "{error}");
        }
        for value in [min, max] {
            let text = with(key, &value.to_string());
            // At a bound other values may not fit any more: then that is reported, and not the
            // bound.
            if let Err(error) = Profile::from_toml(&text, "P.toml") {
                assert!(error.to_string().contains("more than"), "{key} {value}: {error}");
            }
        }
    }
}

#[test]
fn unknown_keys_and_values_have_a_line_and_a_suggestion() {
    let refusal = |text: &str| {
        let error = refused(text);
        (error.line().unwrap(), error.to_string(), error.hint().unwrap_or_default().to_owned())
    };
    let text = STEADY.replace("window_bytes", "windw_bytes");
    let (line, said, hint) = refusal(&text);
    assert_eq!(line, line_of(&text, "windw_bytes"));
    assert_eq!(said, format!("P.toml:{line}: unknown key `windw_bytes`"));
    assert_eq!(hint, "did you mean `window_bytes`?");

    let (line, said, hint) = refusal(&with("kind", "\"strem\""));
    assert_eq!(said, format!("P.toml:{line}: no link is \"strem\""));
    assert_eq!(hint, "did you mean `stream`?");

    let (_, said, hint) = refusal(&with("order", "\"zzz\""));
    assert!(said.ends_with("no order of flows is \"zzz\""), "{said}");
    assert_eq!(hint, "known here: urgent, turns, numbers");

    let (_, _, hint) = refusal(&with("faults", "[\"dely\"]"));
    assert_eq!(hint, "did you mean `delay`?");

    let text = format!("{STEADY}\n[extra]\nx = 1\n");
    assert_eq!(refusal(&text).0, line_of(&text, "[extra]"));
}

#[test]
fn every_key_has_to_be_there() {
    let keys = STEADY.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
    let mut count = 0;
    for line in keys.filter(|line| !line.starts_with("schema")) {
        let key = line.split(' ').next().unwrap();
        let text = STEADY.replace(&format!("{line}\n"), "");
        let error = refused(&text).to_string();
        assert!(error.contains("missing field") && error.contains(key), "{key}: {error}");
        count += 1;
    }
    assert_eq!(count, 23);
    let without = STEADY.replace("schema = \"becket-lab-profile/1\"\n", "");
    assert!(Profile::from_toml(&without, "P.toml").is_ok());
}

#[test]
fn values_that_do_not_fit_together_are_reported_with_their_line() {
    for (key, value, said) in [
        ("flows", "17", "flows is 17, more than max_flows, which is 16"),
        ("max_chunk_bytes", "65537", "max_chunk_bytes is 65537, more than max_buffered_bytes"),
        ("flow_bytes_max", "65537", "flow_bytes_max is 65537, more than max_buffered_bytes"),
        ("out_bytes_max", "16385", "out_bytes_max is 16385, more than max_chunk_bytes"),
        ("faults", "[\"delay\", \"delay\"]", "the fault delay is named twice"),
        ("schema", "\"becket-lab-profile/2\"", "another form of profiles than is known"),
    ] {
        let text = with(key, value);
        let error = refused(&text);
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.line(), Some(line_of(&text, &format!("{key} ="))), "{error}");
    }
    assert!(refused(&with("schema", "\"x/2\"")).hint().unwrap().contains("becket-lab-profile/1"));
}

#[test]
fn names_are_plain_and_secrets_are_not_repeated() {
    for name in ["", "Steady", "9lives", "a b", "a\\\"b", "a-b", &"n".repeat(41), "ä"] {
        let error = refused(&with("name", &format!("\"{name}\""))).to_string();
        assert!(error.contains("the name is not as names are"), "{name}: {error}");
    }
    let text = with("name", "\"my_password_71af\"");
    let error = refused(&text);
    assert!(!format!("{error} {error:?}").contains("71af"), "{error}");
    assert_eq!(error.line(), Some(line_of(&text, "name =")));
    let key = refused(&format!("secret_71af = 1\n{STEADY}"));
    assert!(!format!("{key} {key:?}").contains("71af"), "{key}");
    let value = refused(&with("kind", "\"token_71af\""));
    assert!(!format!("{value} {value:?}").contains("71af"), "{value}");
}

#[test]
fn hostile_files_are_refused() {
    for text in ["", "name", "name = [[[[", "\u{0}", &"a = 1\n".repeat(20_000)] {
        refused(text);
    }
    // Cut anywhere it is refused, or whole.
    for at in (0..STEADY.len()).step_by(7) {
        let (cut, _) = STEADY.split_at(at);
        if let Ok(profile) = Profile::from_toml(cut, "P.toml") {
            assert_eq!(profile, generate::STEADY.profile().unwrap());
        }
    }
}
