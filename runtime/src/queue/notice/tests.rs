//! What a notice says and how much of a message it returns.

use super::*;
use crate::spool::test_record;

/// The notice about the first recipient of a message of so many bytes.
fn notice(event: Event, ret: Option<Ret>, size: usize) -> String {
    let text = format!("Subject: x\r\n\r\n{}the end\r\n", "some text\r\n".repeat(size / 11));
    let mut record = test_record(1, text.into_bytes());
    record.received = 1_700_000_000_000;
    record.dispatches[0].ret = ret;
    let dispatch = &record.dispatches[0];
    let report = Report {
        hostname: "mx.example",
        record: &record,
        dispatch,
        action: event.action(),
        lines: &[(&dispatch.recipients[0], &event)],
        id: MessageId(7),
        now: 1_700_000_100_000,
        until: Some(1_700_432_000_000),
    };
    String::from_utf8(report.text()).unwrap()
}

fn reason() -> Reason {
    Reason::new((4, 4, 1), "nobody answers")
}

/// RFC 3464 2.3.9: a field of the recipient, in notices of delay alone.
#[test]
fn a_delay_says_until_when_it_is_tried() {
    let field = "Will-Retry-Until: Sun, 19 Nov 2023 22:13:20 +0000\r\n";
    let delayed = notice(Event::Delayed(reason()), None, 100);
    let fields = delayed.split("message/delivery-status").nth(1).unwrap();
    assert!(fields.contains("Action: delayed\r\nStatus: 4.4.1\r\n"), "{fields}");
    assert!(fields.contains(field), "{fields}");
    assert!(delayed.contains("It will be tried until Sun, 19 Nov 2023 22:13:20 +0000."), "{delayed}");
    for event in [Event::Failed(reason()), Event::Delivered, Event::Relayed] {
        let other = notice(event, None, 100);
        assert!(!other.contains("Will-Retry-Until") && !other.contains("tried until"), "{other}");
    }
}

/// RFC 3461 4.3: the whole message where it was asked for and failed; a large one would double on its way back.
#[test]
fn only_small_messages_are_returned_whole() {
    let failed = || Event::Failed(reason());
    let whole = notice(failed(), Some(Ret::Full), MAX_FULL - 100);
    assert!(whole.contains("Content-Type: message/rfc822\r\n") && whole.contains("the end"));
    assert!(!whole.contains("too large"));
    let large = notice(failed(), Some(Ret::Full), MAX_FULL + 100);
    assert!(large.contains("Content-Type: text/rfc822-headers\r\n") && !large.contains("the end"));
    assert!(large.contains("It is too large to be returned whole; its header follows."));
    for (event, ret) in [
        (failed(), None),
        (failed(), Some(Ret::Headers)),
        (Event::Delayed(reason()), Some(Ret::Full)),
        (Event::Delivered, Some(Ret::Full)),
    ] {
        let header = notice(event, ret, 100);
        assert!(header.contains("Content-Type: text/rfc822-headers\r\n") && !header.contains("the end"));
        assert!(!header.contains("too large"));
    }
}
