// SPDX-License-Identifier: BSD-3-Clause
//! Splits a command into words, at spaces outside quotes. There is no shell, so that the started
//! process is the one that is terminated.

use super::ExecError;

/// The words of a command; at least one.
pub(super) fn words(command: &str) -> Result<Vec<String>, ExecError> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for char in command.chars() {
        match quote {
            Some(end) if char == end => quote = None,
            Some(_) => word.get_or_insert_default().push(char),
            None if char == '\'' || char == '"' => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            None if char.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    match words.first() {
        _ if quote.is_some() => Err(ExecError::Command("a quote does not end")),
        None => Err(ExecError::Command("it is empty")),
        Some(_) => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn spaces_separate_and_quotes_keep_together() {
        let split = |command| words(command).unwrap();
        assert_eq!(split(" python3  a.py "), ["python3", "a.py"]);
        assert_eq!(split("run 'a b'\"c d\" ''"), ["run", "a bc d", ""]);
        assert!(words("  ").is_err() && words("a 'b").is_err());
    }
}
