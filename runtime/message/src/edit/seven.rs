//! The same message in seven bits, for next hops that take no more (RFC 6152 3, RFC 3030 3).
//!
//! Only leaves with bytes that cannot travel are encoded, text as quoted-printable and the rest as base64;
//! labels of 8bit and binary become true again; every other byte stays. What is signed, and headers that
//! hold such bytes themselves, cannot be converted: that is for the sender to know. A signature over the
//! whole (DKIM) breaks.

use super::{Edit, apply, encode, field};
use crate::decode::Transfer;
use crate::header;
use crate::mime::{Kind, Part, Tree, walk};

/// Why a message has no seven-bit form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stuck {
    /// Its parts cannot be told apart for sure.
    Malformed,
    /// A part that is signed would have to change.
    Signed,
    /// A header, or what stands between the parts, holds such bytes.
    Header,
}

/// Whether any header of the message or of its parts holds more than ASCII (RFC 6532).
#[must_use]
pub fn has_utf8_header(message: &[u8]) -> bool {
    let tree = walk(message);
    tree.parts.iter().any(|part| !message.get(part.header.clone()).unwrap_or_default().is_ascii())
}

/// The message in seven bits.
///
/// # Errors
/// [`Stuck`].
pub fn seven_bit(message: &[u8]) -> Result<Vec<u8>, Stuck> {
    let tree = walk(message);
    if tree.malformed {
        return Err(Stuck::Malformed);
    }
    let eol = header::line_end(message);
    let mut edits = Vec::new();
    let mut done = vec![false; tree.parts.len()];
    for (number, part) in tree.parts.iter().enumerate() {
        // What lies in a part that was encoded whole is encoded.
        if part.parent.is_some_and(|above| done.get(above).copied().unwrap_or_default()) {
            mark(&mut done, number);
            continue;
        }
        let body = message.get(part.body.clone()).unwrap_or_default();
        // RFC 6532 3.7: a message/global may be encoded whole, and its UTF-8 header leaves no other way.
        let whole = part.kind == Kind::Leaf || part.media() == "message/global";
        if whole && !travels(body) {
            if is_signed(&tree, part) {
                return Err(Stuck::Signed);
            }
            let fixed =
                part.media().starts_with("message/") && part.media() != "message/global" && !is_report(part);
            if fixed || !part.transfer.is_identity() || part.transfer == Transfer::Unknown {
                return Err(Stuck::Malformed);
            }
            encode_part(message, part, body, eol, &mut edits)?;
            mark(&mut done, number);
        } else if matches!(part.transfer, Transfer::Eight | Transfer::Binary) {
            let edit = field::transfer_edit(part, message, "7bit", eol).map_err(|_| Stuck::Malformed)?;
            edits.push(edit);
        }
    }
    edits.sort_by_key(|edit| edit.range.start);
    let out = apply(message, &edits);
    if travels(&out) { Ok(out) } else { Err(Stuck::Header) }
}

/// What notices say and return of internationalized mail. It may be encoded (RFC 6533 6), unlike what went before it.
fn is_report(part: &Part) -> bool {
    matches!(
        part.media(),
        "message/global-headers"
            | "message/global-delivery-status"
            | "message/global-disposition-notification"
    )
}

fn mark(done: &mut [bool], number: usize) {
    if let Some(slot) = done.get_mut(number) {
        *slot = true;
    }
}

/// ASCII without NUL, and every CR and LF is part of a CRLF.
fn travels(bytes: &[u8]) -> bool {
    bytes.is_ascii() && !bytes.contains(&0) && has_whole_ends(bytes)
}

/// Every CR and LF is part of a CRLF.
fn has_whole_ends(bytes: &[u8]) -> bool {
    let mut before = 0;
    for byte in bytes {
        if (before == b'\r') != (*byte == b'\n') {
            return false;
        }
        before = *byte;
    }
    before != b'\r'
}

fn is_signed(tree: &Tree, part: &Part) -> bool {
    let mut above = part.parent;
    while let Some(parent) = above.and_then(|number| tree.parts.get(number)) {
        if matches!(parent.media(), "multipart/signed" | "multipart/encrypted") {
            return true;
        }
        above = parent.parent;
    }
    false
}

fn encode_part(
    message: &[u8],
    part: &Part,
    body: &[u8],
    eol: &str,
    edits: &mut Vec<Edit>,
) -> Result<(), Stuck> {
    let others = body.iter().filter(|b| !b.is_ascii()).count();
    let text = part.media().starts_with("text/") || is_report(part);
    let text = text && has_whole_ends(body) && others * 4 < body.len();
    let (name, bytes) = if text {
        ("quoted-printable", encode::quoted(body, 0, eol))
    } else {
        let mut bytes = encode::base64(body, 0, eol);
        if part.parent.is_none() {
            // A part inside ends with the line end of the delimiter.
            bytes.extend_from_slice(eol.as_bytes());
        }
        ("base64", bytes)
    };
    if !part.typed {
        // RFC 1428: eight bits that nobody named.
        let own = header::fields(message.get(part.header.clone()).unwrap_or_default());
        let version = part.parent.is_none() && !own.fields.iter().any(|f| f.is("mime-version"));
        let version = if version { format!("MIME-Version: 1.0{eol}") } else { String::new() };
        let new = format!("{version}Content-Type: text/plain; charset=unknown-8bit{eol}");
        edits.push(Edit { range: part.header.end..part.header.end, bytes: new.into_bytes() });
    }
    edits.push(field::transfer_edit(part, message, name, eol).map_err(|_| Stuck::Malformed)?);
    edits.push(Edit { range: part.body.clone(), bytes });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use proptest::prelude::*;

    /// What each leaf decodes to.
    fn leaves(message: &[u8]) -> Vec<Vec<u8>> {
        let tree = walk(message);
        let body = |p: &Part| message.get(p.body.clone()).unwrap_or_default().to_vec();
        let leaf = |p: &&Part| p.kind == Kind::Leaf;
        tree.parts
            .iter()
            .filter(leaf)
            .map(|p| decode(&body(p), p.transfer, usize::MAX).into_owned())
            .collect()
    }

    #[test]
    fn text_becomes_quoted_printable_and_the_rest_stays() {
        let message = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße an alle\r\n";
        let out = String::from_utf8(seven_bit(message.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            out,
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe an alle\r\n"
        );
    }

    #[test]
    fn parts_change_one_by_one() {
        let message = "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\nMIME-Version: 1.0\r\n\r\nhello\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\nÄÖÜß\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nüber\r\n--b--\r\n";
        let out = seven_bit(message.as_bytes()).unwrap();
        assert!(out.is_ascii());
        assert_eq!(leaves(&out), leaves(message.as_bytes()));
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with(
                "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n"
            )
        );
        assert!(text.contains("\r\n--b\r\n\r\nplain\r\n--b\r\n"), "{text}");
        assert!(text.contains("Content-Transfer-Encoding: base64\r\n\r\nw4TDlsOcw58=\r\n--b"), "{text}");
    }

    #[test]
    fn unnamed_bytes_are_called_unknown() {
        let out = seven_bit(b"Subject: x\r\n\r\nEs gr\xfc\xdft, wie immer und ohne MIME, K.\r\n").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nEs gr=FC=DFt, wie immer und ohne MIME, K.\r\n"
        );
    }

    #[test]
    fn binary_is_kept_to_the_byte() {
        let front =
            b"MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n";
        let message = [&front[..], b"a\nb\rc\0d\r\n\xff"].concat();
        let out = seven_bit(&message).unwrap();
        assert_eq!(leaves(&out), [b"a\nb\rc\0d\r\n\xff".to_vec()]);
    }

    #[test]
    fn what_cannot_be_converted_is_told() {
        let signed = "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nü\r\n--b\r\n\r\nsig\r\n--b--\r\n";
        assert_eq!(seven_bit(signed.as_bytes()), Err(Stuck::Signed));
        assert_eq!(seven_bit("Subject: ü\r\n\r\nx\r\n".as_bytes()), Err(Stuck::Header));
        let partial = "MIME-Version: 1.0\r\nContent-Type: message/partial\r\n\r\nü\r\n";
        assert_eq!(seven_bit(partial.as_bytes()), Err(Stuck::Malformed));
        assert!(has_utf8_header("Subject: ü\r\n\r\n".as_bytes()));
        assert!(has_utf8_header(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; filename=ü\r\n\r\n--b--\r\n".as_bytes()
        ));
        assert!(!has_utf8_header("Subject: u\r\n\r\nü".as_bytes()));
    }

    /// RFC 6533 6: what a notice holds of internationalized mail goes over a hop of seven bits encoded.
    #[test]
    fn reports_of_internationalized_mail_are_encoded() {
        for media in ["global-headers", "global-delivery-status", "global-disposition-notification"] {
            let message = format!(
                "MIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/{media}\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: \u{fc}\r\nX: and more of it in ASCII\r\n--b--\r\n"
            );
            let out = seven_bit(message.as_bytes()).unwrap();
            assert_eq!(leaves(&out), leaves(message.as_bytes()));
            let out = String::from_utf8(out).unwrap();
            let part = format!(
                "message/{media}\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSubject: =C3=BC"
            );
            assert!(out.is_ascii() && out.contains(&part), "{out}");
        }
    }

    proptest! {
        #[test]
        fn seven_bits_and_the_same_leaf(body in proptest::collection::vec(any::<u8>(), 0..300), text in any::<bool>()) {
            let kind = if text { "text/plain; charset=utf-8" } else { "application/x" };
            let front = format!("MIME-Version: 1.0\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: binary\r\n\r\n");
            let message = [front.as_bytes(), &body].concat();
            let out = seven_bit(&message).unwrap();
            prop_assert!(out.is_ascii());
            prop_assert_eq!(leaves(&out), leaves(&message));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = has_utf8_header(&bytes);
            if let Ok(out) = seven_bit(&bytes) {
                prop_assert!(out.is_ascii());
            }
        }
    }
}
