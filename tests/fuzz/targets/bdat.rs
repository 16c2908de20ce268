//! BDAT: chunks of any length and content in one transaction. What is taken is what the chunks held, no more and no
//! less, whatever the packets; and no octet of a chunk is ever read as a command.
//!
//! The first byte of each piece of input says how long the chunk is; a length of 255 announces one octet too many.

#![no_main]

mod front;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut wire = b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.com>\r\n".to_vec();
    let mut content = Vec::new();
    let mut rest = bytes;
    let mut short = false;
    while let Some((&length, more)) = rest.split_first() {
        let take = usize::from(length).min(more.len());
        let (chunk, after) = more.split_at(take);
        let last = after.is_empty();
        short = length == 255 && last;
        let said = chunk.len() + usize::from(short);
        wire.extend_from_slice(format!("BDAT {said}{}\r\n", if last { " LAST" } else { "" }).as_bytes());
        wire.extend_from_slice(chunk);
        content.extend_from_slice(chunk);
        rest = after;
    }
    let whole = front::play(&wire, usize::MAX);
    front::sound(&whole);
    let packet = bytes.first().map_or(1, |b| usize::from(*b) + 1);
    assert_eq!(front::play(&wire, packet), whole);
    // Greeting, EHLO, MAIL, RCPT, then a reply to each BDAT and to nothing else.
    let replies = whole.said.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).count();
    let chunks = wire.windows(5).filter(|w| w == b"BDAT ").count();
    assert!(replies <= 4 + chunks + usize::from(whole.closed), "{}", whole.said);
    if let [(_, _, taken)] = whole.took.as_slice() {
        assert!(!short, "a chunk was taken before its end");
        if !content.is_empty() && !content.ends_with(b"\r\n") {
            content.extend_from_slice(b"\r\n");
        }
        assert_eq!(*taken, content);
    }
    assert!(whole.took.len() <= 1);
});
