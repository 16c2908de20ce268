//! Taking what must stand here, or saying what is missing and what stands there instead.

use super::super::words::nearest;
use super::{Cursor, named, short};
use crate::ast::{Spanned, Text};
use crate::diag::Diagnostic;
use crate::lex::{TokenKind, leaf};
use crate::parse::opposite::Likely as _;
use crate::span::Span;

impl<'a> Cursor<'a> {
    /// Takes a bare word, or reports that `what` is missing.
    pub(in crate::parse) fn expect_word(&mut self, what: &str) -> Option<Spanned<String>> {
        match self.peek() {
            Some(t) if t.kind == TokenKind::Word && !self.next_clause() => {
                self.at += 1;
                Some(Spanned::new(t.text.to_owned(), t.span))
            }
            Some(t) if matches!(t.kind, TokenKind::Text | TokenKind::Block) => {
                let bare = leaf::text(t.text);
                let diagnostic =
                    Diagnostic::error("E0017", format!("expected {what} without quotes"), t.span);
                let plain = !bare.is_empty() && bare.len() < 80 && !bare.contains(char::is_whitespace);
                self.report(if plain {
                    diagnostic.help(format!("write `{bare}`")).fix("remove the quotes", t.span, bare)
                } else {
                    diagnostic.help(format!("write {what} here, as one bare word"))
                });
                self.at += 1;
                None
            }
            _ => {
                self.expected(what);
                None
            }
        }
    }

    /// Takes a keyword, or reports that it is missing.
    pub(in crate::parse) fn expect_keyword(&mut self, word: &str) -> Option<Span> {
        let found = self.eat_word(word);
        if found.is_none() {
            self.expected(&format!("`{word}`"));
        }
        found
    }

    /// Takes a quoted text, or reports that `what` is missing.
    pub(in crate::parse) fn expect_text(&mut self, what: &str) -> Option<Text> {
        match self.peek() {
            Some(t) if matches!(t.kind, TokenKind::Text | TokenKind::Block) => {
                self.at += 1;
                Some(Text { value: leaf::text(t.text), block: t.kind == TokenKind::Block, span: t.span })
            }
            Some(t) if t.kind == TokenKind::Word && !self.starts_line(0) => {
                let quoted = leaf::quote(t.text);
                let list = self.names_list(t.text);
                let message = format!("expected {what}, found the bare word `{}`", short(t.text));
                let help = match self
                    .nth(1)
                    .filter(|next| next.kind == TokenKind::Word && !self.starts_line(1))
                {
                    _ if list => format!(
                        "`{0}` is a list: write `in {0}` for the whole text, `contains any of {0}` for a part of it",
                        short(t.text)
                    ),
                    _ if t.text == "not" => {
                        "`not` stands before the whole test, in front of its fact".to_owned()
                    }
                    _ if matches!(t.text, "regex" | "glob") => {
                        "a regex stands between slashes, as `/^free/`, a glob in quotes, as `\"*.exe\"`"
                            .to_owned()
                    }
                    // The name of a file or a host is one word; what follows is the next thing.
                    Some(_)
                        if ["file's", "asked for", "edictd.ron", "zone"]
                            .iter()
                            .any(|of| what.contains(of)) =>
                    {
                        format!("it stands in quotes: `{}`", short(&quoted))
                    }
                    Some(next) => format!(
                        "a text stands in quotes, all of it: `\"{} {}{}\"`",
                        short(t.text),
                        short(next.text),
                        if self.nth(2).is_some_and(|t| t.kind == TokenKind::Word) { " …" } else { "" }
                    ),
                    None if what == "a text" && t.text.len() > 1 && t.text.starts_with('!') => format!(
                        "where a `not` is meant, it stands once before the whole test, as in `not subject contains \"{}\"`; a text stands in quotes: `{}`",
                        short(t.text.trim_start_matches('!')),
                        short(&quoted)
                    ),
                    None if what.starts_with("a glob") && !t.text.contains(['*', '?']) => format!(
                        "a glob stands in quotes, and fits all of the text: `\"*{}*\"` finds it anywhere, `{}` is the whole",
                        short(t.text),
                        short(&quoted)
                    ),
                    None => format!("a text stands in quotes: `{}`", short(&quoted)),
                };
                let diagnostic = Diagnostic::error("E0017", message, t.span).help(help);
                // A glob without a sign of one may be the name of a list of another file.
                let named = list || (what.starts_with("a glob") && !t.text.contains(['*', '?']));
                let certain = !named && self.lone_word();
                self.report(if certain {
                    diagnostic.fix("put it in quotes", t.span, quoted)
                } else {
                    diagnostic
                });
                self.at += 1;
                Some(Text { value: t.text.to_owned(), block: false, span: t.span })
            }
            _ => {
                self.expected(what);
                None
            }
        }
    }

    /// Whether the next word is the whole of a value: several may be one text, and some are operators elsewhere.
    pub(in crate::parse) fn lone_word(&self) -> bool {
        let goes_on = !self.starts_line(1)
            && self.nth(1).is_some_and(|next| match next.kind {
                TokenKind::Text | TokenKind::Block | TokenKind::Regex => true,
                TokenKind::Word => !matches!(next.text, "and" | "or"),
                _ => false,
            });
        // A sign before it may be a `not` of another language.
        let operator = |word: &str| {
            word.starts_with(['!', '~', '^'])
                || matches!(
                    word,
                    "not" | "regex" | "glob" | "any" | "all" | "of" | "and" | "or" | "is" | "in"
                )
        };
        !self.starts_line(0) && !goes_on && self.word().is_some_and(|word| !operator(word))
    }

    /// Takes one of a closed set of words, or reports what they are.
    pub(in crate::parse) fn choice<T: Copy + PartialEq>(
        &mut self,
        of: &str,
        words: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        let listed = || {
            // Words of the same meaning are named by the first.
            let first = |at: usize, value: &T| words.iter().take(at).all(|(_, other)| other != value);
            let named = words.iter().enumerate().filter(|(at, (_, value))| first(*at, value));
            let words: Vec<String> = named.map(|(_, (word, _))| format!("`{word}`")).collect();
            match words.split_last() {
                Some((last, [])) => last.clone(),
                Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
                None => String::new(),
            }
        };
        let Some(token) = self.peek().filter(|t| t.kind == TokenKind::Word) else {
            self.expected(&listed());
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == token.text) {
            self.at += 1;
            return Some(Spanned::new(*value, token.span));
        }
        if self.starts_line(0) {
            self.expected(&listed());
            return None;
        }
        let message = format!("`{}` is no {of}", short(token.text));
        let mut diagnostic =
            Diagnostic::error("E0022", message, token.span).help(format!("write {}", listed()));
        // Another language's answer: told, and left to whoever wrote it.
        let answer = match token.text.to_lowercase().as_str() {
            "yes" | "true" | "on" | "enabled" => ["on", "yes"],
            "no" | "false" | "off" | "disabled" | "not" => ["off", "no"],
            _ => [""; 2],
        };
        if let Some((meant, _)) = words.iter().find(|(word, _)| answer.contains(word)) {
            diagnostic = diagnostic.label(format!("did you mean `{meant}`?"));
        } else if let Some(meant) = nearest(token.text, words.iter().map(|(word, _)| *word)) {
            diagnostic = diagnostic
                .label(format!("did you mean `{meant}`?"))
                .nearest(token.text, meant, token.span, meant);
        }
        self.report(diagnostic);
        self.at += 1;
        None
    }

    /// Reports a bracket that is of another kind than the one that belongs here, and takes it.
    pub(in crate::parse) fn other_bracket(&mut self, wanted: &'static str, why: &str) {
        if let Some(token) = self.bump() {
            let message = format!("expected `{wanted}`, found `{}`", token.text);
            let diagnostic = Diagnostic::error("E0017", message, token.span)
                .label("another kind of bracket")
                .help(format!("{why}: write `{wanted}`"))
                .fix(format!("write `{wanted}`"), token.span, wanted);
            self.report(diagnostic);
        }
    }

    /// Reports a keyword that was written twice in a row, and takes the second one.
    pub(in crate::parse) fn doubled(&mut self, keyword: &str) {
        if let Some(next) = self.peek().filter(|t| t.is_word(keyword) && !self.starts_line(0)) {
            let diagnostic = Diagnostic::error("E0017", format!("`{keyword}` stands twice"), next.span)
                .label("the second one")
                .help("keep one of them")
                .fix("remove it", next.span, "");
            self.report(diagnostic);
            self.at += 1;
        }
    }

    /// Reports that something is missing here.
    pub(in crate::parse) fn expected(&mut self, what: &str) {
        let diagnostic = self.missing(what);
        if let Some(diagnostic) = diagnostic {
            self.report(diagnostic);
        }
    }

    /// The report that something is missing here; none where an unclosed text explains it.
    pub(in crate::parse) fn missing(&self, what: &str) -> Option<Diagnostic> {
        let next = self.peek().filter(|_| !self.starts_line(0) || self.at == 0);
        match next {
            Some(t) => Some(
                Diagnostic::error("E0017", format!("expected {what}, found {}", named(t)), t.span)
                    .help(format!("write {what} here")),
            ),
            None if self.peek().is_none() && self.cut() => None,
            None => {
                let last = self.last_span();
                let end = Span { start: last.start, ..last };
                Some(
                    Diagnostic::error("E0017", format!("expected {what}"), end)
                        .label(format!("{what} should follow this"))
                        .help(format!("write {what} behind it")),
                )
            }
        }
    }
}
