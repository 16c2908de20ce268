//! Properties: for generated MIME trees only the chosen leaves differ; nothing panics on any bytes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may say what they mean"
)]

mod plain;

use edict_message::edit::{Edit, Order, Untouched, apply, disclaim};
use edict_message::{address, facts, header, limits};
use edict_table::model::{OnSigned, Replies};
use mail_parser::MessageParser;
use proptest::prelude::*;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

fn order(above_quote: bool, signed: OnSigned) -> Order<'static> {
    Order {
        text: Some("Vertraulich: nur für den Empfänger, 5 €. Example Corp, Berlin.\nZweite Zeile."),
        html: Some(
            "<p>Vertraulich: nur für den Empfänger, 5 €.<br>Example Corp, Berlin.</p>\n<p>Zweite Zeile.</p>",
        ),
        marker: "legal",
        above_quote,
        replies: Replies::Once,
        signed,
    }
}

/// A part of a generated message.
#[derive(Clone, Debug)]
enum Node {
    Leaf { media: &'static str, charset: &'static str, transfer: &'static str, file: bool, body: String },
    Multi { kind: &'static str, children: Vec<Node>, closed: bool },
}

fn leaf() -> impl Strategy<Value = Node> {
    let media = prop::sample::select(vec![
        "text/plain",
        "text/html",
        "text/plain",
        "text/html",
        "image/png",
        "text/x-other",
    ]);
    let charset = prop::sample::select(vec![
        "",
        "us-ascii",
        "utf-8",
        "iso-8859-1",
        "windows-1252",
        "koi8-r",
        "shift_jis",
        "x-none",
    ]);
    let transfer = prop::sample::select(vec!["", "7bit", "8bit", "quoted-printable", "base64"]);
    let line = prop_oneof![
        "[ -~]{0,60}",
        Just("> quoted".to_owned()),
        Just("On 3 Mar 2025, Bob wrote:".to_owned()),
        Just("-----Original Message-----".to_owned()),
        Just("--b1-not".to_owned()),
        Just("</body></html>".to_owned()),
        Just("<blockquote type=\"cite\">".to_owned()),
        Just("trailing \t ".to_owned()),
        Just("Grüße 日本".to_owned()),
        Just(String::new()),
    ];
    let body = prop::collection::vec(line, 0..8).prop_map(|l| l.join("\r\n"));
    (media, charset, transfer, prop::bool::weighted(0.15), body).prop_map(
        |(media, charset, transfer, file, body)| Node::Leaf { media, charset, transfer, file, body },
    )
}

fn node() -> impl Strategy<Value = Node> {
    leaf().prop_recursive(4, 16, 4, |inner| {
        let kind = prop::sample::select(vec!["mixed", "alternative", "related", "x-other"]);
        (kind, prop::collection::vec(inner, 1..4), prop::bool::weighted(0.9))
            .prop_map(|(kind, children, closed)| Node::Multi { kind, children, closed })
    })
}

/// A leaf of a rendered message.
struct Place {
    range: Range<usize>,
    media: &'static str,
    file: bool,
}

fn render(node: &Node, out: &mut Vec<u8>, places: &mut Vec<Place>, count: &mut usize) {
    match node {
        Node::Leaf { media, charset, transfer, file, body } => {
            let start = out.len();
            let charset_text =
                if charset.is_empty() { String::new() } else { format!("; charset={charset}") };
            out.extend_from_slice(format!("Content-Type: {media}{charset_text}\r\n").as_bytes());
            if !transfer.is_empty() {
                out.extend_from_slice(format!("Content-Transfer-Encoding: {transfer}\r\n").as_bytes());
            }
            if *file {
                out.extend_from_slice(b"Content-Disposition: attachment; filename=x\r\n");
            }
            out.extend_from_slice(b"\r\n");
            let encoding = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap_or(encoding_rs::UTF_8);
            let bytes = encoding.encode(body).0;
            match *transfer {
                "base64" => out.extend_from_slice(base64(&bytes).as_bytes()),
                "quoted-printable" => {
                    for byte in bytes.iter() {
                        match byte {
                            b'\r' | b'\n' | b' '..=b'<' | b'>'..=b'~' => out.push(*byte),
                            other => out.extend_from_slice(format!("={other:02X}").as_bytes()),
                        }
                    }
                }
                _ => out.extend_from_slice(&bytes),
            }
            places.push(Place { range: start..out.len(), media, file: *file });
        }
        Node::Multi { kind, children, closed } => {
            *count += 1;
            let boundary = format!("b{count}");
            out.extend_from_slice(
                format!("Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n").as_bytes(),
            );
            for child in children {
                out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                render(child, out, places, count);
                out.extend_from_slice(b"\r\n");
            }
            if *closed {
                out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |sum, b| (sum << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(group >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
        if out.len() % 78 >= 72 {
            out.push_str("\r\n");
        }
    }
    out
}

fn sound(message: &[u8], edits: &[Edit]) {
    let mut at = 0;
    for edit in edits {
        assert!(
            at <= edit.range.start && edit.range.start <= edit.range.end && edit.range.end <= message.len()
        );
        at = edit.range.end;
    }
}

/// Everything that reads or edits a message.
fn all(message: &[u8]) {
    let _ = (facts::header_facts(message), facts::body_facts(message), address::list(message));
    sound(message, &header::remove(message, "bcc"));
    let read = header::fields(message);
    if read.body < limits::MAX_HEADER && read.fields.len() < limits::MAX_FIELDS {
        assert!(header::each(message).eq(read.fields));
    }
    for (above, signed) in [(false, OnSigned::Skip), (true, OnSigned::Wrap)] {
        let order = order(above, signed);
        if let Ok(edits) = disclaim(message, &order) {
            sound(message, &edits);
            let result = apply(message, &edits);
            assert_ne!(result, message);
            let again = disclaim(&result, &order);
            assert!(!matches!(again, Err(Untouched::Malformed | Untouched::Check)), "{again:?}");
        }
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files.iter().filter(|p| p.extension().is_some_and(|e| e == "eml")).map(|p| fs::read(p).unwrap()).collect()
}

/// A property is worth what it is tried on: many of the messages must be ones that are edited.
#[test]
fn only_the_chosen_leaves_differ() {
    leaves_differ();
    let [edited, all] = [0, 1].map(|n: usize| EDITED[n].load(Ordering::Relaxed));
    assert!(all >= 400 && edited * 2 > all, "{edited} of {all} were edited");
}

/// What became of generated messages: edited, and all.
static EDITED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    fn leaves_differ(node in node(), above in any::<bool>()) {
        let mut message = b"From: a@example.com\r\nSubject: x\r\nMIME-Version: 1.0\r\n".to_vec();
        let mut places = Vec::new();
        render(&node, &mut message, &mut places, &mut 0);
        if matches!(node, Node::Leaf { .. }) {
            // The header of the message is the header of its only part.
            places[0].range.start = 0;
        }
        let order = order(above, OnSigned::Skip);
        EDITED[1].fetch_add(1, Ordering::Relaxed);
        match disclaim(&message, &order) {
            Ok(edits) => {
                EDITED[0].fetch_add(1, Ordering::Relaxed);
                sound(&message, &edits);
                let mut touched = Vec::new();
                for edit in &edits {
                    // The line ends behind the last part of a multipart without an end are that part's.
                    let line_ends = |from: usize| message[from..edit.range.end.max(from)].iter().all(|b| b"\r\n".contains(b));
                    let inside = |p: &Place| p.range.start <= edit.range.start && line_ends(p.range.end);
                    let at = places.iter().rposition(inside);
                    let at = at.unwrap_or_else(|| panic!("{:?} lies in no leaf", edit.range));
                    touched.push(at);
                }
                touched.dedup();
                let of = |media: &str| touched.iter().filter(|t| places[**t].media == media && !places[**t].file).count();
                prop_assert!(of("text/plain") <= 1 && of("text/html") <= 1);
                prop_assert_eq!(of("text/plain") + of("text/html"), touched.len());
                let result = apply(&message, &edits);
                prop_assert_eq!(disclaim(&result, &order), Err(Untouched::AlreadyThere));
                prop_assert!(MessageParser::default().parse(&result).is_some());
            }
            Err(reason) => prop_assert!(
                matches!(reason, Untouched::NoText | Untouched::Charset | Untouched::Malformed | Untouched::Unseen),
                "{reason:?} in {}", String::from_utf8_lossy(&message)
            ),
        }
    }

    /// Fields are built and lists read by runs of characters; a character at a time comes to the same.
    #[test]
    fn runs_and_characters_agree(
        name in "[A-Za-z:\u{e4} -]{0,90}",
        words in prop::collection::vec("[a-z\u{fc}\u{20ac}]{0,12}|[a-z\u{fc}]{60,90}|[a-z\u{20ac}]{900,1100}", 0..12),
        between in "[ \r\n\t\u{7}]{1,3}",
        pieces in prop::collection::vec(prop::sample::select(vec![
            "Ann Lee", "ann", "@", "example.com", "<", ">", ",", ";", ":", "(", ")", "\"", "\\", "[", "]", "[IPv6:::1]", " ", ".", "\u{fc}", "friends",
        ]), 0..24),
    ) {
        let value = words.join(&between);
        let mut top = header::Builder::default();
        top.add("X-First", "1").add(&name, &value).add("X-Last", "2");
        let mut want = b"X-First: 1\r\n".to_vec();
        want.extend(plain::field(&name, &value));
        want.extend(b"X-Last: 2\r\n");
        let built = top.finish();
        prop_assert_eq!(String::from_utf8_lossy(&built), String::from_utf8_lossy(&want));
        let text = pieces.concat();
        let read = address::list(text.as_bytes());
        let entries: Vec<_> = read.mailboxes.into_iter().map(|m| (m.name, m.address, m.wire)).collect();
        prop_assert_eq!((entries, read.broken), plain::list(&text), "{:?}", text);
    }

    #[test]
    fn nothing_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        all(&bytes);
    }

    #[test]
    fn nothing_panics_on_text_that_looks_like_mail(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "Content-Type: ", "multipart/mixed", "; boundary=", "\"", "b", "\r\n", "\n", "\r", "--b", "--", " ", "\t", ";", "=",
            "text/html", "text/plain", "charset=", "iso-2022-jp", "utf-16", "utf-8", "charset*0*=utf-8''", "name*1=", "%C3", "(", ")", "\\",
            "Content-Transfer-Encoding: base64\r\n", "Content-Transfer-Encoding: quoted-printable\r\n", "From: ", "<a@b.c>",
            "=?utf-8?q?", "=?utf-8?b?", "?=", "=C3", "<", ">", "</body>", "<!--", "-->", "<script>", "&#", "&amp;", "message/rfc822\r\n\r\n",
            "\u{1b}$B", "> ", "On 1 wrote:\r\n", "aGVsbG8=", "\u{0}", "format=flowed", "ü",
        ]), 0..60)
    ) {
        all(pieces.concat().as_bytes());
    }

    #[test]
    fn nothing_panics_on_damaged_mail(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, prop::collection::vec(any::<u8>(), 0..6)), 1..6)
    ) {
        let corpus = corpus();
        let mut message = corpus[which.index(corpus.len())].clone();
        for (at, length, bytes) in damage {
            let start = at.index(message.len() + 1);
            let end = (start + length).min(message.len());
            message.splice(start..end, bytes);
        }
        all(&message);
    }
}
