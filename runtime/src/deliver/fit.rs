//! The form in which a message fits a next hop: eight bits or seven, UTF-8 or not (RFC 6152, 3030, 6531).
//!
//! What a message needs is read off its bytes and its envelope, not off what its client declared: most
//! mail that is declared 8BITMIME or SMTPUTF8 needs neither, and such a hop can take it. What the hop
//! does not take is converted where that is sound, else it fails, as the RFCs ask.

use super::offers::Offers;
use super::{Letter, Reason, stuff};
use crate::envelope::Body;
use edict_message::edit::{Stuck, has_utf8_header, seven_bit};
use edict_table::value::Domain;
use std::borrow::Cow;

/// What a server that offers more would take.
const NEEDS_UTF8: (u8, u16, u16) = (5, 6, 7);
const NEEDS_EIGHT_BITS: (u8, u16, u16) = (5, 6, 3);
const TOO_LARGE: (u8, u16, u16) = (5, 3, 4);
pub(super) const LACKING: [(u8, u16, u16); 3] = [NEEDS_UTF8, NEEDS_EIGHT_BITS, TOO_LARGE];

/// A message as it goes over the wire.
#[derive(Debug)]
pub(super) struct Fitted<'a> {
    /// The message; lines may still end in other ways than CRLF, unless its body is binary.
    pub bytes: Cow<'a, [u8]>,
    /// BODY= of MAIL; none for [`Body::SevenBit`].
    pub body: Body,
    /// SMTPUTF8 is said.
    pub utf8: bool,
    /// The envelope sender.
    pub sender: Cow<'a, str>,
}

/// Finds the form, or why there is none.
///
/// # Errors
/// What the sender is to be told.
pub(super) fn fit<'a>(letter: &Letter<'a>, offers: &Offers, peer: &str) -> Result<Fitted<'a>, Reason> {
    let dispatch = letter.dispatch;
    let bytes = letter.bytes;
    let eight = !bytes.is_ascii();
    let plain_envelope = dispatch.sender.is_ascii() && letter.recipients().all(|t| t.address.is_ascii());
    // Without offered SMTPUTF8 only a header that holds UTF-8 stands in the way; where none was declared, such
    // bytes are somebody's old mail, and go on as they came.
    let utf8 = offers.smtputf8 && (!plain_envelope || (dispatch.smtputf8 && eight));
    if dispatch.smtputf8 && !utf8 && eight && has_utf8_header(bytes) {
        let text = format!("{peer} does not take internationalized mail");
        return Err(Reason::of_hop(NEEDS_UTF8, text));
    }
    let sender = address(&dispatch.sender, utf8)?;
    let binary = dispatch.body == Body::BinaryMime && !stuff::is_lines(bytes);
    let (bytes, body) = match (binary, eight) {
        (true, _) if offers.binary && offers.chunking => (Cow::Borrowed(bytes), Body::BinaryMime),
        (false, true) if offers.eight_bit => (Cow::Borrowed(bytes), Body::EightBitMime),
        (false, false) => (Cow::Borrowed(bytes), Body::SevenBit),
        _ => match seven_bit(bytes) {
            Ok(converted) => (Cow::Owned(converted), Body::SevenBit),
            Err(stuck) => return Err(Reason::of_hop(NEEDS_EIGHT_BITS, stuck_text(stuck, peer))),
        },
    };
    if let Some(limit) = offers.size.filter(|limit| *limit > 0)
        && bytes.len() as u64 > limit
    {
        let text = format!("the message has {} bytes, and {peer} takes {limit}", bytes.len());
        return Err(Reason::of_hop(TOO_LARGE, text));
    }
    Ok(Fitted { bytes, body, utf8, sender })
}

fn stuck_text(stuck: Stuck, peer: &str) -> String {
    let why = match stuck {
        Stuck::Malformed => "it cannot be taken apart",
        Stuck::Signed => "it is signed",
        Stuck::Header => "its header is not ASCII",
    };
    format!("{peer} takes no 8-bit messages, and this one cannot be converted: {why}")
}

/// An address as it goes between the brackets. Without SMTPUTF8 a domain in U-labels becomes one in A-labels (RFC
/// 6531 3.2); a local part beyond ASCII has no such form.
///
/// # Errors
/// What the sender is to be told.
pub(super) fn address(address: &str, utf8: bool) -> Result<Cow<'_, str>, Reason> {
    if !is_wire_safe(address) {
        return Err(Reason::new((5, 1, 3), "the address cannot be sent"));
    }
    if utf8 || address.is_ascii() {
        return Ok(Cow::Borrowed(address));
    }
    let needs = || Reason::new(NEEDS_UTF8, "the address needs SMTPUTF8, and the next hop does not offer it");
    let (local, domain) = address.rsplit_once('@').filter(|(local, _)| local.is_ascii()).ok_or_else(needs)?;
    let domain = Domain::parse(domain).map_err(|_| needs())?;
    Ok(Cow::Owned(format!("{local}@{domain}")))
}

/// Whether an address can stand between the brackets of a command: no control characters, and what
/// would end it only inside quotes.
fn is_wire_safe(address: &str) -> bool {
    // Nearly all are plain. No stop at the first odd one: the compiler can compare many at once.
    let plain = |b: u8| b.is_ascii_graphic() & !matches!(b, b'"' | b'<' | b'>' | b'\\');
    if address.len() <= 1000 && address.bytes().fold(true, |all, b| all & plain(b)) {
        return true;
    }
    let mut quoted = false;
    let mut escaped = false;
    for c in address.chars() {
        if c.is_control() {
            return false;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '<' | '>' if !quoted => return false,
            _ => {}
        }
    }
    !quoted && !escaped && address.len() <= 1000
}

/// Whether a value of a parameter can go on as it is.
pub(super) fn is_xtext(text: &str) -> bool {
    text.len() <= 500 && text.bytes().all(|b| (0x21..=0x7e).contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Record;

    fn offers(words: &str) -> Offers {
        Offers {
            eight_bit: words.contains('8'),
            smtputf8: words.contains('u'),
            chunking: words.contains('c'),
            binary: words.contains('b'),
            size: words.contains('s').then_some(100),
            ..Offers::default()
        }
    }

    fn record(bytes: &[u8], sender: &str, declared: &str) -> Record {
        let mut record = crate::spool::test_record(1, bytes.to_vec());
        let dispatch = &mut record.dispatches[0];
        dispatch.sender = sender.to_owned();
        dispatch.smtputf8 = declared.contains('u');
        dispatch.body = if declared.contains('b') { Body::BinaryMime } else { Body::EightBitMime };
        record
    }

    const SEVEN: &[u8] = b"Subject: x\r\n\r\nx\r\n";
    const EIGHT: &[u8] =
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xbcber alle Berge\r\n";
    const UTF8: &[u8] = b"Subject: \xc3\xbc\r\n\r\nx\r\n";
    const BINARY: &[u8] =
        b"MIME-Version: 1.0\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb\0";

    /// The words of MAIL, and whether the bytes changed; or the status of the failure.
    fn fitted(bytes: &[u8], sender: &str, declared: &str, offered: &str) -> String {
        let record = record(bytes, sender, declared);
        let letter = Letter {
            id: record.id,
            received: 0,
            place: 0,
            dispatch: &record.dispatches[0],
            targets: &[0],
            bytes: &record.bytes,
            again: false,
            pace: crate::deliver::Pace::Whole,
        };
        match fit(&letter, &offers(offered), "hop") {
            Ok(fitted) => {
                let body = match fitted.body {
                    Body::SevenBit => "7",
                    Body::EightBitMime => "8",
                    Body::BinaryMime => "b",
                };
                let changed = if *fitted.bytes == *record.bytes { "" } else { " changed" };
                let utf8 = if fitted.utf8 { " utf8" } else { "" };
                format!("{body}{utf8}{changed} {}", fitted.sender)
            }
            Err(Reason { status: (a, b, c), .. }) => format!("{a}.{b}.{c}"),
        }
    }

    /// RFC 3030 3, RFC 6152, RFC 6531: as it is where the hop takes it, else converted, else not at all.
    #[test]
    fn each_message_finds_its_form() {
        for (bytes, sender, declared, offered, want) in [
            // What was declared but is not needed is not asked of the hop.
            (SEVEN, "a@x", "u", "", "7 a@x"),
            (SEVEN, "a@x", "u", "8u", "7 a@x"),
            (EIGHT, "a@x", "", "8", "8 a@x"),
            (EIGHT, "a@x", "u", "8u", "8 utf8 a@x"),
            (EIGHT, "a@x", "u", "8", "8 a@x"),
            (EIGHT, "a@x", "", "", "7 changed a@x"),
            (UTF8, "a@x", "u", "8u", "8 utf8 a@x"),
            (UTF8, "a@x", "u", "8", "5.6.7"),
            (UTF8, "a@x", "", "8", "8 a@x"),
            (UTF8, "a@x", "", "", "5.6.3"),
            (SEVEN, "ü@x", "u", "8u", "7 utf8 ü@x"),
            (SEVEN, "ü@x", "u", "8", "5.6.7"),
            (SEVEN, "a@bücher.example", "u", "8", "7 a@xn--bcher-kva.example"),
            (SEVEN, "a@bücher.example", "u", "u", "7 utf8 a@bücher.example"),
            (BINARY, "a@x", "b", "8cb", "b a@x"),
            (BINARY, "a@x", "b", "8c", "7 changed a@x"),
            (SEVEN, "a@x", "b", "", "7 a@x"),
            (SEVEN, "a@x", "", "s", "7 a@x"),
            (&[b'x'; 101][..], "a@x", "", "s", "5.3.4"),
            (SEVEN, "a b@x", "", "", "5.1.3"),
            (SEVEN, "a\r\nDATA\r\n@x", "", "", "5.1.3"),
        ] {
            assert_eq!(fitted(bytes, sender, declared, offered), want, "{sender} {declared} {offered}");
        }
    }
}
