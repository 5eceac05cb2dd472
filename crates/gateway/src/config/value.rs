// SPDX-License-Identifier: BSD-3-Clause
//! Values that are parsed into their type, so that a wrong one is refused where it stands.

use std::fmt;

use becket_host::{EntryKind, Layout};
use serde::de::{Deserialize, Deserializer, Error, Unexpected};

/// A SHA-256 digest, 64 hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    fn from_hex(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut digest = [0; 32];
        if pairs.len() != digest.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            let digit = |c: &u8| char::from(*c).to_digit(16);
            *byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"64 hex digits"))
    }
}

pub(super) fn layout<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Layout>, D::Error> {
    let name = String::deserialize(d)?;
    if name == "auto" {
        return Ok(None);
    }
    Layout::from_name(&name).map(Some).ok_or_else(|| {
        D::Error::unknown_variant(&name, &["auto", "documented", "raw", "short", "v2"])
    })
}

pub(super) fn kind<'de, D: Deserializer<'de>>(d: D) -> Result<Option<EntryKind>, D::Error> {
    match String::deserialize(d)?.as_str() {
        "unary" => Ok(Some(EntryKind::Unary)),
        "stream" => Ok(Some(EntryKind::Stream)),
        "chat" | "bidirectional" => Ok(Some(EntryKind::Bidirectional)),
        other => Err(D::Error::unknown_variant(other, &["unary", "stream", "chat"])),
    }
}

pub(super) fn methods<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<http::Method>, D::Error> {
    Vec::<String>::deserialize(d)?
        .iter()
        .map(|name| {
            name.to_ascii_uppercase().parse().map_err(|_| {
                D::Error::invalid_value(Unexpected::Str(name), &"an HTTP method, such as \"GET\"")
            })
        })
        .collect()
}

/// A TOML table as JSON. Dates become text: JSON has none.
pub(super) fn json_object<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<serde_json::Map<String, serde_json::Value>, D::Error> {
    toml::Table::deserialize(d)?
        .into_iter()
        .map(|(key, value)| Ok((key, json(value).map_err(D::Error::custom)?)))
        .collect()
}

fn json(value: toml::Value) -> Result<serde_json::Value, String> {
    use serde_json::Value as Json;
    Ok(match value {
        toml::Value::String(text) => Json::String(text),
        toml::Value::Integer(number) => Json::from(number),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map(Json::Number)
            .ok_or_else(|| format!("{number} cannot be said in JSON"))?,
        toml::Value::Boolean(flag) => Json::Bool(flag),
        toml::Value::Datetime(time) => Json::String(time.to_string()),
        toml::Value::Array(values) => {
            Json::Array(values.into_iter().map(json).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => Json::Object(
            table
                .into_iter()
                .map(|(key, value)| Ok((key, json(value)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_as_written() {
        let text = "00ff".repeat(16);
        assert_eq!(Sha256Digest::from_hex(&text).unwrap().to_string(), text);
        assert_eq!(Sha256Digest::from_hex("00"), None);
        assert_eq!(Sha256Digest::from_hex(&"0g".repeat(32)), None);
        assert_eq!(Sha256Digest::from_hex(&format!("{text}0")), None);
    }

    #[test]
    fn tables_become_json_with_dates_as_text() {
        let table: toml::Table =
            toml::from_str("n = 1\nd = 2026-01-02\na = [true, { x = 0.5 }]").unwrap();
        let object = json(toml::Value::Table(table)).unwrap();
        assert_eq!(object, serde_json::json!({"n": 1, "d": "2026-01-02", "a": [true, {"x": 0.5}]}));
        assert!(json(toml::Value::Float(f64::NAN)).is_err());
    }
}
