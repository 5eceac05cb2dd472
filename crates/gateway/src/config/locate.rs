// SPDX-License-Identifier: BSD-3-Clause
//! From a key's path to its place in the text.
//!
//! Checks run over the typed configuration, which has no positions. Only when one fails is the
//! text parsed a second time, with positions.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One step into a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A key's path, as messages show it: `routes[2].plugin`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    pub(crate) fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The place of the value at `path`, or of the innermost table around it that the text has.
pub(super) fn locate(text: &str, path: &KeyPath) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let (Step::Key(first), rest) = path.0.split_first()? else { return None };
    let mut value = root.get_ref().get(first.as_str())?;
    for step in rest {
        match child(value, step) {
            Some(inner) => value = inner,
            None => break,
        }
    }
    Some(value.span())
}

fn child<'a, 'i>(value: &'a Spanned<DeValue<'i>>, step: &Step) -> Option<&'a Spanned<DeValue<'i>>> {
    match (value.get_ref(), step) {
        (DeValue::Table(table), Step::Key(key)) => table.get(key.as_str()),
        (DeValue::Array(array), Step::Index(index)) => array.get(*index),
        // One value in place of a list of one.
        (_, Step::Index(0)) => Some(value),
        _ => None,
    }
}
