//! Any bytes as replies of a next hop, in any pieces: bounded, printable, and the same however they are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../runtime/src/deliver/reply.rs"]
#[expect(dead_code, reason = "the reader alone is tried here")]
mod reply;

use reply::{Replies, Reply, ReplyError};

/// All replies in some bytes that come in pieces of these sizes, and what ended the reading.
fn read(
    bytes: &[u8],
    mut sizes: impl Iterator<Item = usize>,
    lines: bool,
) -> (Vec<Reply>, Option<ReplyError>) {
    let mut replies = Replies::default();
    replies.keep_lines(lines);
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
        let (piece, after) = rest.split_at(size);
        rest = after;
        replies.feed(piece);
        loop {
            match replies.take() {
                Ok(Some(reply)) => out.push(reply),
                Ok(None) => break,
                Err(error) => return (out, Some(error)),
            }
        }
    }
    (out, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((seed, bytes)) = input.split_first() else { return };
    let lines = seed & 1 == 1;
    let whole = read(bytes, std::iter::repeat(bytes.len()), lines);
    let cut = read(bytes, (0..).map(|n| 1 + (n * usize::from(*seed)) % 97), lines);
    for reply in whole.0.iter().chain(&cut.0) {
        assert!((200..600).contains(&reply.code));
        assert!(reply.text.len() <= 2_000 && !reply.line().contains(char::is_control));
        assert!(reply.lines.len() <= 128 && reply.lines.iter().all(|l| !l.contains(char::is_control)));
        assert!(reply.enhanced.is_none_or(|(class, ..)| u16::from(class) == reply.code / 100));
    }
    // Where the reading ended in an error, a reader that sees more at once may see it sooner.
    if whole.1.is_none() && cut.1.is_none() {
        assert_eq!(whole.0, cut.0);
    }
});
