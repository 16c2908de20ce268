//! The walker on well-formed and broken structures.

use super::*;
use proptest::prelude::*;

fn shape(message: &str) -> Vec<String> {
    let tree = walk(message.as_bytes());
    let line = |p: &Part| format!("{} {:?}", p.media(), message.get(p.body.clone()).unwrap());
    tree.parts.iter().filter(|p| p.kind == Kind::Leaf).map(line).collect()
}

const NESTED: &str = "Content-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n--a\r\n\
    Content-Type: multipart/alternative; boundary=\"a b\"\r\n\r\n--a b\r\n\r\nplain\r\n--a b  \r\n\
    Content-Type: text/html\r\n\r\n<p>\r\n\r\n--a b--\r\nepilogue\r\n--a\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ninner\r\n--a--\r\n--a\r\nend\r\n";

#[test]
fn nested_parts() {
    assert_eq!(shape(NESTED), ["text/plain \"plain\"", "text/html \"<p>\\r\\n\"", "text/plain \"inner\""]);
    let tree = walk(NESTED.as_bytes());
    assert!(!tree.malformed);
    assert_eq!(tree.children(0).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(tree.parts.get(4).unwrap().kind, Kind::Message);
}

#[test]
fn line_feeds_alone() {
    let lf = NESTED.replace("\r\n", "\n");
    assert_eq!(shape(&lf), ["text/plain \"plain\"", "text/html \"<p>\\n\"", "text/plain \"inner\""]);
}

#[test]
fn broken_ends() {
    let open = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\ntext\r\n";
    assert_eq!(shape(open), ["text/plain \"text\\r\\n\""]);
    // A part without a blank line, a part without anything, a header without an end.
    let bare = "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/html\n--a\n--a--\n";
    assert_eq!(shape(bare), ["text/html \"\"", "text/plain \"\""]);
    assert_eq!(shape("Content-Type: text/html"), ["text/html \"\""]);
    assert_eq!(shape(""), ["text/plain \"\""]);
    // The outer delimiter closes what is open inside.
    let cut = NESTED.replace("--a b--\r\n", "");
    assert_eq!(shape(&cut).len(), 3);
}

#[test]
fn a_boundary_that_begins_like_another() {
    let message = "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=ab\n\n\
        --ab\n\none\n--abc\n--ab--\n--a\n\ntwo\n--a--\n";
    assert_eq!(shape(message), ["text/plain \"one\\n--abc\"", "text/plain \"two\""]);
}

/// MIME and header bombs (CVE-2024-4140 Email::MIME): parts and depth have an end.
#[test]
fn limits_are_malformed() {
    let many = format!("Content-Type: multipart/mixed; boundary=a\n\n{}", "--a\n\nx\n".repeat(MAX_PARTS + 5));
    let tree = walk(many.as_bytes());
    assert!(tree.malformed && tree.parts.len() <= MAX_PARTS);
    let mut deep = String::new();
    for level in 0..MAX_DEPTH + 5 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}x\n\n--b{level}x\n"));
    }
    let tree = walk(deep.as_bytes());
    assert!(tree.malformed && tree.parts.len() <= MAX_DEPTH);
    let messages = "Content-Type: message/rfc822\n\n".repeat(MAX_DEPTH * 2);
    assert!(walk(messages.as_bytes()).malformed);
    assert!(walk(b"Content-Type: multipart/mixed\n\nx").malformed);
    assert!(walk(b"Content-Type: text/plain\nContent-Type: text/html\n\nx").malformed);
}

/// Every line looked at, which is what is meant.
fn walk_by_lines(message: &[u8]) -> Tree {
    let mut walker = Walker { message, tree: Tree::default(), stack: Vec::new(), in_header: false };
    walker.begin(None, 0);
    let mut at = 0;
    while let Some((end, next)) = line_at(message, at) {
        let line = message.get(at..end).unwrap();
        match walker.delimiter(line).filter(|_| line.starts_with(b"--")) {
            Some((level, closing)) => walker.cut(level, at, closing, next),
            None if walker.in_header => walker.header_line(at, end, next),
            None => {}
        }
        at = next;
    }
    walker.finish()
}

proptest! {
    #[test]
    fn lines_that_cannot_be_delimiters_are_passed_over(lines in prop::collection::vec(prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=a\r\n", "Content-Type: multipart/mixed; boundary=\"-\"\n",
        "Content-Type: message/rfc822\r\n", "\r\n", "\n", "--a\r\n", "--a--\r\n", "---\r\n", "-----\n", "--", "-", "\n--a",
        "text\r\n", "X: y\n", "\r", "--a \r\n",
    ]), 0..24)) {
        let message = lines.concat();
        let (fast, slow) = (walk(message.as_bytes()), walk_by_lines(message.as_bytes()));
        prop_assert_eq!(format!("{fast:?}"), format!("{slow:?}"));
    }
}
