// SPDX-License-Identifier: BSD-3-Clause
//! The fenced blocks of a page, and the comments above them.

/// What a comment above a block asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    NotRun,
    TestedBy,
    Stays,
    Before,
    File,
}

const MARKS: [(&str, Mark); 5] = [
    ("not run:", Mark::NotRun),
    ("tested by:", Mark::TestedBy),
    ("stays", Mark::Stays),
    ("before:", Mark::Before),
    ("file:", Mark::File),
];

pub(crate) struct Page {
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block.
pub(crate) struct Block {
    /// The line of its fence, counted from 1.
    pub(crate) line: usize,
    /// The first word behind the fence.
    pub(crate) language: String,
    /// What the comments directly above it say.
    pub(crate) marks: Vec<(Mark, String)>,
    pub(crate) lines: Vec<String>,
}

impl Block {
    /// What the first mark of this kind says.
    pub(crate) fn marked(&self, wanted: Mark) -> Option<&str> {
        self.marks.iter().find(|(mark, _)| *mark == wanted).map(|(_, text)| text.as_str())
    }

    /// Whether it has commands of a shell.
    pub(crate) fn is_session(&self) -> bool {
        self.language == "console"
    }
}

/// A command of a block, with the output that is shown below it.
pub(crate) struct Command {
    pub(crate) text: String,
    /// The line of the page on which its output begins, counted from 1.
    pub(crate) output_line: usize,
    pub(crate) output: Vec<String>,
}

impl Page {
    /// The blocks of a text, or what cannot be understood.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let mut blocks = Vec::new();
        let mut marks = Vec::new();
        let mut open: Option<Block> = None;
        for (line, content) in (1..).zip(text.lines()) {
            let trimmed = content.trim_start();
            if let Some(block) = &mut open {
                if trimmed.starts_with("```") {
                    blocks.extend(open.take());
                } else {
                    block.lines.push(content.to_owned());
                }
            } else if let Some(fence) = trimmed.strip_prefix("```") {
                let language = fence.split([',', ' ']).next().unwrap_or_default().to_owned();
                if language.is_empty() {
                    return Err(format!("{line}: a block without a language"));
                }
                let marks = std::mem::take(&mut marks);
                open = Some(Block { line, language, marks, lines: Vec::new() });
            } else if let Some(comment) = comment(trimmed) {
                let known = MARKS.iter().find_map(|(word, mark)| {
                    Some((*mark, comment.strip_prefix(word)?.trim().to_owned()))
                });
                match known {
                    Some(mark) => marks.push(mark),
                    None if comment.starts_with("SPDX") => {}
                    None => return Err(format!("{line}: no such mark: {comment}")),
                }
            } else if !trimmed.is_empty() && !marks.is_empty() {
                return Err(format!("{line}: a mark stands directly above its block"));
            }
        }
        if open.is_some() {
            return Err("a block is not closed".into());
        }
        Ok(Self { blocks })
    }
}

/// The text of a line that is a comment and nothing else.
fn comment(line: &str) -> Option<&str> {
    Some(line.strip_prefix("<!--")?.trim_end().strip_suffix("-->")?.trim())
}

/// The commands of a block: lines that begin with `$ `, going on while a line ends in `\`.
pub(crate) fn commands(block: &Block) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = Vec::new();
    let mut goes_on = false;
    for (line, content) in (block.line + 1..).zip(&block.lines) {
        let begins = content.strip_prefix("$ ");
        match (begins, commands.last_mut()) {
            (_, Some(command)) if goes_on => {
                command.text.push('\n');
                command.text.push_str(content);
                command.output_line = line + 1;
            }
            (Some(text), _) => {
                let output_line = line + 1;
                commands.push(Command { text: text.into(), output_line, output: Vec::new() });
            }
            (None, Some(command)) => command.output.push(content.clone()),
            (None, None) => return Err("it does not begin with a command: `$ …`".into()),
        }
        goes_on = (goes_on || begins.is_some()) && content.ends_with('\\');
    }
    Ok(commands)
}

/// Printed output that differs from the shown one: where that begins, how many lines it has, and the new
/// lines.
pub(crate) type Printed = (usize, usize, Vec<String>);

/// A page with each of these in place of what it shows.
pub(crate) fn replaced(text: &str, printed: &[Printed]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (from, count, new) in printed.iter().rev() {
        lines.splice(from - 1..from - 1 + count, new.iter().cloned());
    }
    lines.join("\n") + "\n"
}

#[test]
fn blocks_have_the_marks_above_them() {
    let text = "text\n<!-- stays -->\n<!-- before: true -->\n```console\n$ a \\\n  b\nc\n$ d\n```\n\n```js\n```\n";
    let page = Page::of(text).unwrap();
    let [first, second] = page.blocks.as_slice() else { panic!("two blocks") };
    assert_eq!((first.line, first.language.as_str()), (4, "console"));
    assert_eq!(first.marks, [(Mark::Stays, String::new()), (Mark::Before, "true".into())]);
    assert!(second.marks.is_empty());
    let commands = commands(first).unwrap();
    let found: Vec<_> = commands.iter().map(|it| (it.text.as_str(), it.output_line)).collect();
    assert_eq!(found, [("a \\\n  b", 7), ("d", 9)]);
    assert_eq!(commands[0].output, ["c"]);
    let overwritten = replaced(text, &[(7, 1, vec!["e".into(), "f".into()])]);
    assert_eq!(overwritten, text.replace("\nc\n", "\ne\nf\n"));
}

#[test]
fn what_is_not_understood_is_refused() {
    for text in ["<!-- later -->\n", "<!-- stays -->\nword\n", "```\n```\n", "```js\n"] {
        assert!(Page::of(text).is_err(), "{text}");
    }
}
