//! Memory: what the front really needs for a large message is no more than what it counts for it. One test in a
//! process of its own: the allocator counts for all threads.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[cfg(test)]
#[path = "smtp/support.rs"]
#[expect(dead_code, reason = "shared with the tests of dialogues")]
mod support;

use edict_runtime::acceptor::Receipt;
use edict_runtime::smtp::{Endpoint, Metrics, Session, Settings, Step};
use edict_runtime::verdict::authentic::Authentic;
use edict_runtime::verdict::lookup::{Answer, Question};
use edict_table::facts::Slot;
use peak_alloc::PeakAlloc;
use support::{USERS, context, table};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const SIZE: usize = 6 << 20;
const ROOM: usize = 1 << 20;
const NOW: i64 = 1_700_000_000_000;

const RULES: &str = r#"
reject "words" { when body contains any of ["casino", "lottery"]  reply 550 5.7.1 "No" }
reject "names" { when attachment.name matches "*.exe"  reply 550 5.7.1 "No" }
reject "subject" { when subject contains "casino"  reply 550 5.7.1 "No" }
reject "signed" { when dkim.domain is spam.example  reply 550 5.7.1 "No" }
"#;

/// A message that waits for an answer, and one that is handed on: what is allocated beyond what there was before, and
/// what is counted.
#[derive(Debug, Default)]
struct Held {
    receiving: usize,
    peak: usize,
    counted: usize,
    waiting: usize,
    counted_waiting: usize,
}

fn held(message: &[u8]) -> Held {
    let (cx, _memory) = context(table("", RULES), USERS, Settings::default());
    let mut session = Session::new(cx.clone(), Endpoint::default(), "203.0.113.9".parse().unwrap());
    for line in ["HELO client.example", "MAIL FROM:<a@other.example>", "RCPT TO:<ann@example.com>", "DATA"] {
        session.step(format!("{line}\r\n").as_bytes(), NOW);
        session.output().clear();
    }
    let counted = || usize::try_from(Metrics::get(&cx.metrics.memory)).unwrap();
    let mut held = Held::default();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let mut packets = message.chunks(64 << 10);
    let mut packet = packets.next().unwrap();
    loop {
        let (used, step) = session.step(packet, NOW);
        held.counted = held.counted.max(counted());
        match step {
            Step::Read => {
                assert_eq!(used, packet.len());
                held.receiving = ALLOCATOR.peak_usage() - before;
                packet = packets.next().unwrap();
            }
            Step::Look(questions) => {
                held.waiting = ALLOCATOR.current_usage() - before;
                held.counted_waiting = counted();
                packet = &[];
                let nothing = |question| match question {
                    Question::Authentic { identity, .. } => {
                        let found = Authentic {
                            spf: Slot::Absent,
                            domains: Slot::Known(Vec::new()),
                            dmarc: Slot::Pending,
                            author: None,
                            signatures: Vec::new(),
                        };
                        Answer::Authentic(identity.sender, found)
                    }
                    question => question.unknown(),
                };
                session.answered(questions.into_iter().map(nothing).collect());
            }
            Step::Accept(incoming) => {
                assert!(incoming.bytes.len() >= SIZE);
                session.accepted(Ok(Receipt::default()));
                break;
            }
            Step::Close => panic!("{}", String::from_utf8_lossy(session.output())),
            step => panic!("{step:?}"),
        }
    }
    held.peak = ALLOCATOR.peak_usage() - before;
    assert_eq!(counted(), 0);
    held
}

#[test]
fn what_is_counted_is_what_is_held() {
    let plain = |kind: &str, line: &[u8]| {
        let mut message = format!("From: a@other.example\r\nSubject: x\r\n{kind}\r\n\r\n").into_bytes();
        while message.len() < SIZE {
            message.extend_from_slice(line);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b".\r\n");
        message
    };
    let base64 = [b'Q'; 76];
    for (what, message) in [
        ("text", plain("Content-Type: text/plain", b"It is the same as last week, more or less.")),
        ("HTML", plain("Content-Type: text/html", b"<p>It is the <b>same</b> as <i>last</i> week.</p>")),
        (
            "a file",
            plain("Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64", &base64),
        ),
        ("base64 text", plain("Content-Type: text/plain\r\nContent-Transfer-Encoding: base64", &base64)),
        ("short lines", plain("Content-Type: text/plain", b"x")),
    ] {
        let held = held(&message);
        println!("{what}: {held:?}");
        assert!(held.receiving <= held.counted + ROOM, "{what}: {held:?}");
        assert!(held.waiting <= held.counted_waiting + ROOM, "{what}: {held:?}");
        // Text is decoded and folded by one message a thread at a time, and nobody waits meanwhile.
        assert!(held.peak <= held.counted + 2 * SIZE + ROOM, "{what}: {held:?}");
    }
    // A byte of some charsets is three of UTF-8: that is counted once it is known, before anybody waits.
    let message = plain("Content-Type: text/plain; charset=windows-1252", &[0x80; 70]);
    let held = held(&message);
    println!("{held:?}");
    assert!(held.waiting > 3 * SIZE && held.waiting <= held.counted_waiting + ROOM, "{held:?}");
}
