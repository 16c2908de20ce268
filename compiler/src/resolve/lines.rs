//! Data files: lists of one entry a line, and aliases(5). A bad line is an error, never skipped.
//!
//! `#` starts a comment at the start of a line or behind white space. A byte order mark and CRLF are
//! taken. At most [`MAX_TOLD`] mistakes of one file are told one by one.

use crate::ast::{ListType, Word};
use crate::diag::Diagnostic;
use crate::span::{FileId, Span};
use edict_table::model::Entries;
use edict_table::value::{NetworkError, Pattern, fold_text, parse_network};

/// How many mistakes of one file are told one by one.
const MAX_TOLD: usize = 20;

/// What a list file holds.
#[derive(Debug, Default)]
pub struct ListEntries {
    /// In normal form, sorted, each once.
    pub entries: Entries,
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
}

/// What an aliases(5) file holds.
#[derive(Debug, Default)]
pub struct AliasEntries {
    /// In the order of the file.
    pub entries: Vec<AliasLine>,
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
}

/// One alias of a file.
#[derive(Debug)]
pub struct AliasLine {
    /// What stands before the colon.
    pub name: Word,
    /// What stands behind it.
    pub members: Vec<Word>,
}

fn lines(file: FileId, bytes: &[u8]) -> impl Iterator<Item = (Span, &[u8])> {
    let mut start = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        let span = span(file, start, start + length);
        start += length + 1;
        Some((span, line))
    })
}

fn span(file: FileId, start: usize, end: usize) -> Span {
    let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    Span { file, start: at(start), end: at(end) }
}

/// The text of a line without comment and white space, and where it stands.
fn content(whole: Span, line: &[u8]) -> Result<(Span, &str), Span> {
    let text = std::str::from_utf8(line).map_err(|_| whole)?;
    let mut end = text.len();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if c == '#' && before.is_whitespace() {
            end = at;
            break;
        }
        before = c;
    }
    let text = text.get(..end).unwrap_or_default();
    let start = text.len() - text.trim_start().len();
    let text = text.trim();
    let from = whole.start as usize + start;
    Ok((span(whole.file, from, from + text.len()), text))
}

/// Reads a list file.
pub fn list(file: FileId, bytes: &[u8], ty: ListType) -> ListEntries {
    let mut keys: Vec<(String, Span)> = Vec::new();
    let mut diagnostics = Vec::new();
    let mut bad = 0usize;
    for (whole, line) in lines(file, bytes) {
        let read = content(whole, line).map_err(|at| {
            Diagnostic::error("E1401", "this line is not UTF-8", at)
                .label("list files are UTF-8")
                .help("save the file as UTF-8")
        });
        let read = read.map_err(Box::new);
        let entry = read.and_then(|(at, text)| {
            if text.is_empty() { Ok(None) } else { entry(ty, text, at).map(|key| Some((key, at))) }
        });
        match entry {
            Ok(Some(entry)) => keys.push(entry),
            Ok(None) => {}
            Err(diagnostic) => {
                bad += 1;
                if bad <= MAX_TOLD {
                    diagnostics.push(*diagnostic);
                }
            }
        }
    }
    if bad > MAX_TOLD {
        diagnostics.push(Diagnostic::error(
            "E1401",
            format!("{} more lines of this file are wrong", bad - MAX_TOLD),
            span(file, 0, 0),
        ));
    }
    keys.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let mut twice = 0usize;
    for pair in keys.windows(2) {
        if let [(first, at), (second, again)] = pair
            && first == second
        {
            twice += 1;
            if twice <= MAX_TOLD {
                diagnostics.push(
                    Diagnostic::warning("W0101", format!("`{first}` is listed twice"), *again)
                        .label("here a second time")
                        .also(*at, "listed here already")
                        .help("take one of the two out"),
                );
            }
        }
    }
    keys.dedup_by(|a, b| a.0 == b.0);
    ListEntries { entries: keys.iter().map(|(key, _)| key).collect(), diagnostics }
}

fn entry(ty: ListType, text: &str, at: Span) -> Result<String, Box<Diagnostic>> {
    let wrong = |what: String, label: String, help: String| {
        Box::new(Diagnostic::error("E1401", what, at).label(label).help(help))
    };
    match ty {
        ListType::Text => Ok(fold_text(text).into_owned()),
        ListType::Network => match parse_network(text) {
            Ok(network) => Ok(network.to_string()),
            Err(NetworkError::HostBits(network)) => Err(wrong(
                format!("`{text}` has bits set beyond its prefix"),
                format!("the network is `{network}`"),
                format!("write `{network}`, or the one address without a prefix"),
            )),
            Err(error) => Err(wrong(
                format!("`{text}` is no network"),
                error.to_string(),
                "one network a line".to_owned(),
            )),
        },
        ListType::Address if !text.contains('@') => Err(wrong(
            format!("`{text}` is no address"),
            "an address needs an `@`".to_owned(),
            format!("write `@{text}` for every address at that domain"),
        )),
        ListType::Domain if text.contains('@') => Err(wrong(
            format!("`{text}` is an address, not a domain"),
            "this is a list of domains".to_owned(),
            "write the domain alone, or define the list as one of addresses".to_owned(),
        )),
        ListType::Address | ListType::Domain => Pattern::parse(text).map(|p| p.key()).map_err(|error| {
            wrong(
                format!("`{text}` is no {}", ty.name()),
                error.to_string(),
                "one entry a line; `#` starts a comment".to_owned(),
            )
        }),
    }
}

/// Reads an aliases(5) file: `name: member, member`, lines that begin with white space go on.
pub fn aliases(file: FileId, bytes: &[u8]) -> AliasEntries {
    let mut out = AliasEntries::default();
    for (whole, line) in lines(file, bytes) {
        let goes_on = line.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
        let (at, text) = match content(whole, line) {
            Ok(read) => read,
            Err(at) => {
                out.diagnostics.push(
                    Diagnostic::error("E1402", "this line is not UTF-8", at)
                        .label("alias files are UTF-8")
                        .help("save the file as UTF-8"),
                );
                continue;
            }
        };
        if text.is_empty() {
            continue;
        }
        let (members, from) = if goes_on {
            (text, at.start as usize)
        } else {
            let Some((name, members)) = text.split_once(':') else {
                out.diagnostics.push(
                    Diagnostic::error("E1402", "this line is no alias", at).label("no colon").help(
                        "write `sales: ann, bob@example.com`; a line that goes on begins with white space",
                    ),
                );
                continue;
            };
            let start = at.start as usize;
            let trimmed = name.trim_end().trim_matches('"');
            let quote = usize::from(name.starts_with('"'));
            out.entries.push(AliasLine {
                name: Word {
                    value: trimmed.to_owned(),
                    span: span(file, start + quote, start + quote + trimmed.len()),
                },
                members: Vec::new(),
            });
            (members, start + name.len() + 1)
        };
        let Some(last) = out.entries.last_mut() else {
            out.diagnostics.push(
                Diagnostic::error("E1402", "this line goes on from nowhere", at)
                    .label("no alias stands before it")
                    .help("begin an alias at the start of a line"),
            );
            continue;
        };
        let mut offset = from;
        for part in members.split(',') {
            let word = part.trim();
            // Commands stand in quotes; an address in quotes keeps them, they are part of it.
            let inner = word.trim_matches('"');
            let word = if inner.starts_with(['|', '/', ':']) { inner } else { word };
            if !word.is_empty() {
                let start = offset + (part.len() - part.trim_start().len());
                last.members
                    .push(Word { value: word.to_owned(), span: span(file, start, start + word.len()) });
            }
            offset += part.len() + 1;
        }
    }
    out
}
