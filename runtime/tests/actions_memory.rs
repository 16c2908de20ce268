//! Memory: what is done to a large message costs at most 4 MiB more than to keep it. One test in a process of its own: the
//! allocator counts for all threads.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "actions/support.rs"]
#[expect(dead_code, reason = "shared with the tests of actions")]
mod support;

use edict_table::facts::Direction;
use peak_alloc::PeakAlloc;
use support::{Desk, Mail, Rules, When};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const OUT: When<'static> = When::Going(&[Direction::Outbound]);
const ROOM: usize = 4 << 20;

/// Text, HTML and a file of 24 MiB; a field of a copy that somebody forged.
fn large() -> Vec<u8> {
    let mut message = Vec::with_capacity(26 << 20);
    message.extend_from_slice(
        b"From: ann@example.com\r\nSubject: x\r\nX-Edict-Sender: <forged@example.com>\r\nMIME-Version: 1.0\r\n\
          Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
          --a\r\nContent-Type: text/plain\r\n\r\nHi\r\n--a\r\nContent-Type: text/html\r\n\r\n<p>Hi</p>\r\n--a--\r\n--m\r\n\
          Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    );
    while message.len() < 24 << 20 {
        message.extend_from_slice(&[b'A'; 76]);
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"--m--\r\n");
    message
}

/// Bytes at the peak, from a message that is accepted to its record.
async fn peak(rules: Rules, disclaimers: usize, copies: usize) -> usize {
    let table = rules.load();
    let desk = Desk::new();
    desk.shelf.gate.add_permits(1);
    let mail = Mail::submitted(&table, "ann@example.com", &["x@other.example"]).bytes(large());
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let receipt = desk.send(mail).await.unwrap();
    let peak = ALLOCATOR.peak_usage() - before;
    let said = |word: &str| receipt.effects.iter().filter(|e| e.starts_with(word)).count();
    assert_eq!((said("disclaimer"), said("bcc")), (disclaimers, copies), "{:?}", receipt.effects);
    let record = desk.last();
    assert_eq!(record.dispatches.len(), 1 + copies);
    for (place, dispatch) in record.dispatches.iter().enumerate().skip(1) {
        let copy = support::message(&record, place);
        let head = copy.split("\r\n\r\n").next().unwrap();
        assert!(copy.contains("[one]") && !head.contains("forged"), "{dispatch:?}: {head}");
        assert!(head.contains("X-Edict-Sender: <ann@example.com>"), "{head}");
    }
    peak
}

#[tokio::test]
async fn disclaimers_and_copies_need_at_most_4_mib_more() {
    let plain = peak(Rules::new(), 0, 0).await;
    let one = || Rules::new().disclaimer("one", 10, OUT, |text| text.proceed = true);
    let copied = |rules: Rules| rules.bcc("copy", OUT, &["archive@example.com"], "modified record");
    for (what, rules, disclaimers, copies) in [
        ("one disclaimer", one(), 1, 0),
        ("two disclaimers", one().disclaimer("two", 20, OUT, |_| {}), 2, 0),
        ("a disclaimer and a modified copy", copied(one()), 1, 1),
    ] {
        let more = peak(rules, disclaimers, copies).await.saturating_sub(plain);
        println!("{what}: {more} bytes more than {plain}");
        assert!(more <= ROOM, "{what}: {more} bytes more than {plain}");
    }
}
