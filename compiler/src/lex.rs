//! Text to tokens. Every byte of the file is in exactly one token, white space and comments too.
//!
//! Never fails: what is no token becomes [`TokenKind::Bad`] with a diagnostic, and later stages pass
//! over it, so that one mistake has one message. Words are generous (an address, a domain, a network, a
//! keyword are all words); what a word means is for the place where it stands. Two things hang on the word
//! before: a `/` opens a regex only behind `matches`, and `:` parts words behind `list`.
//!
//! Limits: files over [`MAX_FILE`] bytes are not read; at most [`MAX_DIAGNOSTICS`] are kept.

mod foreign;
pub mod leaf;
mod scan;
mod token;

#[cfg(test)]
mod tests;

use crate::diag::Diagnostic;
use crate::span::{FileId, Span};
use std::borrow::Cow;

/// The largest rule file, in bytes. Long lists belong into files of their own.
pub const MAX_FILE: usize = 16 << 20;

/// The most diagnostics kept for one file.
pub const MAX_DIAGNOSTICS: usize = 100;

/// What stands for a byte that is no UTF-8, so that offsets stay.
const MASK: char = '\u{1a}';

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TokenKind {
    /// A byte order mark at the very start.
    Bom,
    /// A run of white space.
    Space,
    /// `# …` up to the line's end, without it.
    Comment,
    /// A bare word.
    Word,
    /// `"…"`
    Text,
    /// `"""…"""`
    Block,
    /// `/…/`
    Regex,
    /// `<>`
    Null,
    /// `{`
    OpenBrace,
    /// `}`
    CloseBrace,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `(`
    OpenParen,
    /// `)`
    CloseParen,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// `=`, also `==`, which the parser refuses.
    Equals,
    /// `!=`, which the parser refuses.
    NotEquals,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// What is no token; it has had its diagnostic.
    Bad,
}

impl TokenKind {
    /// Whether the parser passes over it.
    #[must_use]
    pub fn is_trivia(self) -> bool {
        matches!(self, Self::Bom | Self::Space | Self::Comment | Self::Bad)
    }
}

/// A token: bytes `start..end` of its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Offset of its first byte.
    pub start: u32,
    /// Offset behind its last byte; never equal to `start`.
    pub end: u32,
}

/// What lexing came to.
#[derive(Clone, Debug)]
pub struct Lexed<'a> {
    /// The file as text, of the same length: a byte that is no UTF-8 is masked.
    pub text: Cow<'a, str>,
    /// All tokens, in order and without gaps.
    pub tokens: Vec<Token>,
    /// What was wrong, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// A text that is never closed swallowed the rest of the file.
    pub cut: bool,
}

impl Lexed<'_> {
    /// The text of a token.
    #[must_use]
    pub fn str(&self, token: Token) -> &str {
        self.text.get(token.start as usize..token.end as usize).unwrap_or_default()
    }
}

/// Lexes one rule file.
#[must_use]
pub fn lex(file: FileId, bytes: &[u8]) -> Lexed<'_> {
    if bytes.len() > MAX_FILE {
        let span = Span { file, start: 0, end: 0 };
        let diagnostic = Diagnostic::error("E0001", "the file is larger than 16 MiB", span)
            .help("keep long lists in files of their own: `list NAME: TYPE from \"lists/name.txt\"`");
        return refused(bytes, diagnostic);
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let diagnostic = Diagnostic::error("E0002", "the file is UTF-16", Span { file, start: 0, end: 2 })
            .help("save it as UTF-8");
        return refused(bytes, diagnostic);
    }
    let (text, invalid) = mask(file, bytes);
    let mut lexer = scan::Lexer::new(file, bytes, &text);
    lexer.run();
    let scan::Lexer { tokens, mut diagnostics, cut, .. } = lexer;
    diagnostics.extend(invalid);
    diagnostics.sort_by_key(|d| d.span.start);
    Lexed { text, tokens, diagnostics, cut }
}

/// A file that is not read at all: one bad token, one diagnostic.
fn refused(bytes: &[u8], diagnostic: Diagnostic) -> Lexed<'_> {
    let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let tokens = vec![Token { kind: TokenKind::Bad, start: 0, end }];
    Lexed { text: Cow::Borrowed(""), tokens, diagnostics: vec![diagnostic], cut: true }
}

/// The bytes as text of the same length, and one diagnostic for all that is no UTF-8.
fn mask(file: FileId, bytes: &[u8]) -> (Cow<'_, str>, Option<Diagnostic>) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (Cow::Borrowed(text), None);
    }
    let mut text = String::with_capacity(bytes.len());
    let mut first = None;
    let mut count = 0_usize;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if let Some(byte) = chunk.invalid().first() {
            let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let end = start + u32::try_from(chunk.invalid().len()).unwrap_or(0);
            first.get_or_insert((*byte, Span { file, start, end }));
            count += 1;
            text.extend(std::iter::repeat_n(MASK, chunk.invalid().len()));
        }
    }
    let diagnostic = first.map(|(byte, span)| {
        let more = match count - 1 {
            0 => String::new(),
            1 => ", nor is one more place".to_owned(),
            more => format!(", nor are {more} more places"),
        };
        Diagnostic::error("E0002", format!("byte 0x{byte:02X} is no UTF-8{more}"), span)
            .help("save the file as UTF-8; it looks like Latin-1 or Windows-1252")
    });
    (Cow::Owned(text), diagnostic)
}
