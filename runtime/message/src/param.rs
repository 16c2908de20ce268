//! Structured fields with parameters: Content-Type and Content-Disposition (RFC 2045, 2183, 2231).
//!
//! mail-parser reads them; here its input is bounded (its work grows with the square of the number of
//! continued parameters) and its output brought into one shape.

use crate::limits::{MAX_PARAMETERS, MAX_STRUCTURED};
use crate::words;
use mail_parser::parsers::MessageStream;

/// A value with parameters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Structured {
    /// `text/plain`, `attachment`; lower case.
    pub value: String,
    /// Names in lower case, values decoded.
    parameters: Vec<(String, String)>,
}

impl Structured {
    /// A parameter's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether a parameter has this value, whatever its case.
    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.get(name).is_some_and(|v| v.trim().eq_ignore_ascii_case(value))
    }
}

/// Reads a field's raw value; `None` past the limits.
pub(crate) fn parse(value: &[u8]) -> Option<Structured> {
    let semicolons = value.iter().filter(|b| **b == b';').count();
    if value.len() > MAX_STRUCTURED || semicolons > MAX_PARAMETERS {
        return None;
    }
    let mut text = words::unfold(value).into_owned();
    text.push('\n');
    let read = MessageStream::new(text.as_bytes()).parse_content_type();
    let Some(read) = read.into_content_type() else { return Some(Structured::default()) };
    let main = read.c_type.trim().to_ascii_lowercase();
    let value = match read.c_subtype {
        Some(sub) => format!("{main}/{}", sub.trim().to_ascii_lowercase()),
        None => main,
    };
    let parameters = read.attributes.unwrap_or_default().into_iter();
    let parameters =
        parameters.map(|a| (a.name.to_ascii_lowercase(), words::decode(&a.value).into_owned())).collect();
    Some(Structured { value, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_mail_programs_write() {
        let read = |text: &str| parse(text.as_bytes()).unwrap();
        let plain = read(" Text/PLAIN; charset=\"UTF-8\"; format=flowed\r\n ; delsp=yes");
        assert_eq!(plain.value, "text/plain");
        assert_eq!(plain.get("charset"), Some("UTF-8"));
        assert!(plain.has("format", "Flowed") && plain.has("delsp", "YES"));
        for (text, want) in [
            ("attachment; filename=\"a b.pdf\"", "a b.pdf"),
            ("attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
            ("attachment;\r\n filename*0*=iso-8859-1''Gr%FC;\r\n filename*1=\"sse.pdf\"", "Grüsse.pdf"),
            ("attachment; filename=\"=?utf-8?q?Gr=C3=BC=C3=9Fe.pdf?=\"", "Grüße.pdf"),
            ("attachment; filename=plain.txt", "plain.txt"),
        ] {
            let read = read(text);
            assert_eq!(read.value, "attachment");
            assert_eq!(read.get("filename"), Some(want), "{text}");
        }
        assert_eq!(read("multipart/mixed; boundary=\"=_a:b c\"").get("boundary"), Some("=_a:b c"));
        assert_eq!(read("").value, "");
    }

    #[test]
    fn bounded() {
        assert!(parse(&vec![b'x'; MAX_STRUCTURED + 1]).is_none());
        assert!(parse("a/b; x=y".repeat(100).as_bytes()).is_none());
    }
}
