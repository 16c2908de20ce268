//! Reverse and forward paths (RFC 5321 4.1.2, RFC 6531 3.3): `<local@domain>`.
//!
//! Strict by default: brackets, no space after the colon, nothing that the grammar does not have.
//! Source routes are read and dropped (RFC 5321 appendix C). The local part is never interpreted here.

use edict_table::value::{Address, Domain, address::parse_local};

/// The longest path taken between its brackets, in bytes, a source route included.
const MAX_PATH: usize = 2048;

/// A mailbox as the client wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mailbox {
    /// Local part, quotes and case kept.
    pub(crate) local: String,
    /// Domain as written; none for a bare `postmaster`.
    pub(crate) domain: Option<String>,
    /// The policy form; none for a bare `postmaster`.
    pub(crate) address: Option<Address>,
}

impl Mailbox {
    /// As the next hop gets it.
    pub(crate) fn wire(&self) -> String {
        match &self.domain {
            Some(domain) => [&*self.local, "@", domain].concat(),
            None => self.local.clone(),
        }
    }

    /// Needs SMTPUTF8.
    pub(crate) fn is_utf8(&self) -> bool {
        !self.local.is_ascii() || self.domain.as_ref().is_some_and(|d| !d.is_ascii())
    }
}

/// What stands between the brackets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Path {
    /// `<>`
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

/// The text is no path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoPath;

/// Reads `PREFIX:<path>`, without case in the prefix. Returns the path and what follows it.
pub(crate) fn read<'a>(args: &'a str, prefix: &str, strict: bool) -> Result<(Path, &'a str), NoPath> {
    let (word, rest) = args.split_once(':').ok_or(NoPath)?;
    let word = if strict { word } else { word.trim_end_matches(' ') };
    if !word.eq_ignore_ascii_case(prefix) {
        return Err(NoPath);
    }
    let rest = if strict { rest } else { rest.trim_start_matches(' ') };
    let (inner, rest) = match rest.strip_prefix('<') {
        Some(inner) => {
            let end = closing(inner).ok_or(NoPath)?;
            (inner.get(..end).ok_or(NoPath)?, inner.get(end + 1..).ok_or(NoPath)?)
        }
        None if strict => return Err(NoPath),
        None => rest.split_at(rest.find(' ').unwrap_or(rest.len())),
    };
    if !(rest.is_empty() || rest.starts_with(' ')) || inner.len() > MAX_PATH {
        return Err(NoPath);
    }
    if inner.is_empty() {
        return Ok((Path::Null, rest));
    }
    Ok((Path::Mailbox(mailbox(without_route(inner)?)?), rest))
}

/// The place of the bracket that closes a path; one within quotes does not.
fn closing(inner: &str) -> Option<usize> {
    let mut quoted = false;
    let mut bytes = inner.bytes().enumerate();
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                bytes.next();
            }
            b'>' if !quoted => return Some(place),
            b'<' if !quoted => return None,
            _ => {}
        }
    }
    None
}

/// Drops `@one,@two:` where it is there and well-formed.
fn without_route(inner: &str) -> Result<&str, NoPath> {
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (route, mailbox) = inner.split_once(':').ok_or(NoPath)?;
    for hop in route.split(',') {
        let domain = hop.strip_prefix('@').ok_or(NoPath)?;
        Domain::parse(domain).map_err(|_| NoPath)?;
    }
    Ok(mailbox)
}

/// Whether a text is a mailbox with a domain.
pub(crate) fn is_mailbox(text: &str) -> bool {
    mailbox(text).is_ok_and(|mailbox| mailbox.domain.is_some())
}

/// Reads a mailbox. The last `@` parts it, as no domain holds one.
fn mailbox(text: &str) -> Result<Mailbox, NoPath> {
    let Some((local, domain)) = text.rsplit_once('@') else {
        if text.eq_ignore_ascii_case("postmaster") {
            return Ok(Mailbox { local: text.to_owned(), domain: None, address: None });
        }
        return Err(NoPath);
    };
    let bare = parse_local(local).map_err(|_| NoPath)?;
    // An underscore stands in host names that exist, so it is taken here as it is in rules.
    let parsed = Domain::parse(domain).map_err(|_| NoPath)?;
    Ok(Mailbox {
        local: local.to_owned(),
        domain: Some(domain.to_owned()),
        address: Some(Address::new(&bare, &parsed)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str, strict: bool) -> String {
        match read(text, "TO", strict) {
            Err(NoPath) => "no".to_owned(),
            Ok((Path::Null, rest)) => format!("null|{rest}"),
            Ok((Path::Mailbox(m), rest)) => {
                format!("{} {}|{rest}", m.wire(), m.address.map_or_else(String::new, |a| a.to_string()))
            }
        }
    }

    /// RFC 5321 4.1.2, 3.3, 3.6.1, 4.1.1.3, appendix C, F.2: of a source route the mailbox alone is kept, so none is ever sent.
    #[test]
    fn paths() {
        for (text, want) in [
            ("TO:<>", "null|"),
            ("to:<Ann@Example.COM> NOTIFY=NEVER", "Ann@Example.COM ann@example.com| NOTIFY=NEVER"),
            ("TO:<Postmaster>", "Postmaster |"),
            ("TO:<\"a b\"@example.com>", "\"a b\"@example.com a b@example.com|"),
            ("TO:<\"a>\\\"b\"@example.com>", "\"a>\\\"b\"@example.com a>\"b@example.com|"),
            ("TO:<\"a@b\"@example.com>", "\"a@b\"@example.com a@b@example.com|"),
            ("TO:<a@[192.0.2.1]>", "a@[192.0.2.1] a@[192.0.2.1]|"),
            ("TO:<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1] a@[ipv6:2001:db8::1]|"),
            ("TO:<@one.example,@two.example:a@b.example>", "a@b.example a@b.example|"),
            ("TO:<jörg@bücher.example>", "jörg@bücher.example jörg@xn--bcher-kva.example|"),
        ] {
            assert_eq!(policy(text, true), want, "{text:?}");
            assert_eq!(policy(text, false), want, "{text:?}");
        }
    }

    /// CR/LF injection in addresses and parsing differentials: MimeKit GHSA-g7hc-96xr-gvvx,
    /// CVE-2026-23829 Mailpit, CVE-2025-13033 nodemailer, CVE-2003-0540 Postfix.
    /// RFC 5321 4.1.2, 4.1.3. CR/LF injection in addresses and headers; Address parsing differentials.
    #[test]
    fn what_is_no_path() {
        for text in [
            "",
            "TO",
            "FROM:<a@b>",
            "TO:a@b",
            "TO: <a@b>",
            "TO :<a@b>",
            "TO:<a@b",
            "TO:<a@b>x",
            "TO:<<a@b>>",
            "TO:<a>",
            "TO:<@b>",
            "TO:<a@>",
            "TO:<a@b@c>",
            "TO:<a b@c>",
            "TO:<a..b@c>",
            "TO:<.a@c>",
            "TO:<a@c..d>",
            "TO:<a@c.>",
            "TO:<a@-c>",
            "TO:<\"a\nb\"@c>",
            "TO:<\"a\rb\"@c>",
            "TO:<\"a\\\u{0}b\"@c>",
            "TO:<\"a@c>",
            "TO:<a@[1.2.3]>",
            "TO:<a@[300.1.1.1]>",
            "TO:<@one:>",
            "TO:<@one,two:a@b>",
            "TO:<one:a@b>",
            "TO:<a@b(comment)>",
            "TO:<=?utf-8?q?a=40b?=>",
            "TO:<Postmaster@>",
            "TO:<(.)!@x>",
        ] {
            assert_eq!(policy(text, true), "no", "{text:?}");
        }
    }

    /// RFC 5321 3.3 wants no space beside the colon.
    #[test]
    fn lenient_takes_what_old_programs_write() {
        for text in ["TO: <a@b> X", "TO : <a@b> X", "TO:a@b X", "TO:  a@b X"] {
            assert_eq!(policy(text, false), "a@b a@b| X", "{text:?}");
        }
        assert_eq!(policy("TO:<a@b", false), "no");
    }
}
