//! What is no token here: quotes and comments of other languages, characters that nobody sees. Each is
//! reported with what to write in its place.

use super::scan::Lexer;
use super::token::{comment, is_invisible};
use super::{MASK, TokenKind, leaf};
use crate::diag::Diagnostic;

impl<'a> Lexer<'a> {
    /// `'…'` and typographic quotes: taken as the text that was meant.
    pub(super) fn foreign_quotes(&mut self, rest: &'a str, first: char) -> (TokenKind, usize) {
        let close: &[char] = match first {
            '\'' => &['\''],
            '‘' | '’' => &['’', '‘', '\''],
            '«' | '»' => &['»', '«'],
            _ => &['”', '“', '„', '"'],
        };
        let open = first.len_utf8();
        let inner = rest.get(open..).unwrap_or_default();
        // The search ends with the line, so that a line has at most one that fails.
        let mut escaped = false;
        let found = inner.find(|c| {
            let ends = close.contains(&c) && !escaped;
            escaped = c == '\\' && !escaped;
            ends || c == '\n' || c == '\r'
        });
        let end = found.filter(|at| inner.get(*at..).is_some_and(|l| l.starts_with(close)));
        let Some(end) = end else {
            let diagnostic =
                Diagnostic::error("E0004", format!("`{first}` is no quote here"), self.span(0, open))
                    .help("a text stands between two `\"`");
            self.report(diagnostic);
            return (TokenKind::Bad, open);
        };
        let closing = inner.get(end..).and_then(|l| l.chars().next()).map_or(0, char::len_utf8);
        let span = self.span(0, open + end + closing);
        let body = inner.get(..end).unwrap_or_default();
        let written = leaf::quote(body);
        let what = if first == '\'' { "single quotes" } else { "typographic quotes" };
        let diagnostic = Diagnostic::error("E0004", format!("{what} do not open a text"), span)
            .help(format!(
                "write {}",
                if written.len() < 60 { format!("`{written}`") } else { "`\"…\"`".into() }
            ))
            .fix("use double quotes", span, written);
        self.report(diagnostic);
        (TokenKind::Text, open + end + closing)
    }

    /// Whether nothing but blanks stands before this on its line.
    pub(super) fn starts_line(&self) -> bool {
        let before = self.text.get(..self.at).unwrap_or_default();
        before.trim_end_matches([' ', '\t']).chars().next_back().is_none_or(|c| c == '\n')
    }

    /// Whether the last token is a word that ends here.
    pub(super) fn glued(&self) -> bool {
        self.tokens.last().is_some_and(|last| last.kind == TokenKind::Word && last.end as usize == self.at)
    }

    /// A `#` directly behind a word: in a mailbox `c#` it would be a part of the name.
    pub(super) fn glued_comment(&mut self, length: usize) {
        self.report(
            Diagnostic::error("E0008", "no white space stands before this comment", self.span(0, length))
                .label("glued to the word before it")
                .help("write a space before `#`; a name that holds a `#` stands in quotes, with its domain: `\"c#\"@example.com`"),
        );
    }

    /// `// …`, `; …` or `-- …` up to the line's end.
    pub(super) fn foreign_comment(&mut self, rest: &'a str, sign: usize) -> (TokenKind, usize) {
        let text = comment(rest).map_or("", |(_, text)| text);
        let diagnostic = Diagnostic::error("E0008", "a comment starts with `#`", self.span(0, text.len()));
        // A bracket of the rules may stand in it by mistake, and `#` would hide it as well.
        let swallows = text.matches('}').count() > text.matches('{').count();
        let glued = self.glued();
        self.report(if glued {
            diagnostic.help("write ` #` in its place, with white space before it")
        } else if swallows {
            diagnostic.help("write `#` in its place; it runs to the line's end, so a `}` that closes something stands before it or on the next line")
        } else {
            diagnostic.help("write `#` in its place").fix("write `#`", self.span(0, sign), "#")
        });
        (TokenKind::Bad, text.len())
    }

    /// `/* … */`, over several lines too; without an end it is read as a comment of its line.
    pub(super) fn enclosed_comment(&mut self, rest: &'a str) -> (TokenKind, usize) {
        let end = if self.open_comment { None } else { rest.get(2..).and_then(|inner| inner.find("*/")) };
        let Some(end) = end else {
            // None of those that follow has an end either: looking once is enough.
            self.open_comment = true;
            let length = prose(rest);
            self.report(
                Diagnostic::error(
                    "E0008",
                    "a comment starts with `#`, and ends with its line",
                    self.span(0, length),
                )
                .label("no `*/` follows: up to here it is read as the comment")
                .help("write `#` in its place, and one before each further line of the comment"),
            );
            return (TokenKind::Bad, length);
        };
        let length = end + 4;
        let (text, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let span = self.span(0, length);
        let diagnostic =
            Diagnostic::error("E0008", "a comment starts with `#`, and ends with its line", span);
        let last = behind.lines().next().is_none_or(|line| line.trim().is_empty());
        self.report(if last {
            let help = if text.contains('\n') {
                "write `#` before each of its lines"
            } else {
                "write `#` in its place"
            };
            diagnostic.help(help).fix("write `#`", span, lines(text))
        } else {
            diagnostic.help(
                "put it at the end of the line or on one of its own, with `#` before it, or take it out",
            )
        });
        (TokenKind::Bad, length)
    }

    pub(super) fn semicolon(&mut self) -> (TokenKind, usize) {
        let span = self.span(0, 1);
        let diagnostic = Diagnostic::error("E0009", "`;` has no use here", span)
            .help("nothing ends a clause or parts two; entries of a list are parted by `,`")
            .fix("remove it", span, "");
        self.report(diagnostic);
        (TokenKind::Bad, 1)
    }

    /// A character that no token starts with.
    pub(super) fn stray(&mut self, c: char) -> (TokenKind, usize) {
        let span = self.span(0, c.len_utf8());
        if c.is_whitespace() && !c.is_control() {
            let message = format!("`U+{:04X}` is no white space here", u32::from(c));
            self.report(
                Diagnostic::error("E0003", message, span)
                    .help("it looks like a space; it often comes with text that was copied from a web page")
                    .fix("write a space", span, " "),
            );
        } else {
            self.invisible_at(c, 0);
        }
        (TokenKind::Bad, c.len_utf8())
    }

    /// Reports what nobody can see inside a token.
    pub(super) fn invisible(&mut self, taken: &str) {
        if taken.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return;
        }
        let mut chars = taken.char_indices().peekable();
        while let Some((place, c)) = chars.next() {
            let line_end = c == '\r' && chars.peek().is_some_and(|(_, next)| *next == '\n');
            if c != '\t' && c != '\n' && !line_end && is_invisible(c) && !(place == 0 && self.at == 0) {
                self.invisible_at(c, place);
            }
        }
    }

    fn invisible_at(&mut self, c: char, place: usize) {
        // A masked byte has had its message.
        if c == MASK && self.bytes.get(self.at + place) != Some(&0x1a) {
            return;
        }
        let span = self.span(place, place + c.len_utf8());
        let code = u32::from(c);
        // A run of the same is one mistake.
        if let Some(last) = self.diagnostics.last_mut()
            && last.code == "E0003"
            && last.span.end == span.start
            && self.text.get(last.span.start as usize..).is_some_and(|t| t.starts_with(c))
        {
            last.span.end = span.end;
            for fix in &mut last.fixes {
                fix.span.end = span.end;
            }
            return;
        }
        let diagnostic = match c {
            '\r' => Diagnostic::error("E0003", "a carriage return stands without a line feed", span)
                .help("end lines with a line feed, or with both"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                Diagnostic::error("E0003", format!("`U+{code:04X}` turns the direction of writing"), span)
                    .help("it makes text look different from what it says; in a text write it as `\\u{…}`")
                    .fix("remove it", span, "")
            }
            _ => Diagnostic::error("E0003", format!("`U+{code:04X}` cannot be seen"), span)
                .help("delete it, or type the word anew; in a text write it as `\\u{…}`")
                .fix("remove it", span, ""),
        };
        self.report(diagnostic);
    }
}

/// How far a comment without an end goes: over the next lines, up to one that is empty or has signs of rules.
fn prose(text: &str) -> usize {
    let mut taken = 0;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        if at > 0 && (line.trim().is_empty() || line.contains(['{', '}', '[', ']', '"', '='])) {
            break;
        }
        taken += line.len();
    }
    // The end of the last line belongs to no comment.
    text.get(..taken).map_or(taken, |comment| comment.trim_end().len())
}

/// What stands between `/*` and `*/`, as comments of this language.
fn lines(text: &str) -> String {
    let inner = text.trim_start_matches("/*").trim_end_matches("*/");
    let end = if inner.contains("\r\n") { "\r\n" } else { "\n" };
    let mut out: Vec<String> = Vec::new();
    for (at, line) in inner.split('\n').enumerate() {
        let said = line.trim();
        let indent =
            if at == 0 { "" } else { line.get(..line.len() - line.trim_start().len()).unwrap_or("") };
        let said = said.trim_start_matches('*').trim_start();
        out.push(format!("{indent}# {said}").trim_end().to_owned());
    }
    // The line of `*/` alone says nothing.
    if out.len() > 1 && out.last().is_some_and(|line| line.trim() == "#") {
        out.pop();
    }
    out.join(end)
}
