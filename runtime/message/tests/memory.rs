//! Memory: a large message with a disclaimer needs at most 4 MiB beyond the message.
//!
//! One test in a process of its own: the allocator counts for all threads.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may say what they mean")]

use edict_message::edit::{Order, Untouched, apply, disclaim, disclaim_all};
use edict_message::facts;
use edict_table::model::{OnSigned, Replies};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MESSAGE: usize = 25 << 20;
/// Where the size of the whole plays no part, so that the test stays short.
const SMALL: usize = 4 << 20;
const ROOM: usize = 4 << 20;

/// Bytes that `work` needs at its peak beyond what is allocated before it.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage() - before)
}

/// A message of so many bytes: header, lines, tail.
fn filled(size: usize, header: impl AsRef<[u8]>, line: &[u8], tail: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(size + (4 << 20));
    message.extend_from_slice(header.as_ref());
    while message.len() < size {
        message.extend_from_slice(line);
    }
    message.extend_from_slice(tail.as_bytes());
    message
}

#[test]
fn a_disclaimer_on_25_mib_needs_at_most_4_mib() {
    let order = Order {
        text: Some("Vertraulich: nur für den Empfänger. Example Corp, Berlin.\n"),
        html: Some("<p>Vertraulich: nur für den Empfänger. Example Corp, Berlin.</p>"),
        marker: "legal",
        above_quote: true,
        replies: Replies::Once,
        signed: OnSigned::Wrap,
    };
    let base64 = [&[b'A'; 76][..], b"\r\n"].concat();
    let body = "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
        --a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHallo\r\n--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
        <p>Hallo</p>\r\n--a--\r\n--m\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    // Text parts of nearly the largest size that is taken, in several forms.
    let large = body.replace("Hallo", &"lange Zeile mit Wörtern\r\n".repeat(15_000));
    let cyrillic = body.replace("Hallo", &"длинная строка со словами\r\n".repeat(13_000));
    let cyrillic = cyrillic.replace("charset=utf-8", "charset=windows-1251");
    let coded = |name: &str, line: &str| {
        let header =
            body.replace("charset=utf-8", &format!("charset=utf-8\r\nContent-Transfer-Encoding: {name}"));
        header.replace("<p>Hallo</p>", &line.repeat(9_000)).replace("Hallo", &line.repeat(9_000))
    };
    let base64_text = coded("base64", &format!("{}\r\n", "bGFu".repeat(19)));
    let quoted_text =
        coded("quoted-printable", "lange Zeile mit W=C3=B6rtern und noch mehr Text, der lang ist\r\n");
    let signed = "Content-Type: multipart/signed; boundary=m\r\n\r\n--m\r\n\r\n";
    let html = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    let flowed = "Content-Type: text/plain; charset=iso-8859-1; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    for (what, message) in [
        ("a file", filled(MESSAGE, body, &base64, "--m--\r\n")),
        ("long texts and a file", filled(SMALL, &large, &base64, "--m--\r\n")),
        (
            "long windows-1251 texts that become UTF-8",
            filled(SMALL, encoding_rs::WINDOWS_1251.encode(&cyrillic).0, &base64, "--m--\r\n"),
        ),
        ("long base64 texts", filled(SMALL, &base64_text, &base64, "--m--\r\n")),
        ("long quoted-printable texts", filled(SMALL, &quoted_text, &base64, "--m--\r\n")),
        ("signed", filled(SMALL, signed, b"signed text\r\n", "--m--\r\n")),
        ("one HTML part", filled(SMALL, html, b"<p>text</p>\r\n", "</body></html>\r\n")),
        ("one plain part", filled(MESSAGE, flowed, b"text of no end\r\n", "")),
    ] {
        let (edits, used) = peak(|| disclaim(&message, &order));
        assert!(edits.as_ref().is_ok_and(|e| !e.is_empty()), "{what}: {:?}", edits.err());
        println!("{what}: {used} bytes");
        assert!(used <= ROOM, "{what}: {used} bytes");
        let (_, used) = peak(|| facts::header_facts(&message));
        assert!(used <= ROOM, "{what}: {used} bytes for its header");
    }
    // Two at once, as `continue` adds them.
    let second =
        Order { text: Some("Besuchen Sie uns."), html: None, marker: "fair", above_quote: false, ..order };
    for (what, message) in [
        ("a file", filled(MESSAGE, body, &base64, "--m--\r\n")),
        ("long texts", filled(SMALL, &large, &base64, "--m--\r\n")),
        ("long base64 texts", filled(SMALL, &base64_text, &base64, "--m--\r\n")),
    ] {
        let (outcome, used) = peak(|| disclaim_all(&message, &[order, second]));
        assert_eq!(outcome.results, [Ok(()), Ok(())], "{what}");
        println!("two in {what}: {used} bytes");
        assert!(used <= ROOM, "two in {what}: {used} bytes");
    }
    texts_larger_than_usual(&order);
    let message = filled(SMALL, body, &base64, "--m--\r\n");
    let (facts, used) = peak(|| facts::body_facts(&message));
    assert!(facts.attachments.len() == 1 && used <= ROOM, "{used} bytes for attachments");
}

/// Text parts of megabytes: pictures inside of HTML, logs. They get the text, and no more memory is needed.
fn texts_larger_than_usual(order: &Order<'_>) {
    let part = |kind: &str, transfer: &str, body: String| {
        format!(
            "In-Reply-To: <1@x>\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {transfer}\r\n\r\n{body}"
        )
    };
    let base64 = |bytes: &str| {
        let coded = data(bytes.as_bytes());
        coded.as_bytes().chunks(76).map(|l| format!("{}\r\n", String::from_utf8_lossy(l))).collect::<String>()
    };
    let picture = "QUJD".repeat(768 << 10);
    let page = |quote: &str| {
        format!("<html><body><p>Hallo</p><img src=\"data:image/png;base64,{picture}\">{quote}</body></html>")
    };
    let quoted = |lines: usize| "<blockquote type=\"cite\"><p>alte Zeile</p></blockquote>\r\n".repeat(lines);
    let soft = page("")
        .replace('=', "=3D")
        .as_bytes()
        .chunks(72)
        .map(|l| format!("{}=\r\n", String::from_utf8_lossy(l)))
        .collect::<String>();
    let lines = "line by line text\r\n";
    for (what, message) in [
        ("a picture in base64", part("text/html; charset=utf-8", "base64", base64(&page("")))),
        (
            "a picture above a quote in base64",
            part("text/html; charset=utf-8", "base64", base64(&page(&quoted(8_000)))),
        ),
        ("a picture in quoted-printable", part("text/html; charset=utf-8", "quoted-printable", soft)),
        ("a log in base64", part("text/plain; charset=utf-8", "base64", base64(&lines.repeat(100_000)))),
        ("a log in 7bit", part("text/plain; charset=us-ascii", "7bit", lines.repeat(200_000))),
        ("a log in 7bit, UTF-8", part("text/plain; charset=utf-8", "7bit", lines.repeat(200_000))),
        ("a log in base64, ASCII", part("text/plain", "base64", base64(&lines.repeat(50_000)))),
    ] {
        let message = message.into_bytes();
        let (edits, used) = peak(|| disclaim(&message, order));
        println!("{what}: {} KiB, {used} bytes", message.len() >> 10);
        let edits = edits.unwrap_or_else(|reason| panic!("{what}: {reason:?}"));
        assert!(used <= ROOM, "{what}: {used} bytes");
        let result = apply(&message, &edits);
        let read = mail_parser::MessageParser::default().parse(&result).unwrap();
        let old = mail_parser::MessageParser::default().parse(&message).unwrap();
        let text = |m: &mail_parser::Message<'_>| {
            let body = if what.contains("picture") { m.body_html(0) } else { m.body_text(0) };
            body.unwrap().into_owned()
        };
        let (old, new) = (text(&old), text(&read));
        let at = new.find("Vertraulich").unwrap();
        // All that was there is there, and the text stands where it belongs.
        let front = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
        let back = old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b).count();
        assert!(front + back >= old.len(), "{what}");
        let after = new.get(at..).unwrap();
        let quote = after.find("<blockquote").unwrap_or(0);
        assert!(
            quote < 300 && after.matches("<blockquote").count() == old.matches("<blockquote").count(),
            "{what}"
        );
        assert!(disclaim(&result, order) == Err(Untouched::AlreadyThere), "{what}");
    }
    // What remains too large is said.
    let huge = part("text/plain; charset=utf-8", "base64", base64(&lines.repeat(200_000)));
    assert_eq!(disclaim(huge.as_bytes(), order), Err(Untouched::TooLarge));
    let windows = part("text/plain; charset=windows-1251", "8bit", lines.repeat(50_000));
    let windows = [windows.as_bytes(), b"\xe4\xeb\xe8\xed\xed\xe0\xff\r\n"].concat();
    assert_eq!(disclaim(&windows, order), Err(Untouched::TooLarge));
}

/// Base64, in one line.
fn data(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |sum, b| (sum << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET.get((group >> (18 - 6 * place)) as usize & 63).unwrap();
            out.push(if place <= chunk.len() { char::from(*digit) } else { '=' });
        }
    }
    out
}
