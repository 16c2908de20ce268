//! Changing what a part's header says of its charset and transfer encoding, and nothing else of it.

use super::{Edit, Untouched};
use crate::header;
use crate::mime::Part;
use std::ops::Range;

/// The edit that makes a part name a charset.
pub(super) fn charset_edit(part: &Part, message: &[u8], label: &str, eol: &str) -> Result<Edit, Untouched> {
    let bytes = message.get(part.header.clone()).unwrap_or_default();
    let read = header::fields(bytes);
    let Some(field) = read.fields.iter().find(|f| f.is("content-type")) else {
        let version = part.parent.is_none() && !read.fields.iter().any(|f| f.is("mime-version"));
        let version = if version { format!("MIME-Version: 1.0{eol}") } else { String::new() };
        let new = format!("{version}Content-Type: {}; charset={label}{eol}", part.media());
        let at = part.header.end;
        return Ok(Edit { range: at..at, bytes: new.into_bytes() });
    };
    let whole = bytes.get(field.range.clone()).unwrap_or_default();
    let value_at = field.range.start + whole.iter().position(|b| *b == b':').map_or(0, |c| c + 1);
    let (place, new) = match charset_in(field.value)? {
        Place::Value(range) => (range, label.to_owned()),
        Place::Behind(at) => (at..at, format!("; charset={label}")),
    };
    let base = part.header.start + value_at;
    Ok(Edit { range: base + place.start..base + place.end, bytes: new.into_bytes() })
}

/// The edit that makes a part name a transfer encoding.
pub(super) fn transfer_edit(part: &Part, message: &[u8], name: &str, eol: &str) -> Result<Edit, Untouched> {
    let bytes = message.get(part.header.clone()).unwrap_or_default();
    let read = header::fields(bytes);
    let new = format!("Content-Transfer-Encoding: {name}{eol}");
    let version = part.parent.is_none() && !read.fields.iter().any(|f| f.is("mime-version"));
    Ok(match read.fields.iter().find(|f| f.is("content-transfer-encoding")) {
        Some(field) => {
            let range = part.header.start + field.range.start..part.header.start + field.range.end;
            Edit { range, bytes: new.into_bytes() }
        }
        None if version && part.typed => {
            let at = part.header.end;
            Edit { range: at..at, bytes: format!("MIME-Version: 1.0{eol}{new}").into_bytes() }
        }
        None => Edit { range: part.header.end..part.header.end, bytes: new.into_bytes() },
    })
}

enum Place {
    /// The value of the charset parameter, quotes included.
    Value(Range<usize>),
    /// Where a first parameter can be put.
    Behind(usize),
}

/// Finds the charset parameter in a Content-Type's raw value. An error for values that other readers may
/// understand otherwise: continued or encoded charsets, no media type.
fn charset_in(value: &[u8]) -> Result<Place, Untouched> {
    let (mut quote, mut escape, mut comment) = (false, false, 0_u32);
    // Offsets of the `;` outside quotes and comments.
    let mut first = None;
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        match byte {
            _ if escape => escape = false,
            b'\\' if quote || comment > 0 => escape = true,
            b'"' if comment == 0 => quote = !quote,
            b'(' if !quote => comment += 1,
            b')' if comment > 0 => comment -= 1,
            b';' if !quote && comment == 0 => {
                first = first.or(Some(at));
                if let Some(found) = charset_at(value, at + 1)? {
                    return Ok(Place::Value(found));
                }
            }
            _ => {}
        }
        at += 1;
    }
    if !value.contains(&b'/') || quote || comment > 0 {
        return Err(Untouched::Malformed);
    }
    Ok(Place::Behind(first.unwrap_or(value.trim_ascii_end().len())))
}

/// The range of the value where `charset=` follows.
fn charset_at(value: &[u8], from: usize) -> Result<Option<Range<usize>>, Untouched> {
    let skip = |mut at: usize| {
        while value.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let start = skip(from);
    let Some(name) = value.get(start..start + 7).filter(|n| n.eq_ignore_ascii_case(b"charset")) else {
        return Ok(None);
    };
    let equals = skip(start + name.len());
    match value.get(equals) {
        Some(b'=') => {}
        Some(b'*') => return Err(Untouched::Charset),
        _ => return Ok(None),
    }
    let open = skip(equals + 1);
    let rest = value.get(open..).unwrap_or_default();
    let length = match rest.first() {
        Some(b'"') => rest.iter().skip(1).position(|b| *b == b'"').ok_or(Untouched::Malformed)? + 2,
        _ => rest
            .iter()
            .position(|b| b.is_ascii_whitespace() || matches!(b, b';' | b'('))
            .unwrap_or(rest.len()),
    };
    Ok(Some(open..open + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::apply;
    use crate::mime::walk;

    fn upgraded(header: &str) -> Result<String, Untouched> {
        let message = format!("{header}\r\nX: y\r\n\r\nbody");
        let tree = walk(message.as_bytes());
        let edit = charset_edit(&tree.parts[0], message.as_bytes(), "utf-8", "\r\n")?;
        let text = String::from_utf8(apply(message.as_bytes(), &[edit])).unwrap();
        assert_eq!(walk(text.as_bytes()).parts[0].content.get("charset"), Some("utf-8"), "{text}");
        Ok(text.split("\r\nX: y").next().unwrap().to_owned())
    }

    #[test]
    fn names_the_charset_and_keeps_the_rest() {
        for (header, want) in [
            (
                "Content-Type: text/plain; charset=iso-8859-1; format=flowed",
                "Content-Type: text/plain; charset=utf-8; format=flowed",
            ),
            (
                "Content-Type: text/plain;\r\n\tCharset = \"US-ASCII\" ;x=y",
                "Content-Type: text/plain;\r\n\tCharset = utf-8 ;x=y",
            ),
            (
                "Content-Type: text/plain; name=\"a; charset=b\"",
                "Content-Type: text/plain; charset=utf-8; name=\"a; charset=b\"",
            ),
            ("content-type:text/plain", "content-type:text/plain; charset=utf-8"),
        ] {
            assert_eq!(upgraded(header).as_deref(), Ok(want));
        }
        let added = upgraded("Subject: x").unwrap();
        assert_eq!(added, "Subject: x");
        assert_eq!(upgraded("Content-Type: text/plain; charset*=utf-8''x"), Err(Untouched::Charset));
        assert_eq!(upgraded("Content-Type: text"), Err(Untouched::Malformed));
    }
}
