//! What must hold for any bytes: for the lexer, the parser, the layout, data files and the whole compiler. Each
//! function panics where it does not. Memory is bounded by [`room`]; who calls measures it.

#[path = "files.rs"]
mod files;

use edict_compiler::ast::{Ast, ListType};
use edict_compiler::data::{parse_aliases, parse_list};
use edict_compiler::diag::{Diagnostic, Severity};
use edict_compiler::fmt::format_bytes;
use edict_compiler::lex::{TokenKind, leaf, lex};
use edict_compiler::parse::parse;
use edict_compiler::source::Sources;
use edict_compiler::span::{FileId, Span};
use edict_compiler::{Options, compile};
use edict_table::emit::try_emit;
use edict_table::load::Loaded;
use edict_table::value::Pattern;
pub use files::split;
use std::sync::Arc;

/// The most memory that reading so many bytes may take.
pub fn room(input: usize) -> usize {
    (64 << 20) + 50 * input
}

fn inside(span: Span, length: usize) {
    assert!(span.start <= span.end && span.end as usize <= length, "{span:?} of {length} bytes");
}

/// Places in the file, and on whole characters where the file is text.
fn sound(diagnostics: &[Diagnostic], bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).ok();
    for diagnostic in diagnostics {
        inside(diagnostic.span, bytes.len());
        assert!(!diagnostic.message.is_empty());
        diagnostic.labels.iter().for_each(|(span, _)| inside(*span, bytes.len()));
        for fix in &diagnostic.fixes {
            inside(fix.span, bytes.len());
            let whole = |at: u32| text.is_none_or(|text| text.is_char_boundary(at as usize));
            assert!(whole(fix.span.start) && whole(fix.span.end));
        }
    }
}

/// The tokens that count, and the comments; a comma before a closing bracket is layout, and so is the space between a
/// number and its unit.
fn tokens(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let lexed = lex(FileId(0), bytes);
    let (mut code, mut comments) = (Vec::new(), Vec::new());
    for token in &lexed.tokens {
        let text = lexed.str(*token).replace("\r\n", "\n");
        match token.kind {
            TokenKind::Comment => comments.push(text.trim_end().to_owned()),
            TokenKind::CloseBracket => {
                if code.last().is_some_and(|last| last == ",") {
                    code.pop();
                }
                code.push(text);
            }
            kind if kind.is_trivia() => {}
            TokenKind::Word => {
                let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
                let number = &text[..text.len() - unit.len()];
                if !number.is_empty() && (unit == "%" || leaf::is_unit(unit)) {
                    code.extend([number.to_owned(), unit.to_owned()]);
                } else {
                    code.push(text);
                }
            }
            _ => code.push(text),
        }
    }
    (code, comments)
}

/// An Ast without its places, and without the space between a number and its unit.
fn meaning(ast: &Ast) -> String {
    let debug = joined(&joined(&format!("{ast:?}"), "Size"), "Duration");
    let mut out = String::with_capacity(debug.len() / 2);
    let mut rest = debug.as_str();
    while let Some((before, behind)) = rest.split_once("Span { file: FileId(0), start: ") {
        out.push_str(before);
        rest = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        rest = rest.strip_prefix(", end: ").unwrap_or(rest).trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

/// An Ast with the amounts of a class in one word.
fn joined(debug: &str, class: &str) -> String {
    let class = format!("\", class: {class}(");
    let mut out = String::with_capacity(debug.len());
    let mut rest = debug;
    while let Some((before, behind)) = rest.split_once(&class) {
        let (before, written) = before.rsplit_once('"').unwrap_or((before, ""));
        out.extend([before, "\"", &written.replace(' ', ""), &class]);
        rest = behind;
    }
    out + rest
}

/// One rule file: no byte is lost, formatting keeps meaning and comments, and is done after one time.
pub fn syntax(bytes: &[u8]) {
    let parsed = parse(FileId(0), bytes);
    let mut end = 0;
    for token in &parsed.tree.tokens {
        assert!(token.start == end && token.end > end, "a gap before {token:?}");
        end = token.end;
    }
    assert_eq!(end as usize, bytes.len());
    sound(&parsed.diagnostics, bytes);
    let good = parsed.diagnostics.iter().all(|d| d.severity != Severity::Error);
    let Ok(formatted) = format_bytes(FileId(0), bytes) else {
        assert!(!good, "a file without an error is not formatted");
        return;
    };
    assert!(good, "a file with an error is formatted");
    assert_eq!(tokens(bytes), tokens(formatted.as_bytes()));
    let again = parse(FileId(0), formatted.as_bytes());
    assert_eq!(again.diagnostics, [], "{formatted}");
    assert_eq!(meaning(&parsed.ast), meaning(&again.ast), "{formatted}");
    assert_eq!(format_bytes(FileId(0), formatted.as_bytes()).as_ref(), Ok(&formatted));
}

/// One data file; `kind` chooses which.
pub fn list(kind: u8, bytes: &[u8]) {
    if kind % 5 == 4 {
        let (aliases, diagnostics) = parse_aliases(bytes, FileId(0));
        for word in aliases.iter().flat_map(|a| a.targets.iter().chain([&a.name])) {
            inside(word.span, bytes.len());
        }
        return sound(&diagnostics, bytes);
    }
    let ty = [ListType::Address, ListType::Domain, ListType::Network, ListType::Text][usize::from(kind % 5)];
    let (entries, diagnostics) = parse_list(ty, bytes, FileId(0));
    sound(&diagnostics, bytes);
    let all: Vec<&str> = entries.iter().collect();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "not sorted, or one twice");
    // The short way for plain lines takes what the parser of values takes, and as it does.
    let failed = diagnostics.iter().any(|d| d.severity == Severity::Error);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if failed || !matches!(ty, ListType::Address | ListType::Domain) || text.contains('\r') {
        return;
    }
    let lines = text.split('\n').map(str::trim).filter(|l| !l.is_empty() && !l.contains(['#', '"']));
    for line in lines {
        let key = Pattern::parse(line).map(|p| p.key());
        assert!(key.is_ok_and(|key| all.binary_search(&key.as_str()).is_ok()), "`{line}` is taken, or lost");
    }
}

/// A rule set: a table or an error, the same a second time, and a table that loads and comes back as it was.
pub fn whole(files: &[(String, Vec<u8>)]) {
    let mut sources = Sources::default();
    for (path, bytes) in files {
        sources.insert(path.as_str(), bytes.as_slice());
    }
    let first = compile(&sources, &Options::default());
    assert_eq!(first.table.is_none(), first.failed());
    for diagnostic in &first.diagnostics {
        let length = |span: Span| sources.bytes(span.file).len();
        inside(diagnostic.span, length(diagnostic.span));
        diagnostic.labels.iter().for_each(|(span, _)| inside(*span, length(*span)));
        for fix in &diagnostic.fixes {
            inside(fix.span, length(fix.span));
        }
    }
    let Some(table) = first.table else { return };
    let quick = compile(&sources, &Options { proofs: false });
    assert_eq!(quick.table.as_ref(), Some(&table), "proofs change the table");
    // A table may be too large for its format; then that is said.
    let Ok(bytes) = try_emit(&table) else { return };
    let loaded = Loaded::new(Arc::new(bytes)).expect("what was written loads");
    assert_eq!(loaded.to_table(), table);
}
