//! aliases(5): `name: target, target`. A line that begins with white space goes on with the one before; empty
//! lines and lines whose first character is `#` do not count, and do not end what goes on behind them.
//!
//! Names and targets may be quoted. Commands, files and includes are told apart by [`target`]; what becomes
//! of them is for the reader of the result.

use super::{Report, lines, refused, span, unreadable};
use crate::ast::Word;
use crate::diag::{Diagnostic, Severity};
use crate::span::{FileId, Span};

const CODE: &str = "E1402";

/// The most targets of one alias.
const MAX_TARGETS: usize = 100_000;

/// One alias of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AliasLine {
    /// What stands before the colon, without quotes where it needs none.
    pub name: Word,
    /// What stands behind it, each without quotes where it needs none.
    pub targets: Vec<Word>,
    /// A mistake in it was reported: draw no conclusion from what is absent.
    pub broken: bool,
}

/// What a target of an alias is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// An address, or a bare name.
    Address,
    /// `|command`
    Command,
    /// `/file`
    File,
    /// `:include:/file`
    Include,
}

/// Tells what a target is.
#[must_use]
pub fn target(text: &str) -> Target {
    let include = text.get(..9).is_some_and(|head| head.eq_ignore_ascii_case(":include:"));
    match text.as_bytes().first() {
        Some(b'|') => Target::Command,
        Some(b'/') => Target::File,
        _ if include => Target::Include,
        _ => Target::Address,
    }
}

/// Reads an aliases(5) file. Aliases are in the order of the file; a name that stands twice is there twice.
#[must_use]
pub fn parse_aliases(bytes: &[u8], file: FileId) -> (Vec<AliasLine>, Vec<Diagnostic>) {
    if let Some(diagnostic) = refused(CODE, file, bytes) {
        return (Vec::new(), vec![diagnostic]);
    }
    let mut report = Report::new(file);
    let mut aliases: Vec<AliasLine> = Vec::new();
    // A line that could not be read takes those that go on from it along.
    let mut lost = false;
    for (start, line) in lines(bytes) {
        let text = match unreadable(CODE, file, start, line) {
            Ok(text) => text,
            Err(diagnostic) => {
                report.add(CODE, Severity::Error, || *diagnostic);
                let goes_on = line.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
                match aliases.last_mut() {
                    Some(last) if goes_on => last.broken = true,
                    _ => lost = true,
                }
                continue;
            }
        };
        let lead = text.len() - text.trim_start().len();
        let content = text.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let mut scan = Scan { file, text, start, at: lead };
        if lead == 0 {
            lost = false;
            match scan.name() {
                Ok(name) => aliases.push(AliasLine { name, targets: Vec::new(), broken: false }),
                Err(diagnostic) => {
                    lost = true;
                    report.add(CODE, Severity::Error, || *diagnostic);
                    continue;
                }
            }
        }
        if lost {
            continue;
        }
        let Some(last) = aliases.last_mut() else {
            report.add(CODE, Severity::Error, || {
                let at = span(file, start + lead, start + lead + content.len());
                Diagnostic::error(CODE, "this line continues an alias, but none stands before it", at)
                    .label("white space at its start makes it a continuation")
                    .help("begin an alias at the very start of a line")
            });
            continue;
        };
        if let Err(diagnostic) = scan.targets(&mut last.targets) {
            last.broken = true;
            report.add(CODE, Severity::Error, || *diagnostic);
        }
    }
    (aliases, report.finish())
}

struct Scan<'a> {
    file: FileId,
    text: &'a str,
    /// Offset of the line in the file.
    start: usize,
    at: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn span(&self, from: usize, to: usize) -> Span {
        span(self.file, self.start + from, self.start + to)
    }

    /// Takes up to one of the characters that end a word; quotes keep them from ending it.
    fn word(&mut self, ends: &[char]) -> Result<Word, Box<Diagnostic>> {
        let from = self.at;
        let mut quoted = false;
        let mut escaped = false;
        let mut before = ' ';
        let mut length = self.rest().len();
        for (at, c) in self.rest().char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                c if !quoted && (ends.contains(&c) || (c == '#' && before.is_whitespace() && at > 0)) => {
                    length = at;
                    break;
                }
                _ => {}
            }
            before = c;
        }
        if quoted {
            let at = self.span(from, self.text.len());
            self.at = self.text.len();
            return Err(Box::new(
                Diagnostic::error(CODE, "a quote is not closed", at)
                    .help("quotes close on the line that opens them"),
            ));
        }
        let taken = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        let word = taken.trim();
        let lead = taken.len() - taken.trim_start().len();
        let place = self.span(from + lead, from + lead + word.len());
        // `\user` is the mailbox itself, as naming oneself is.
        let plain = word.strip_prefix('\\').filter(|rest| target(rest) == Target::Address);
        Ok(Word { value: bare(plain.unwrap_or(word)), span: place })
    }

    fn name(&mut self) -> Result<Word, Box<Diagnostic>> {
        let name = self.word(&[':'])?;
        if !self.rest().starts_with(':') {
            let whole = self.span(0, self.text.trim_end().len());
            return Err(Box::new(
                Diagnostic::error(CODE, "this line is no alias", whole)
                    .label("no colon")
                    .help("write `sales: ann, bob@example.com`; a line that goes on begins with white space"),
            ));
        }
        self.at += 1;
        if name.value.is_empty() {
            let at = self.span(0, 1);
            return Err(Box::new(
                Diagnostic::error(CODE, "no name stands before this colon", at)
                    .help("write the alias before it, as in `sales: ann, bob@example.com`"),
            ));
        }
        Ok(name)
    }

    fn targets(&mut self, out: &mut Vec<Word>) -> Result<(), Box<Diagnostic>> {
        loop {
            let word = self.word(&[','])?;
            if word.value.is_empty() {
                // A comma at the end of a line goes on in the next; an empty target changes nothing.
            } else if target(&word.value) == Target::Address
                && !word.value.contains('"')
                && let Some(space) = word.value.find(char::is_whitespace)
            {
                let name = word.value.get(..space).unwrap_or_default();
                return Err(Box::new(
                    Diagnostic::error(CODE, format!("a comma is missing behind `{name}`"), word.span)
                        .help("targets are parted by `,`; what holds a space is quoted"),
                ));
            } else if out.len() < MAX_TARGETS {
                out.push(word);
            } else {
                return Err(Box::new(
                    Diagnostic::error(
                        CODE,
                        format!("this alias has more than {MAX_TARGETS} targets"),
                        word.span,
                    )
                    .help("part them over several aliases, and name those here"),
                ));
            }
            if !self.rest().starts_with(',') {
                return Ok(());
            }
            self.at += 1;
        }
    }
}

/// A word without its quotes, where it needs none: what is a command, a file, an include or a plain word.
fn bare(word: &str) -> String {
    let Some(inner) = word.strip_prefix('"').and_then(|w| w.strip_suffix('"')) else {
        // `|"command"` is a command.
        return word.to_owned();
    };
    if inner.is_empty() || inner.contains('"') && !inner.contains("\\\"") {
        return word.to_owned();
    }
    let plain = |c: char| c.is_alphanumeric() || "!$%&'*+-/=?^_`{|}~.@#".contains(c);
    if target(inner) == Target::Address && !inner.chars().all(plain) {
        return word.to_owned();
    }
    inner.replace("\\\"", "\"").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests;
