//! Memory: a large message with a disclaimer needs at most 4 MiB beyond the message.
//!
//! One test in a process of its own: the allocator counts for all threads.

use edict_message::edit::{Order, disclaim};
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
    let message = filled(SMALL, body, &base64, "--m--\r\n");
    let (facts, used) = peak(|| facts::body_facts(&message));
    assert!(facts.attachments.len() == 1 && used <= ROOM, "{used} bytes for attachments");
}
