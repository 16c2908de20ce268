//! Data files beside the rules: lists of one entry a line, and aliases(5).
//!
//! They bypass lexer and parser: a million lines cost well under a second. A bad line is an error with its
//! place, never skipped. A byte order mark and CRLF are taken; what is no UTF-8, and characters that nobody
//! sees, are errors.
//!
//! Limits: files up to [`MAX_FILE`] bytes, lines up to [`MAX_LINE`]; of each kind of mistake, [`MAX_TOLD`] in a
//! file are told one by one, and the rest is counted.

mod aliases;
mod hint;
mod list;
mod network;
mod repeats;

pub use aliases::{AliasLine, Target, parse_aliases, target};
pub use list::parse_list;
pub use network::{Fault, looks_like_one, network_fault, shown_network};
pub use repeats::{covers, repeats};

use crate::diag::{Diagnostic, Severity};
use crate::span::{FileId, Span};

/// The largest data file, in bytes.
pub const MAX_FILE: usize = 1 << 30;

/// The longest line, in bytes.
pub const MAX_LINE: usize = 64 << 10;

/// How many mistakes of one kind are told one by one.
pub const MAX_TOLD: usize = 20;

/// Diagnostics of one file, of which only the first of each code are kept.
struct Report {
    file: FileId,
    kept: Vec<Diagnostic>,
    /// How many there were of each code.
    counts: Vec<(&'static str, Severity, usize)>,
}

impl Report {
    fn new(file: FileId) -> Self {
        Self { file, kept: Vec::new(), counts: Vec::new() }
    }

    /// Whether one more of a code will be kept: what only counts needs no words.
    fn wants(&self, code: &str) -> bool {
        self.counts.iter().find(|(known, _, _)| *known == code).is_none_or(|(_, _, count)| *count < MAX_TOLD)
    }

    /// Takes a diagnostic, or counts it. It is made only if it is kept.
    fn add(&mut self, code: &'static str, severity: Severity, make: impl FnOnce() -> Diagnostic) {
        if self.wants(code) {
            self.kept.push(make());
        }
        match self.counts.iter_mut().find(|(known, _, _)| *known == code) {
            Some((_, _, count)) => *count += 1,
            None => self.counts.push((code, severity, 1)),
        }
    }

    fn finish(mut self) -> Vec<Diagnostic> {
        self.kept.sort_by_key(|d| d.span.start);
        let whole = Span { file: self.file, start: 0, end: 0 };
        for (code, severity, count) in self.counts {
            let Some(more) = count.checked_sub(MAX_TOLD).filter(|more| *more > 0) else { continue };
            let what = if severity == Severity::Error { "wrong" } else { "like this" };
            let message = format!("{more} more lines of this file are {what}");
            self.kept.push(Diagnostic { severity, ..Diagnostic::error(code, message, whole) });
        }
        self.kept
    }
}

/// A file that is not read at all: too large, or in another encoding.
fn refused(code: &'static str, file: FileId, bytes: &[u8]) -> Option<Diagnostic> {
    let span = span(file, 0, bytes.len().min(2));
    if bytes.len() > MAX_FILE {
        return Some(
            Diagnostic::error(code, "the file is larger than 1 GiB", span)
                .help("split it into several lists"),
        );
    }
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    wide.then(|| Diagnostic::error(code, "the file is UTF-16", span).help("save it as UTF-8"))
}

/// The lines of a file with the offset of each, without line ends; a byte order mark is no part of the first.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let at = start;
        start += length + 1;
        Some((at, line))
    })
}

fn span(file: FileId, start: usize, end: usize) -> Span {
    // Files are bounded far below 4 GiB.
    let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    Span { file, start: at(start), end: at(end) }
}

/// A line that holds what no line may hold, whatever it is for.
fn unreadable<'a>(
    code: &'static str,
    file: FileId,
    start: usize,
    line: &'a [u8],
) -> Result<&'a str, Box<Diagnostic>> {
    let whole = span(file, start, start + line.len());
    if line.len() > MAX_LINE {
        return Err(Box::new(
            Diagnostic::error(code, "this line is longer than 64 KiB", span(file, start, start + 1))
                .help("one entry stands on a line"),
        ));
    }
    let text = std::str::from_utf8(line).map_err(|error| {
        let at = start + error.valid_up_to();
        let byte = line.get(error.valid_up_to()).copied().unwrap_or(0);
        Box::new(
            Diagnostic::error(code, format!("byte 0x{byte:02X} is no UTF-8"), span(file, at, at + 1))
                .label("in this line")
                .help("save the file as UTF-8"),
        )
    })?;
    let unseen = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if let Some((at, c)) = text.char_indices().find(|(_, c)| unseen(*c)) {
        let place = span(file, start + at, start + at + c.len_utf8());
        let diagnostic = match c {
            '\r' => Diagnostic::error(code, "a carriage return stands without a line feed", whole)
                .help("end lines with a line feed, or with both"),
            c => Diagnostic::error(code, format!("`U+{:04X}` cannot be seen", u32::from(c)), place)
                .help("remove it")
                .fix("remove it", place, ""),
        };
        return Err(Box::new(diagnostic));
    }
    Ok(text)
}
