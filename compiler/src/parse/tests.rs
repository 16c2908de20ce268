//! What is read, what is not, and that nothing is lost. Messages are in `tests/syntax`.

use super::*;
use crate::ast::*;

fn good(source: &str) -> Ast {
    let parsed = parse(FileId(0), source.as_bytes());
    assert_eq!(parsed.diagnostics, [], "{source}");
    parsed.ast
}

#[test]
fn files_of_every_form() {
    for text in [
        include_str!("../../tests/syntax/good/reference.edict"),
        include_str!("../../tests/syntax/good/every-form.edict"),
    ] {
        let ast = good(text);
        assert!(ast.items.len() > 10);
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(good(&format!("\u{feff}{crlf}")).items.len(), ast.items.len());
    }
}

/// Nodes nest, and tokens are all there.
fn sound(bytes: &[u8], tree: &Tree) {
    let mut at = 0;
    for token in &tree.tokens {
        assert_eq!(token.start, at);
        at = token.end;
    }
    assert_eq!(at as usize, bytes.len());
    let mut open: Vec<crate::tree::Node> = Vec::new();
    for (place, node) in tree.nodes.iter().enumerate() {
        assert!(node.first <= node.end && node.end as usize <= tree.tokens.len(), "{node:?}");
        assert!(node.after as usize > place && node.after as usize <= tree.nodes.len(), "{node:?}");
        while open.last().is_some_and(|top| top.after as usize <= place) {
            open.pop();
        }
        if let Some(top) = open.last() {
            assert!(node.after <= top.after && node.end <= top.end.max(node.first), "{top:?} {node:?}");
        }
        open.push(*node);
    }
}

/// A cheap generator of numbers, so that a failure comes again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// Files of every form with bytes and tokens changed, cut, doubled and moved.
#[test]
fn nothing_breaks_it() {
    let seed = concat!(
        include_str!("../../tests/syntax/good/reference.edict"),
        include_str!("../../tests/syntax/good/every-form.edict")
    );
    let tokens: Vec<&[u8]> = {
        let lexed = crate::lex::lex(FileId(0), seed.as_bytes());
        lexed.tokens.iter().map(|t| &seed.as_bytes()[t.start as usize..t.end as usize]).collect()
    };
    let spice: &[&[u8]] = &[
        b"{", b"}", b"[", b"]", b"(", b")", b",", b"\"", b"\"\"\"", b"/", b"#", b"\n", b"\xff", b"\0",
        b"not ", b"<>", b":", b"=",
    ];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3000 {
        let from = numbers.below(tokens.len());
        let length = numbers.below(60);
        let mut parts: Vec<&[u8]> = tokens[from..(from + length).min(tokens.len())].to_vec();
        for _ in 0..numbers.below(4) {
            let at = numbers.below(parts.len() + 1);
            match numbers.below(4) {
                0 if at < parts.len() => drop(parts.remove(at)),
                1 => parts.insert(at, spice[numbers.below(spice.len())]),
                2 => parts.insert(at, tokens[numbers.below(tokens.len())]),
                _ if at < parts.len() => {
                    let other = numbers.below(parts.len());
                    parts.swap(at, other);
                }
                _ => {}
            }
        }
        let mut bytes = parts.concat();
        if numbers.below(2) == 0 {
            bytes.splice(0..0, *b"edict 1\n");
        }
        let parsed = parse(FileId(0), &bytes);
        sound(&bytes, &parsed.tree);
        let places = |d: &Diagnostic| d.span.start <= d.span.end && d.span.end as usize <= bytes.len();
        assert!(parsed.diagnostics.iter().all(places), "{:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn depth_and_size_are_bounded() {
    for part in [
        "(",
        "not ",
        "[",
        "{",
        "reject \"x\" {",
        "when (",
        "\"\"\"",
        "when a and ",
        "x,",
        "„",
        "/",
        "list a: text = [[",
        "group ",
    ] {
        let text = format!("edict 1\nreject \"x\" {{ when {}", part.repeat(20_000));
        let parsed = parse(FileId(0), text.as_bytes());
        sound(text.as_bytes(), &parsed.tree);
        assert!(parsed.diagnostics.len() <= crate::lex::MAX_DIAGNOSTICS + 1);
    }
}
