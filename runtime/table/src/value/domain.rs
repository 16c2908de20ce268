//! Domains as lower-case A-labels, and address literals (RFC 5321 4.1.3).
//!
//! U-labels are taken and stored as A-labels (UTS 46, non-transitional). No lookup happens here.

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest domain taken, in bytes of A-labels (RFC 5321 4.5.3.1.2 says 255; DNS leaves 253).
pub const MAX_DOMAIN: usize = 253;

/// A domain in its normal form: lower-case A-labels without a trailing dot, or `[address]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<str>);

/// Why a text is no domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DomainError {
    /// Nothing was there.
    #[error("a domain cannot be empty")]
    Empty,
    /// Longer than [`MAX_DOMAIN`], or a label over 63 bytes.
    #[error("a domain has at most 253 bytes and each label at most 63")]
    Long,
    /// A label is empty: two dots in a row, or a dot at an end.
    #[error("a label is empty: two dots in a row, or a dot at an end")]
    EmptyLabel,
    /// A character that no domain holds.
    #[error("{0:?} cannot stand in a domain")]
    Character(char),
    /// A label begins or ends with a hyphen.
    #[error("a part of a domain cannot begin or end with `-`")]
    Hyphen,
    /// No valid name of IDNA 2008.
    #[error("no valid internationalised name (IDNA)")]
    Idna,
    /// `[…]` that holds no address.
    #[error("no address literal: `[192.0.2.1]` or `[IPv6:2001:db8::1]`")]
    Literal,
}

impl Domain {
    /// Reads a domain or an address literal into its normal form.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if let Some(literal) = text.strip_prefix('[') {
            return Self::literal(literal.strip_suffix(']').ok_or(DomainError::Literal)?);
        }
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        // A U-label form is never shorter than a quarter of what it may become.
        if text.len() > 4 * MAX_DOMAIN {
            return Err(DomainError::Long);
        }
        let ascii = if text.is_ascii() && !has_xn(text) {
            text.to_ascii_lowercase()
        } else {
            let read = |hyphens| {
                Uts46::new().to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, hyphens, DnsLength::Ignore)
            };
            // Of hyphens only those at an end: in the third and fourth place they stand in names of hosts.
            match read(Hyphens::CheckFirstLast) {
                Ok(ascii) => ascii.into_owned(),
                Err(_) if read(Hyphens::Allow).is_ok() => return Err(DomainError::Hyphen),
                Err(_) => return Err(DomainError::Idna),
            }
        };
        if ascii.len() > MAX_DOMAIN {
            return Err(DomainError::Long);
        }
        for label in ascii.as_bytes().split(|b| *b == b'.') {
            if label.is_empty() {
                return Err(DomainError::EmptyLabel);
            }
            if label.len() > 63 {
                return Err(DomainError::Long);
            }
            let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            if let Some(odd) = label.iter().find(|b| !fine(**b)) {
                return Err(DomainError::Character(char::from(*odd)));
            }
            if label.starts_with(b"-") || label.ends_with(b"-") {
                return Err(DomainError::Hyphen);
            }
        }
        Ok(Self(ascii.into_boxed_str()))
    }

    fn literal(inner: &str) -> Result<Self, DomainError> {
        let text = match inner.get(..5) {
            Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
                let ip: Ipv6Addr = inner.get(5..).and_then(|s| s.parse().ok()).ok_or(DomainError::Literal)?;
                format!("[ipv6:{ip}]")
            }
            _ => {
                let ip: Ipv4Addr = inner.parse().map_err(|_| DomainError::Literal)?;
                format!("[{ip}]")
            }
        };
        Ok(Self(text.into_boxed_str()))
    }

    /// The normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `[…]`.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.0.starts_with('[')
    }

    /// The domains above this one, nearest first, this one not among them.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        parents(&self.0)
    }
}

/// The address that an address literal in normal form holds.
#[must_use]
pub fn literal_ip(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    inner.strip_prefix("ipv6:").unwrap_or(inner).parse().ok()
}

/// The domains above a normalised domain, nearest first. An address literal has none.
pub fn parents(domain: &str) -> impl Iterator<Item = &str> {
    let mut rest = if domain.starts_with('[') { None } else { Some(domain) };
    std::iter::from_fn(move || {
        rest = rest.and_then(|d| d.split_once('.')).map(|(_, up)| up);
        rest
    })
}

fn has_xn(text: &str) -> bool {
    let text = text.as_bytes();
    // Most names have no hyphen at all.
    memchr::memchr(b'-', text).is_some() && text.windows(4).any(|w| w.eq_ignore_ascii_case(b"xn--"))
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (text, want) in [
            ("Example.COM", "example.com"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]"),
        ] {
            assert_eq!(Domain::parse(text).unwrap().as_str(), want);
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "",
            ".",
            "a..b",
            "a.",
            ".a",
            "a b",
            "-a.b",
            "a-.b",
            "a@b",
            "[1.2.3]",
            "[x",
            "a\u{0}b",
            "xn--\u{fffd}.x",
        ] {
            assert!(Domain::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Domain::parse(&"a".repeat(64)), Err(DomainError::Long));
        for text in ["bücher.exämple-", "-ü.example", "xn----eha.example", "-a.bücher.example"] {
            assert_eq!(Domain::parse(text), Err(DomainError::Hyphen), "{text:?}");
        }
        assert!(Domain::parse("r3---ü.example").is_ok());
    }

    /// What is taken with an `xn--` label is a name that has letters beyond ASCII, written in the one way.
    #[test]
    fn a_labels_are_valid() {
        let letters = b"abcz019-_";
        let mut taken = 0;
        for length in 0..5 {
            for mut place in 0..letters.len().pow(length) {
                let mut label = String::from("xn--");
                for _ in 0..length {
                    label.push(char::from(letters[place % letters.len()]));
                    place /= letters.len();
                }
                let Ok(domain) = Domain::parse(&format!("{label}.example")) else { continue };
                let (name, valid) =
                    Uts46::new().to_unicode(domain.as_str().as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
                assert!(valid.is_ok() && !name.is_ascii(), "{domain} is {name}");
                assert_eq!(Domain::parse(&name), Ok(domain));
                taken += 1;
            }
        }
        assert!(taken > 100, "{taken}");
        for bad in ["xn--", "xn--a", "xn--99999999", "xn--example-", "a.xn--\u{fffd}"] {
            assert_eq!(Domain::parse(bad), Err(DomainError::Idna), "{bad}");
        }
    }

    #[test]
    fn parents_go_up() {
        let d = Domain::parse("a.b.example.com").unwrap();
        assert_eq!(d.parents().collect::<Vec<_>>(), ["b.example.com", "example.com", "com"]);
    }
}
