// SPDX-License-Identifier: BSD-3-Clause
//! Names, numbers and answers in the file, each with its bounds.
//!
//! Values are checked while they are parsed, so that an error has its line.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::config::is_secret;
use crate::contract::Class;
use crate::link::Link;
use crate::source::End;
use crate::target::Behaviour;
use crate::trace::{FaultKind, TraceHash};

/// Maximum number of answers of a run.
pub const ANSWERS_MAX: usize = 1 << 24;
/// Maximum length of a text, in characters.
const TEXT_CHARS_MAX: usize = 200;
/// Maximum number of characters that a message repeats of the file or of a parser's message.
const SHOWN_CHARS_MAX: usize = 400;
/// Replaces text that looks like a secret.
const HIDDEN: &str = "(hidden)";
/// Maximum length of a line of answers, in characters.
const LINE_CHARS_MAX: usize = 80;

/// A value that has a name in the file.
pub(crate) trait Word: Copy + Into<&'static str> + 'static {
    /// Its kind, for messages.
    const WHAT: &'static str;
    /// All values.
    const ALL: &'static [Self];

    fn word(self) -> &'static str {
        self.into()
    }
}

macro_rules! words {
    ($($name:ident: $what:literal;)*) => {$(
        impl $crate::replay::words::Word for $name {
            const WHAT: &'static str = $what;
            const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
        }
    )*};
}
pub(crate) use words;

words! {
    Behaviour: "behaviour of a target";
    Link: "link";
    FaultKind: "kind of fault";
    Class: "class of a flow";
    End: "end of a flow";
}

/// A value, written as its name.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: Word> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

impl<'de, T: Word> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        match T::ALL.iter().find(|known| known.word() == word) {
            Some(known) => Ok(Self(*known)),
            None => {
                let known: Vec<_> = T::ALL.iter().map(|known| known.word()).collect();
                let (word, known) = (shown(&word), known.join(", "));
                Err(D::Error::custom(format_args!("no {} is {word:?}: {known}", T::WHAT)))
            }
        }
    }
}

/// A number within bounds.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Whole<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u64::deserialize(deserializer)?;
        if (MIN..=MAX).contains(&value) {
            return Ok(Self(value));
        }
        Err(D::Error::custom(format_args!("{value}, and it is from {MIN} to {MAX}")))
    }
}

/// A text of one line.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Text(pub(super) String);

impl Text {
    /// A text for a file: one line, bounded in length, hidden if it looks like a secret.
    pub(super) fn of(text: &str) -> Self {
        let text = text.chars().map(|char| if char.is_control() { ' ' } else { char });
        Self(shown(&text.take(TEXT_CHARS_MAX).collect::<String>()).to_owned())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
            let rule = "a text has one line of 200 characters at most";
            return Err(D::Error::custom(rule));
        }
        Ok(Self(text))
    }
}

/// The hash of a trace.
pub(super) struct Hash(pub(super) TraceHash);

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = TraceHash::parse(&text).map(Self);
        hash.ok_or_else(|| D::Error::custom("the hash of a trace has 32 digits, 0 to 9 and a to f"))
    }
}

/// Answers: numbers separated by spaces, `7*3` for `7 7 7`. Line breaks between them have no
/// meaning.
pub(super) struct Answers(pub(super) Vec<u32>);

impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut lines, mut line) = (Vec::new(), String::new());
        for run in self.0.chunk_by(PartialEq::eq) {
            let Some(answer) = run.first() else { continue };
            let word = match run.len() {
                1 => answer.to_string(),
                2 => format!("{answer} {answer}"),
                count => format!("{answer}*{count}"),
            };
            if line.len() + word.len() >= LINE_CHARS_MAX {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut answers = Vec::new();
        for line in Vec::<String>::deserialize(deserializer)? {
            for word in line.split_ascii_whitespace() {
                let (answer, count) = word.split_once('*').unwrap_or((word, "1"));
                let (Some(answer), Some(count)) = (number(answer), number(count)) else {
                    let word = shown(word);
                    return Err(D::Error::custom(format_args!("{word:?} is no answer: 7, or 7*3")));
                };
                if count as usize > ANSWERS_MAX - answers.len() {
                    return Err(D::Error::custom(format_args!("more than {ANSWERS_MAX} answers")));
                }
                answers.resize(answers.len() + count as usize, answer);
            }
        }
        Ok(Self(answers))
    }
}

/// A number of digits only, without a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A word of the file for a message: bounded in length, hidden if it looks like a secret.
pub(crate) fn shown(word: &str) -> &str {
    if is_secret(word) {
        return HIDDEN;
    }
    word.char_indices().nth(SHOWN_CHARS_MAX).and_then(|(end, _)| word.get(..end)).unwrap_or(word)
}

impl<T: Word> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.word())
    }
}
