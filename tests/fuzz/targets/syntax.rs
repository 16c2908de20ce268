//! Lexer, parser and layout: no byte is lost, places are in the file, formatting keeps every token and is
//! done after one time.

#![no_main]

use edict_compiler::diag::Severity;
use edict_compiler::fmt::format_bytes;
use edict_compiler::lex::{TokenKind, lex};
use edict_compiler::parse::parse;
use edict_compiler::span::FileId;
use libfuzzer_sys::fuzz_target;

/// The tokens that count, and the comments; a comma before a closing bracket is layout.
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
            _ => code.push(text),
        }
    }
    (code, comments)
}

fuzz_target!(|bytes: &[u8]| {
    let parsed = parse(FileId(0), bytes);
    let mut end = 0;
    for token in &parsed.tree.tokens {
        assert_eq!(token.start, end);
        end = token.end;
    }
    assert_eq!(end as usize, bytes.len());
    for diagnostic in &parsed.diagnostics {
        assert!(diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end as usize <= bytes.len());
        for fix in &diagnostic.fixes {
            assert!(std::str::from_utf8(bytes).is_err() || std::str::from_utf8(bytes).is_ok_and(|text| {
                text.is_char_boundary(fix.span.start as usize) && text.is_char_boundary(fix.span.end as usize)
            }));
        }
    }
    let sound = parsed.diagnostics.iter().all(|d| d.severity != Severity::Error);
    let Ok(formatted) = format_bytes(FileId(0), bytes) else {
        assert!(!sound);
        return;
    };
    assert!(sound);
    assert_eq!(tokens(bytes), tokens(formatted.as_bytes()));
    let again = format_bytes(FileId(0), formatted.as_bytes());
    assert_eq!(again.as_ref(), Ok(&formatted));
});
