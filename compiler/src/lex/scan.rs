//! The lexer: which token starts at each place of the text, and what is wrong with texts and regexes.

use super::token::{
    address_literal, block_open, comment, is_blank, is_word, length, quoted_local, quoted_open, regex_open,
    socket_literal, word,
};
use super::{MAX_DIAGNOSTICS, Token, TokenKind, leaf};
use crate::diag::Diagnostic;
use crate::span::{FileId, Span};
use nom::Parser;
use nom::bytes::complete::{take_while, take_while1};

/// The state of lexing one file.
pub(super) struct Lexer<'a> {
    file: FileId,
    pub(super) bytes: &'a [u8],
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// The last word, if nothing but white space and comments stands behind it.
    before: &'a str,
    pub(super) tokens: Vec<Token>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) cut: bool,
    /// A `/*` had no end.
    pub(super) open_comment: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(file: FileId, bytes: &'a [u8], text: &'a str) -> Self {
        Self {
            file,
            bytes,
            text,
            at: 0,
            before: "",
            tokens: Vec::new(),
            diagnostics: Vec::new(),
            cut: false,
            open_comment: false,
        }
    }

    pub(super) fn run(&mut self) {
        while let Some(first) = self.rest().chars().next() {
            let (kind, length) = self.next(first);
            // A scanner that takes nothing would hang: one character at least is taken.
            let length = length.max(first.len_utf8());
            let taken = self.rest().get(..length).unwrap_or(self.rest());
            let end = self.at + taken.len();
            if !matches!(kind, TokenKind::Bad | TokenKind::Space) {
                self.invisible(taken);
            }
            match kind {
                TokenKind::Space | TokenKind::Comment | TokenKind::Bad => {}
                TokenKind::Word => self.before = taken,
                _ => self.before = "",
            }
            self.push(kind, end);
            self.at = end;
        }
    }

    fn push(&mut self, kind: TokenKind, end: usize) {
        // Files are bounded far below 4 GiB.
        let start = u32::try_from(self.at).unwrap_or(u32::MAX);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        match self.tokens.last_mut() {
            Some(last) if last.kind == kind && matches!(kind, TokenKind::Bad | TokenKind::Space) => {
                last.end = end;
            }
            _ => self.tokens.push(Token { kind, start, end }),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn span(&self, from: usize, to: usize) -> Span {
        let end = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span { file: self.file, start: end(self.at + from), end: end(self.at + to) }
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Kind and length of the token that starts here.
    fn next(&mut self, first: char) -> (TokenKind, usize) {
        use TokenKind as K;
        let rest = self.rest();
        let two = |c: char| rest.get(first.len_utf8()..).is_some_and(|r| r.starts_with(c));
        match first {
            '\u{feff}' if self.at == 0 => (K::Bom, 3),
            ' ' | '\t' | '\n' => (K::Space, length(take_while1(is_blank).parse(rest))),
            '\r' if two('\n') => (K::Space, 2),
            '#' => {
                let taken = length(comment(rest));
                if self.glued() {
                    self.glued_comment(taken);
                }
                (K::Comment, taken)
            }
            '"' if rest.starts_with("\"\"\"") => self.block(rest),
            '"' => match quoted_local(rest) {
                Ok((_, word)) => (K::Word, word.len()),
                Err(_) => self.quoted(rest),
            },
            '\'' | '“' | '”' | '„' | '‘' | '’' | '«' | '»' => self.foreign_quotes(rest, first),
            '{' => (K::OpenBrace, 1),
            '}' => (K::CloseBrace, 1),
            '[' => {
                // An address literal is a word where no list can stand.
                let helo = self.before == "helo";
                match if helo { address_literal(rest) } else { socket_literal(rest) } {
                    Ok((_, word)) => (K::Word, word.len()),
                    Err(_) => (K::OpenBracket, 1),
                }
            }
            ']' => (K::CloseBracket, 1),
            '(' => (K::OpenParen, 1),
            ')' => (K::CloseParen, 1),
            ',' => (K::Comma, 1),
            '=' => (K::Equals, 1 + usize::from(two('='))),
            '!' if two('=') => (K::NotEquals, 2),
            '<' if two('>') => (K::Null, 2),
            '<' if two('=') => (K::AtMost, 2),
            '<' => (K::Less, 1),
            '>' if two('=') => (K::AtLeast, 2),
            '>' => (K::More, 1),
            ';' if self.starts_line() && rest.lines().next().is_some_and(|line| line.trim() != ";") => {
                self.foreign_comment(rest, 1)
            }
            ';' => self.semicolon(),
            '-' if self.starts_line() && (rest.starts_with("-- ") || rest.starts_with("---")) => {
                self.foreign_comment(rest, 2)
            }
            '/' if self.before == "matches" => self.regex(rest),
            '/' if two('/') => self.foreign_comment(rest, 2),
            '/' if two('*') => self.enclosed_comment(rest),
            ':' if !two(':') => (K::Colon, 1),
            c if is_word(c) || c == ':' => {
                let colons = self.before != "list";
                match word(rest, colons) {
                    Ok((_, word)) => (K::Word, before_comment(word)),
                    Err(_) => (K::Colon, 1),
                }
            }
            c => self.stray(c),
        }
    }

    fn quoted(&mut self, rest: &'a str) -> (TokenKind, usize) {
        let (rest_of_line, body) = quoted_open(rest).unwrap_or((rest, ""));
        let closed = rest_of_line.starts_with('"');
        let length = body.len() + usize::from(closed);
        if !closed && hollow(body) {
            // What follows is read as it stands, a brace above all.
            if let Some((span, text)) = self.unopened() {
                let diagnostic = Diagnostic::error("E0031", "this `\"` closes no text", span)
                    .label("a text seems to end here, and none is open before it")
                    .help(format!("write the other one where the text begins: `\"{text}\"`"));
                if self.diagnostics.len() < MAX_DIAGNOSTICS {
                    let place = self.diagnostics.partition_point(|d| d.span.start <= span.start);
                    self.diagnostics.insert(place, diagnostic);
                }
                return (TokenKind::Bad, 1);
            }
            let diagnostic = Diagnostic::error("E0031", "this `\"` closes no text", self.span(0, 1))
                .label("nothing follows that it could open, and no text is open before it")
                .help("a text stands between two `\"`: write the other one where it begins; a `\"` inside of a text is written `\\\"`");
            self.report(diagnostic);
            return (TokenKind::Bad, 1);
        }
        if !closed {
            let diagnostic = Diagnostic::error("E0005", "this text is not closed", self.span(0, body.len()))
                .label("opened here, and still open at the line's end")
                .help("write `\"` where it ends; a text over several lines stands between `\"\"\"`");
            let Some(further) = broken(rest_of_line) else {
                self.report(diagnostic);
                self.escapes(body);
                return (TokenKind::Text, length);
            };
            let whole = length + further;
            let close = self.span(whole - 1, whole);
            let joined: Vec<&str> = rest.get(..whole).unwrap_or_default().split_whitespace().collect();
            let joined = joined.join(" ");
            let written = if joined.len() < 60 { joined } else { "\"…\"".to_owned() };
            self.report(diagnostic.also(close, "it ends here").help(format!(
                "a text ends on its line: write `{written}`; one that holds line breaks stands between `\"\"\"`"
            )));
            return (TokenKind::Text, whole);
        }
        self.escapes(rest.get(..length).unwrap_or(rest));
        (TokenKind::Text, length)
    }

    /// The first `"` on this line that follows a word as only a closing one does, where a text should open, with what it
    /// would close: from there on all quotes of the line are taken the wrong way round.
    fn unopened(&self) -> Option<(Span, &'a str)> {
        let start = self.text.get(..self.at)?.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(start..self.at)?;
        // In a regex a quote is no quote.
        if line.contains(['/', '\\']) {
            return None;
        }
        let mut opening = line.match_indices('"').map(|(at, _)| at).step_by(2);
        let at = opening
            .find(|at| line.get(..*at).is_some_and(|before| before.ends_with(char::is_alphanumeric)))?;
        let before = line.get(..at)?;
        let begin = before.rfind([',', '['])? + 1;
        let text = before.get(begin..)?.trim();
        let plain = !text.is_empty() && text.len() < 40 && !text.contains(['"', '{', '}', '(', ')']);
        let place = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        let span = Span { file: self.file, start: place(start + at), end: place(start + at + 1) };
        plain.then_some((span, text))
    }

    fn block(&mut self, rest: &'a str) -> (TokenKind, usize) {
        let (left, _) = block_open(rest).unwrap_or(("", rest));
        let closed = left.starts_with("\"\"\"");
        let length = if closed { rest.len() - left.len() + 3 } else { rest.len() };
        if !closed {
            let diagnostic = Diagnostic::error("E0005", "this text is not closed", self.span(0, 3))
                .label("opened here, and still open at the end of the file")
                .help("write `\"\"\"` where it ends");
            self.report(diagnostic);
            self.cut = true;
        }
        self.escapes(rest.get(..length).unwrap_or(rest));
        (TokenKind::Block, length)
    }

    fn escapes(&mut self, token: &str) {
        for (place, what) in leaf::bad_escapes(token) {
            let span = self.span(place.start, place.end);
            let diagnostic = Diagnostic::error("E0006", what, span)
                .help("the escapes are `\\\"`, `\\\\`, `\\n`, `\\t` and `\\u{20AC}`; a backslash is `\\\\`");
            self.report(diagnostic);
        }
    }

    fn regex(&mut self, rest: &'a str) -> (TokenKind, usize) {
        let (left, _) = regex_open(rest).unwrap_or(("", rest));
        let body = rest.len() - left.len();
        if !left.starts_with('/') {
            let diagnostic = Diagnostic::error("E0007", "this regex is not closed", self.span(0, body))
                .help("write `/` where it ends; a `/` inside is written `\\/`");
            self.report(diagnostic);
            return (TokenKind::Regex, body);
        }
        let flags =
            left.get(1..).map_or(0, |l| length(take_while(|c: char| c.is_ascii_alphabetic()).parse(l)));
        if flags > 0 {
            let span = self.span(body + 1, body + 1 + flags);
            let diagnostic = Diagnostic::error("E0007", "a regex takes no flags", span)
                .help("case never matters; other flags are written inside, as in `(?s)`")
                .fix("remove the flags", span, "");
            self.report(diagnostic);
        }
        (TokenKind::Regex, body + 1 + flags)
    }
}

/// How much of a word stands before a comment that is glued to it: a `//` that belongs to no URL.
fn before_comment(word: &str) -> usize {
    let slashes = word.find("//").filter(|at| *at > 0);
    slashes.filter(|at| word.get(..*at).is_some_and(|before| !before.ends_with(':'))).unwrap_or(word.len())
}

/// Whether nothing that could be a text follows a quote that nothing closes.
fn hollow(body: &str) -> bool {
    let inner = body.get(1..).unwrap_or_default().trim_start();
    let inner = inner.split('#').next().unwrap_or_default();
    inner.chars().all(|c| c.is_whitespace() || "{}[](),;".contains(c))
}

/// The length of the rest of a text that was broken over lines: up to a quote on one of the next lines that has no
/// partner there, and nothing directly behind it that it could open.
fn broken(rest_of_line: &str) -> Option<usize> {
    const MOST: usize = 5;
    let mut offset = 0;
    for (at, line) in rest_of_line.split_inclusive('\n').enumerate().take(MOST + 1) {
        let quotes: Vec<usize> = line
            .match_indices('"')
            .map(|(quote, _)| quote)
            .filter(|quote| !line.get(..*quote).is_some_and(|before| before.ends_with('\\')))
            .collect();
        if at > 0 && quotes.len() % 2 == 1 {
            let quote = *quotes.first()?;
            let behind = line.get(quote + 1..).unwrap_or_default();
            let closes = behind.starts_with(|c: char| c.is_whitespace() || ",])}".contains(c));
            return (closes || behind.is_empty()).then_some(offset + quote + 1);
        }
        if at > 0 && (!quotes.is_empty() || line.contains(['{', '}', '[', ']', '#'])) {
            return None;
        }
        offset += line.len();
    }
    None
}
