//! The scanners of the lexer, put together from nom's parsers over what is left of the text.

use super::{MASK, MAX_DIAGNOSTICS, Token, TokenKind, leaf};
use crate::diag::Diagnostic;
use crate::span::{FileId, Span};
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while_m_n, take_while1};
use nom::character::complete::{anychar, char, none_of, one_of};
use nom::combinator::{opt, peek, recognize, verify};
use nom::multi::{many0_count, many1_count};
use nom::sequence::{delimited, pair, preceded, terminated};
use nom::{IResult, Parser};

/// The state of lexing one file.
pub(super) struct Lexer<'a> {
    file: FileId,
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    /// The last word, if nothing but white space and comments stands behind it.
    before: &'a str,
    pub(super) tokens: Vec<Token>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) cut: bool,
}

type Scan<'a> = IResult<&'a str, &'a str>;

impl<'a> Lexer<'a> {
    pub(super) fn new(file: FileId, bytes: &'a [u8], text: &'a str) -> Self {
        Self { file, bytes, text, at: 0, before: "", tokens: Vec::new(), diagnostics: Vec::new(), cut: false }
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

    fn span(&self, from: usize, to: usize) -> Span {
        let end = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span { file: self.file, start: end(self.at + from), end: end(self.at + to) }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
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
            '#' => (K::Comment, length(comment(rest))),
            '"' if rest.starts_with("\"\"\"") => self.block(rest),
            '"' => match quoted_local(rest) {
                Ok((_, word)) => (K::Word, word.len()),
                Err(_) => self.quoted(rest),
            },
            '\'' | '“' | '”' | '„' | '‘' | '’' | '«' | '»' => self.foreign_quotes(rest, first),
            '{' => (K::OpenBrace, 1),
            '}' => (K::CloseBrace, 1),
            '[' => match socket_literal(rest) {
                Ok((_, word)) => (K::Word, word.len()),
                Err(_) => (K::OpenBracket, 1),
            },
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
            '/' if two('/') || two('*') => self.foreign_comment(rest, 2),
            ':' if !two(':') => (K::Colon, 1),
            c if is_word(c) || c == ':' => {
                let colons = self.before != "list";
                match word(rest, colons) {
                    Ok((_, word)) => (K::Word, word.len()),
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

    /// `'…'` and typographic quotes: taken as the text that was meant.
    fn foreign_quotes(&mut self, rest: &'a str, first: char) -> (TokenKind, usize) {
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
    fn starts_line(&self) -> bool {
        let before = self.text.get(..self.at).unwrap_or_default();
        before.trim_end_matches([' ', '\t']).chars().next_back().is_none_or(|c| c == '\n')
    }

    fn foreign_comment(&mut self, rest: &'a str, sign: usize) -> (TokenKind, usize) {
        let length = length(comment(rest));
        let span = self.span(0, sign);
        let diagnostic = Diagnostic::error("E0008", "a comment starts with `#`", span)
            .help("write `#` in its place")
            .fix("write `#`", span, "#");
        self.report(diagnostic);
        (TokenKind::Bad, length)
    }

    fn semicolon(&mut self) -> (TokenKind, usize) {
        let span = self.span(0, 1);
        let diagnostic = Diagnostic::error("E0009", "`;` has no use here", span)
            .help("nothing ends a clause or parts two; entries of a list are parted by `,`")
            .fix("remove it", span, "");
        self.report(diagnostic);
        (TokenKind::Bad, 1)
    }

    /// A character that no token starts with.
    fn stray(&mut self, c: char) -> (TokenKind, usize) {
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
    fn invisible(&mut self, taken: &str) {
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

fn length(scanned: Scan<'_>) -> usize {
    scanned.map_or(0, |(_, taken)| taken.len())
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

/// Control characters, marks of direction, and what takes no room.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What a word is made of, apart from `:`, `=` and `[` in the places that [`word`] knows.
fn is_word(c: char) -> bool {
    !c.is_whitespace() && !is_invisible(c) && !"\"{}[](),;#<>=:“”„«»".contains(c)
}

fn comment(text: &str) -> Scan<'_> {
    // A lone carriage return does not end it: what a terminal hides would else be rules.
    let (rest, taken) = take_while(|c| c != '\n').parse(text)?;
    match taken.strip_suffix('\r') {
        Some(shorter) if rest.starts_with('\n') => {
            Ok((text.get(shorter.len()..).unwrap_or_default(), shorter))
        }
        _ => Ok((rest, taken)),
    }
}

/// A bare word. `:` belongs to it where it is doubled or a letter or digit follows (`::1`, `host:25`),
/// `=` where the word goes on behind it (`a=b@example.com`), `[…]` behind `@` (`ann@[192.0.2.1]`).
fn word(text: &str, colons: bool) -> Scan<'_> {
    let plain = take_while1(|c| is_word(c) && c != '@');
    let at = recognize(pair(char('@'), opt(address_literal)));
    let port = terminated(tag(":"), peek(verify(anychar, |c| c.is_alphanumeric())));
    // A URL is no value, but one word, so that one message can say so.
    let scheme = terminated(tag(":"), peek(tag("//")));
    let colon = verify(alt((tag("::"), port, scheme)), move |_: &str| colons);
    let equals = terminated(tag("="), peek(verify(anychar, |c| is_word(*c))));
    recognize(many1_count(alt((plain, at, colon, equals)))).parse(text)
}

/// `[192.0.2.1]`, `[IPv6:2001:db8::1]`
fn address_literal(text: &str) -> Scan<'_> {
    recognize(delimited(
        char('['),
        take_while_m_n(1, 60, |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '.'),
        char(']'),
    ))
    .parse(text)
}

/// `[2001:db8::1]:587`
fn socket_literal(text: &str) -> Scan<'_> {
    let inner = take_while_m_n(2, 60, |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.');
    let port = take_while_m_n(1, 5, |c: char| c.is_ascii_digit());
    recognize((delimited(char('['), inner, char(']')), char(':'), port)).parse(text)
}

/// `"a b"@example.com`: an address whose local part needs quotes.
fn quoted_local(text: &str) -> Scan<'_> {
    let inner = many1_count(alt((preceded(char('\\'), none_of("\r\n")), none_of("\"\\\r\n"))));
    let domain = alt((address_literal, take_while1(|c| is_word(c) && c != '@')));
    recognize((char('"'), inner, tag("\"@"), opt(domain))).parse(text)
}

/// `"…` up to the closing quote, which is left, or the line's end.
fn quoted_open(text: &str) -> Scan<'_> {
    let plain = recognize(none_of("\"\\\n"));
    let escape = recognize(pair(char('\\'), opt(none_of("\n"))));
    let (rest, body) = recognize(pair(char('"'), many0_count(alt((plain, escape))))).parse(text)?;
    match body.strip_suffix('\r') {
        Some(shorter) if rest.starts_with('\n') => {
            Ok((text.get(shorter.len()..).unwrap_or_default(), shorter))
        }
        _ => Ok((rest, body)),
    }
}

/// `"""…` up to the closing quotes, which are left, or the end.
fn block_open(text: &str) -> Scan<'_> {
    let plain = take_while1(|c| c != '"' && c != '\\');
    let escape = recognize(pair(char('\\'), opt(anychar)));
    let quote = recognize(terminated(char('"'), nom::combinator::not(tag("\"\""))));
    recognize(pair(tag("\"\"\""), many0_count(alt((plain, escape, quote))))).parse(text)
}

/// `/…` up to the closing slash, which is left, or the line's end.
fn regex_open(text: &str) -> Scan<'_> {
    let plain = recognize(none_of("/\\\r\n"));
    let escape = recognize(pair(char('\\'), opt(none_of("\r\n"))));
    recognize(pair(one_of("/"), many0_count(alt((plain, escape))))).parse(text)
}
